"""The places of a bisection: versions of a package, commits of a repository, or packages swapped one by one."""

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from harness.analysis.subjects import subject_of
from harness.core.cache_root import default_root
from harness.core.comma_lists import join_list
from harness.core.errors import UsageError
from harness.core.files import write_atomically
from harness.core.records.bisection import Place
from harness.core.records.differences import differences
from harness.core.records.reference import LoadedSubject
from harness.core.records.run import RunData
from harness.core.records.scenario import CURRENT_RUNTIME, Arm
from harness.measure.runtimes.git import GitError, git
from harness.measure.runtimes.revisions import repository_of, resolve
from harness.measure.runtimes.versions import read_version, versions_between
from harness.plan.arm_spec import arm_spec_of, without_paths
from harness.plan.config import Config

SHORT = 7
"""Characters of a commit hash in labels."""
ABSENT = "none"


def version_places(
    package: str, good: str, bad: str, *, given: Sequence[str], report: Callable[[str], None]
) -> tuple[Place, ...]:
    """The versions of a package from good to bad; those `given`, or all that the index has. UsageError."""
    if read_version(good) == read_version(bad):
        raise UsageError("good and bad are the same", where=good, remedy="name two different versions")
    if given:
        wanted = {read_version(each): each for each in (*given, good, bad)}
        low, high = sorted((read_version(good), read_version(bad)))
        found = [wanted[each] for each in sorted(wanted) if low <= each <= high]
        found = found if read_version(good) == low else found[::-1]
    else:
        found = list(versions_between(package, good, bad, report=report))
    return tuple(Place(label=each, spec=f"{package}=={each}") for each in found)


def commit_places(config: Config, good: str, bad: str) -> tuple[Place, ...]:
    """The commits of the repository of the working directory from good to bad, along first parents. UsageError."""
    root = repository_of(config.directory)
    older, newer = resolve(config.directory, good), resolve(config.directory, bad)
    if older == newer:
        raise UsageError("good and bad are the same commit", where=f"{good}, {bad}", remedy="name two different ones")
    reverse = not _is_ancestor(root, older, newer)
    if reverse:
        older, newer = newer, older
        if not _is_ancestor(root, older, newer):
            raise UsageError(
                f"neither {good} nor {bad} is an ancestor of the other",
                where="bisect rev",
                remedy=f"git merge-base {good} {bad} names a commit that both have",
            )
    format_ = ("--no-show-signature", "--format=%H %s")
    lines = git(root, "log", "--first-parent", "--reverse", *format_, f"{older}..{newer}").splitlines()
    lines = [*git(root, "log", "-1", *format_, older).splitlines(), *lines]
    server = f"server={config['server']}," if config["server"] else ""
    places = tuple(
        Place(label=commit[:SHORT], spec=f"{server}rev={commit}", detail=subject)
        for commit, _, subject in (line.partition(" ") for line in lines)
    )
    return places[::-1] if reverse else places


def _is_ancestor(root: Path, older: str, newer: str) -> bool:
    try:
        git(root, "merge-base", "--is-ancestor", older, newer)
    except GitError as error:
        if error.stderr.strip():
            raise
        return False
    return True


def arm_places(specs: Sequence[str]) -> tuple[Place, ...]:
    """Arms in the order in which they are given. Relative paths are not shown with their folders."""
    if specs[0] == specs[-1]:
        raise UsageError("good and bad are the same", where=specs[0], remedy="name two different ones")
    labels = [without_paths(spec) for spec in specs]
    alike = {label for label in labels if labels.count(label) > 1}
    return tuple(
        Place(label=f"{label} ({number})" if label in alike else label, spec=spec)
        for number, (label, spec) in enumerate(zip(labels, specs, strict=True), 1)
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Side:
    """The first arm of a run, and what its workers loaded."""

    arm: Arm
    subject: LoadedSubject


def package_places(good: RunData, bad: RunData, *, folder: Path | None = None) -> tuple[Place, ...]:
    """From the packages of one stored run to those of another, one package after the other, in alphabetical order.

    Each place is a requirements file in `folder`, by default in the cache. Model and settings are those of the run
    `bad`. UsageError if the runs do not say what they loaded, or differ in no package.
    """
    before, after = _side(good), _side(bad)
    changed = sorted(differences(before.subject.packages, after.subject.packages, absent=ABSENT))
    if not changed:
        raise UsageError(
            "the two runs loaded the same packages",
            where=f"{good.run.id}, {bad.run.id}",
            remedy=f"kokoro-bench compare {good.run.id} {bad.run.id} shows what differs",
        )
    for side, run in ((before, good), (after, bad)):
        for name, _ in side.subject.local_packages:
            raise UsageError(
                f"{name} was installed from a folder or a file, which no index has",
                where=f"run {run.run.id}",
                remedy="bisect rev GOOD BAD compares commits of its repository",
            )
    settings = arm_spec_of(replace(after.arm, runtime=CURRENT_RUNTIME, revision="", side="", source=""))
    pins, places = dict(before.subject.packages), []
    folder = folder or default_root() / "bisections"
    for number in range(len(changed) + 1):
        label, detail = f"run {good.run.id}", ""
        if number:
            name, was, now, _ = changed[number - 1]
            pins |= {name: now}
            label, detail = name, f"{was} → {now}"
        lines = [f"{name}=={version}" for name, version in sorted(pins.items()) if version != ABSENT]
        path = _written(folder, lines)
        spec = join_list([f"path:{path}"])
        places.append(Place(label=label, spec=f"{settings},{spec}" if settings else spec, detail=detail))
    return tuple(places)


def _side(data: RunData) -> _Side:
    for scenario in data.run.scenarios:
        subject = subject_of(scenario.arm, data)
        if subject is not None and not scenario.arm.url:
            return _Side(arm=scenario.arm, subject=subject)
    raise UsageError(
        "its workers did not report what they loaded",
        where=f"run {data.run.id}",
        remedy="choose a run that this version of kokoro-bench measured in process",
    )


def _written(folder: Path, lines: Sequence[str]) -> Path:
    """A requirements file, named by its content."""
    content = "".join(f"{line}\n" for line in lines).encode()
    file = folder / f"{hashlib.sha256(content).hexdigest()[:8]}-requirements.txt"
    try:
        write_atomically(file, content)
    except OSError as error:
        raise UsageError(
            f"cannot be written ({error.strerror})", where=str(file), remedy="make KOKORO_BENCH_CACHE writable"
        ) from error
    return file
