"""Where the code of an arm comes from: interpreter and harness of its worker, and how tables name its source."""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

from harness.core.errors import UsageError, nearest
from harness.core.records.scenario import CURRENT_RUNTIME, UNCOMMITTED, Arm, Runtime
from harness.engines.declarations import BUILT_IN
from harness.engines.registry import SEVERAL_REMEDY, engine_names, packages_with, several
from harness.measure.runtimes.build import declared, find_runtime
from harness.measure.runtimes.git import described_commit, has_changes
from harness.measure.runtimes.revisions import has_worker, package_in, repository_of
from harness.measure.runtimes.sources import described_source, settled_runtime
from harness.measure.worker.place import HERE, WorkerPlace
from harness.plan.config import Config
from harness.plan.package_sources import PATH

if TYPE_CHECKING:
    from harness.measure.runtimes.build import Runtimes

COMMIT = 12
"""Characters of a commit hash that identify it."""
WORK_TREE = "work-tree"
"""The name of the runtime with the package of the work tree."""


def check_engine(engine: str, *, where: str = "--engine") -> None:
    """Raise UsageError unless exactly one package here has the engine."""
    packages = packages_with(engine)
    if len(packages) > 1:
        raise UsageError(several(engine, packages), where=where, remedy=SEVERAL_REMEDY)
    if not packages:
        raise UsageError(
            f"unknown engine {engine!r}",
            where=where,
            remedy=f"{nearest(engine, engine_names())}; an engine that is not installed here needs a runtime, such as "
            f"{PATH}FOLDER",
        )


def with_source(arm: Arm, config: Config) -> Arm:
    """A side of a duel with its commit and the description of its source. UsageError if something is not there.

    The commit is stored because the name of a revision may move to another commit.
    """
    from harness.measure.runtimes.revisions import resolve

    runtime = arm.runtime
    if runtime != CURRENT_RUNTIME and not runtime.requirements:
        runtime = find_runtime(runtime.name, declared(config.tables, root=config.root), where="duel")
    arm = replace(arm, runtime=settled_runtime(runtime))
    if arm.revision:
        commit = resolve(config.directory, arm.revision)
        return replace(arm, revision=commit[:COMMIT], source=described_commit(config.directory, commit))
    if runtime.requirements:
        return replace(arm, source=described_source(arm.runtime))
    return arm


def beside_a_revision(arm: Arm, config: Config) -> Arm:
    """The side that a revision is compared with: the work tree of the repository, if it names nothing else.

    Its package is installed like that of the revision. A revision of this harness has a worker of its own, and is
    compared with the harness that runs now.
    """
    if arm.revision or (arm.url and not arm.server) or arm.runtime.requirements:
        return arm
    root = repository_of(config.directory)
    if arm.server:
        return replace(arm, source=described_work_tree(root))
    if has_worker(root):
        from_here = HERE.harness.resolve() == (root / "harness").resolve()
        return replace(arm, source=described_work_tree(root)) if from_here else arm
    package = package_in(root, config.directory, root)
    runtime = Runtime(name=WORK_TREE, requirements=(f"{PATH}{package}",))
    return replace(arm, runtime=runtime, source=described_work_tree(root))


def described_work_tree(root: Path) -> str:
    """The commit of a work tree, and whether it has uncommitted changes."""
    return described_commit(root, "HEAD") + (f" {UNCOMMITTED}" if has_changes(root) else "")


@dataclass(kw_only=True)
class WorkerPlaces:
    """The place of each arm's worker. Environments and checkouts are made when an arm first needs them.

    `directory` lies in the repository of revisions.
    """

    directory: Path
    report: Callable[[str], None]
    _places: dict[tuple[Runtime, str, str], WorkerPlace] = field(default_factory=dict)

    @property
    def some_here(self) -> bool:
        """Whether an arm ran with the packages of this environment."""
        return any(place.python == HERE.python for place in self._places.values())

    def of(self, arm: Arm) -> WorkerPlace:
        """The interpreter of the arm's runtime, and the harness of its revision."""
        key = (arm.runtime, arm.revision, arm.engine)
        if key not in self._places:
            self._places[key] = self._make(arm)
        return self._places[key]

    def _make(self, arm: Arm) -> WorkerPlace:
        from harness.core.cache_root import default_root
        from harness.measure.runtimes.build import Runtimes
        from harness.measure.runtimes.revisions import checkout, harness_in, is_harness

        place, runtime, runtimes = HERE, arm.runtime, Runtimes(default_root())
        if arm.revision and not arm.server:  # the revision is the server's, and not its client's
            folder = checkout(self.directory, arm.revision, cache=default_root())
            if is_harness(folder):
                place = replace(place, harness=harness_in(folder, arm.revision))
            elif not arm.url:  # a server brings its own code
                wheel = self._package(arm, folder, runtimes)
                runtime = Runtime(
                    name=arm.source or f"revision {arm.revision}",
                    requirements=(*runtime.requirements, f"{PATH}{wheel}"),
                )
        if runtime.requirements:
            python = runtimes.build(runtime, engine=arm.engine, report=self.report)
            place = replace(place, python=str(python))
        return place

    def _package(self, arm: Arm, folder: Path, runtimes: "Runtimes") -> Path:
        """The wheel of the repository's package at the arm's revision. UsageError if the engine has no part of it."""
        from harness.measure.runtimes.resolve import brings
        from harness.measure.runtimes.sources import built_from_checkout

        what = f"revision {arm.source or arm.revision}"
        package = package_in(repository_of(self.directory), self.directory, folder)
        inside = package.relative_to(folder).as_posix().replace("/", "-")
        name = f"{folder.name}-{inside}".rstrip("-.")
        wheel = built_from_checkout(package, root=runtimes.root, name=name, what=what, report=self.report)
        ours = BUILT_IN.get(arm.engine)
        if ours and not brings(f"{PATH}{wheel}", ours.packages, root=runtimes.root):
            raise UsageError(
                f"neither its package nor what this requires is a part of the engine {arm.engine!r}",
                where=what,
                remedy="name the repository's own engine with --engine",
            )
        return wheel
