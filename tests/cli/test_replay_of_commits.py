"""Accepted engines that came from a commit of a git repository: a changed one is replayed against that commit."""

import shutil
from dataclasses import dataclass
from pathlib import Path

import pytest

from harness.core.cache_root import ROOT_VARIABLE
from harness.core.records.run import RunData, RunKind
from harness.core.records.scenario import Runtime
from harness.measure.runtimes.sources import described_source
from harness.store.reference_file import load_reference
from harness.store.runs import open_store
from tests import forking
from tests.conftest import Command
from tests.engine_packages import commit, environment_in, git, write_engine, write_index, write_wheel

RUN = ("--engine", "bells", "--runtime", "mine", "-k", "whole and chars-12", "--launches", "1", "--blocks", "2")
WORK = 20
"""Milliseconds of a text, which a slow machine does not change."""


@dataclass(frozen=True)
class Accepted:
    """A project whose run of an engine in a repository was accepted, in a folder with both. `first` is the commit."""

    here: Command
    project: Path
    repository: Path
    first: str

    def run(self, requirement: str = "", *, directory: Path | None = None) -> tuple[int, str]:
        """Exit code and output on one line, with an engine of a requirement, by default of the repository."""
        requirement = requirement or tip_of(self.repository)
        declare(self.project, requirement)
        cache = {ROOT_VARIABLE: f"{self.project.parent / 'cache'}"}
        ran = self.here("run", *RUN, "--budget", "60s", directory=directory or self.project, **cache)
        return ran.returncode, " ".join((ran.stdout + ran.stderr).split())

    def replays(self) -> list[RunData]:
        with open_store(self.project / ".kokoro-bench/results.sqlite") as store:
            return [store.load(row.id) for row in store.list() if row.kind is RunKind.REPLAY]

    def latencies(self) -> dict[str, int]:
        """Side → how many times WORK its texts took in the only replay."""
        (replay,) = self.replays()
        sides = {scenario.id: scenario.arm.side for scenario in replay.run.scenarios}
        found = (each for each in replay.summaries if each.metric == "latency")
        return {sides[each.scenario_id]: round(each.median * 1_000 / WORK) for each in found}

    def slower(self) -> str:
        """Commit an engine that takes twice as long; the short hash."""
        write_engine(self.repository, work=2 * WORK)
        return commit(self.repository, "Ring them twice")


def declare(project: Path, requirement: str) -> None:
    """Let the project's runtime have the engine of a requirement."""
    (project / "pyproject.toml").write_text(f'[tool.kokoro-bench.runtimes]\nmine = ["{requirement}"]\n')


def tip_of(repository: Path) -> str:
    return f"bells @ git+file://{repository}@main"


def repository_in(folder: Path) -> str:
    """A repository with an engine; its commit."""
    write_engine(folder, work=WORK)
    git(folder, "init", "--quiet", "--initial-branch", "main")
    commit(folder, "Ring the bells")
    return git(folder, "rev-parse", "HEAD")


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a repository, and with a project whose run of the repository's engine was accepted."""
    root = tmp_path_factory.mktemp("accepted")
    project = root / "project"
    project.mkdir()
    write_index(root)
    shutil.copy(root / "uv.toml", project)
    repository_in(root / "bells")
    declare(project, tip_of(root / "bells"))
    accept = ("baseline", "promote", "latest", "--reason", "the first")
    for arguments in (("run", *RUN, "--budget", "60s"), accept):
        ran = forking.run(*arguments, cwd=project, env=environment_in(root))
        assert ran.returncode == 0, ran.stdout + ran.stderr
    assert "cannot be restored" not in ran.stdout
    # Whatever still names the repository by its first place finds nothing there.
    return root.rename(root.with_name(f"{root.name}-moved"))


@pytest.fixture
def accepted(here: Command, template: Path, tmp_path: Path) -> Accepted:
    write_index(tmp_path)
    for name in ("project", "bells"):
        shutil.copytree(template / name, tmp_path / name)
    shutil.copy(tmp_path / "uv.toml", tmp_path / "project")
    repository = tmp_path / "bells"
    declare(tmp_path / "project", tip_of(repository))
    return Accepted(here, tmp_path / "project", repository, git(repository, "rev-parse", "HEAD"))


def test_a_changed_engine_is_measured_against_the_accepted_commit(accepted: Accepted) -> None:
    tip = accepted.slower()
    _, printed = accepted.run()
    assert "replayed pair by pair in run" in printed
    assert accepted.latencies() == {"under-test": 2, "accepted": 1}
    (replay,) = accepted.replays()
    sources = {scenario.arm.side: scenario.arm.source for scenario in replay.run.scenarios}
    assert sources == {"under-test": f"{tip} Ring them twice", "accepted": f"{accepted.first[:7]} Ring the bells"}


def test_the_commit_is_looked_up_once_for_each_set_of_variants(
    accepted: Accepted, monkeypatch: pytest.MonkeyPatch
) -> None:
    looked_up = []

    def look_up(runtime: Runtime) -> str:
        looked_up.append(runtime)
        return described_source(runtime)

    monkeypatch.setattr("harness.runner.selection.described_source", look_up)
    listed = accepted.here(
        "run", "--engine", "bells", "--runtime", "mine", "--", "--collect-only", directory=accepted.project
    )
    assert listed.returncode == 0, listed.stderr
    assert listed.stdout.count(".mine/") > 3
    # The suites have some forty tests, which ask for five sets of quantised variants.
    assert len(looked_up) <= 5


def test_an_unchanged_engine_is_the_same_subject_wherever_its_repository_is(accepted: Accepted, tmp_path: Path) -> None:
    moved = tmp_path / "elsewhere" / "bells"
    moved.parent.mkdir()
    accepted.repository.rename(moved)
    code, printed = accepted.run(tip_of(moved))
    assert code == 0, printed
    assert "nothing under test changed since" in printed


def test_the_file_of_references_names_the_commit_and_no_folder_of_this_machine(accepted: Accepted) -> None:
    text = (accepted.project / "baselines/reference.toml").read_text(encoding="utf-8")
    assert f'[arms.git-packages]\nbells = "../bells@{accepted.first}"\n' in text
    assert str(accepted.project.parent) not in text
    assert "not-rebuildable" not in text


def test_a_repository_elsewhere_is_named_by_the_commit_alone(accepted: Accepted, tmp_path: Path) -> None:
    far = tmp_path / "one" / "more" / "bells"
    far.parent.mkdir(parents=True)
    accepted.slower()
    accepted.repository.rename(far)
    assert "replayed pair by pair" in accepted.run(tip_of(far))[1]
    again = accepted.here("baseline", "promote", "latest", "--despite-regressions", directory=accepted.project)
    assert again.returncode == 0, again.stderr
    (arm,) = load_reference(accepted.project / "baselines").arms
    (package,) = arm.git_packages
    assert (package.repository, package.commit) == ("", git(far, "rev-parse", "HEAD"))


def test_a_repository_that_moved_is_found_where_the_command_runs(accepted: Accepted, tmp_path: Path) -> None:
    accepted.slower()
    inside = tmp_path / "project" / "vendored"
    accepted.repository.rename(inside)
    only_tip = tmp_path / "tip"
    git(tmp_path, "clone", "--quiet", "--depth", "1", f"file://{inside}", str(only_tip))
    _, printed = accepted.run(tip_of(only_tip), directory=inside)
    assert "replayed pair by pair in run" in printed
    assert accepted.latencies() == {"under-test": 2, "accepted": 1}


def test_a_rewritten_commit_is_named_with_what_to_do(accepted: Accepted) -> None:
    write_engine(accepted.repository, work=2 * WORK)
    git(accepted.repository, "commit", "--quiet", "--all", "--amend", "--message", "Ring them twice")
    git(accepted.repository, "reflog", "expire", "--expire=now", "--all")
    git(accepted.repository, "gc", "--quiet", "--prune=now")
    _, printed = accepted.run()
    assert (
        f"the reference cannot be restored (packages: bells: revision {accepted.first[:12]} is not in the repository "
        "bells: it was rewritten, or the clone is shallow; fetch it there, or accept a new run); the remembered values "
        "are compared instead"
    ) in printed
    assert not accepted.replays()


def published(accepted: Accepted) -> str:
    """A version of the engine in the index that takes twice as long."""
    write_wheel(accepted.project.parent, released="2.0", work=2 * WORK)
    return "bells==2.0"


def test_the_accepted_commit_is_found_from_a_published_version(accepted: Accepted) -> None:
    _, printed = accepted.run(published(accepted))
    assert "replayed pair by pair in run" in printed
    assert accepted.latencies() == {"under-test": 2, "accepted": 1}


def test_a_repository_that_is_gone_is_named_with_what_to_do(accepted: Accepted) -> None:
    shutil.rmtree(accepted.repository)
    _, printed = accepted.run(published(accepted))
    assert (
        f"the reference cannot be restored (packages: bells: the repository bells with revision {accepted.first[:12]} "
        "is gone; run the command in a clone of it, or accept a new run); the remembered values are compared instead"
    ) in printed
    assert not accepted.replays()
