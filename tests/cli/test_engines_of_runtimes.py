"""Engines that only an environment of an arm has: of a revision, a folder, a wheel. All through the real command."""

import re
from dataclasses import dataclass
from pathlib import Path

import pytest

from harness.core.cache_root import ROOT_VARIABLE
from harness.core.records.run import RunData
from harness.core.uv import run_uv
from harness.store.runs import open_store
from tests import forking
from tests.conftest import Command
from tests.engine_packages import WORK, commit, environment_in, git, write_engine, write_index

ENGINE = ("--engine", "bells", "--text", "chars-12")
SHORT = (*ENGINE, "--launches", "1", "--blocks", "1")


@dataclass(frozen=True)
class Place:
    """A folder with an index of its own, a repository of an engine in it, and the environment of its user."""

    root: Path
    repository: Path
    first: str
    slow: str
    environment: dict[str, str]

    def run(self, *arguments: str, directory: Path | None = None) -> tuple[int, str, str]:
        """Exit code, output on one line, errors."""
        ran = forking.run(*arguments, cwd=directory or self.repository, env=self.environment)
        return ran.returncode, " ".join(ran.stdout.split()), ran.stderr


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Place:
    """A repository whose second commit is twice as slow, in a folder with a comma and spaces in its name."""
    root = tmp_path_factory.mktemp("engines")
    write_index(root)
    repository = root / "my engines, all"
    write_engine(repository, engine="")
    git(repository, "init", "--quiet", "--initial-branch", "main")
    commit(repository, "Has no engine", "none")
    write_engine(repository)
    first = commit(repository, "Ring the <b>bells</b>", "v1")
    write_engine(repository, work=2 * WORK)
    slow = commit(repository, "Ring them twice", "v2")
    git(repository, "checkout", "--quiet", "-b", "broken")
    (repository / "backend.py").write_text('raise RuntimeError("the bell foundry is closed")\n')
    commit(repository, "Break the build")
    git(repository, "rm", "--quiet", "pyproject.toml")
    commit(repository, "Remove the package", "unpacked")
    git(repository, "checkout", "--quiet", "main")
    return Place(root=root, repository=repository, first=first, slow=slow, environment=environment_in(root))


@pytest.fixture(scope="module")
def slow_commit(place: Place) -> tuple[str, RunData, str]:
    """What `duel rev=v1` prints in the repository of the engine, what it stores, and its page.

    The last commit is slow, and the work tree has an uncommitted change.
    """
    write_engine(place.repository, work=2 * WORK + WORK // 100)
    options = (*ENGINE, "--launches", "2", "--blocks", "8", "--effect", "20%", "--summary", "summary.md")
    code, printed, errors = place.run("duel", "rev=v1", *options)
    git(place.repository, "checkout", "--quiet", "bells.py")
    assert code == 1, printed + errors
    with open_store(place.repository / ".kokoro-bench/results.sqlite") as store:
        data = store.load(store.resolve("latest"))
    page = place.repository / f"reports/site/runs/{data.run.id}.html"
    return printed, data, page.read_text(encoding="utf-8")


class TestARevision:
    def test_a_slow_commit_is_found(self, slow_commit: tuple[str, RunData, str]) -> None:
        printed, *_ = slow_commit
        (change,) = re.findall(r"chars-12 latency \+(\S+) % .*?▲ worse", printed)
        assert 100.5 < float(change) < 101.5

    def test_both_sides_are_named_by_commit_and_subject(
        self, slow_commit: tuple[str, RunData, str], place: Place
    ) -> None:
        printed, *_ = slow_commit
        ours, theirs = f"{place.slow} Ring them twice with uncommitted changes", f"{place.first} Ring the <b>bells</b>"
        assert f"current ({ours}) against rev=v1 ({theirs})" in printed
        assert f"revision {theirs} → {ours}; 1 commit between: {place.slow} Ring them twice (bells.py)" in printed

    def test_both_sides_are_named_in_the_report(self, slow_commit: tuple[str, RunData, str], place: Place) -> None:
        *_, page = slow_commit
        assert f"{place.first} Ring the &lt;b&gt;bells&lt;/b&gt;" in page
        assert f"{place.slow} Ring them twice with uncommitted changes" in page
        assert "<b>bells" not in page

    def test_both_sides_are_named_in_the_summary_without_their_markup(
        self, slow_commit: tuple[str, RunData, str], place: Place
    ) -> None:
        assert slow_commit
        summary = (place.repository / "summary.md").read_text(encoding="utf-8")
        ours, theirs = f"{place.slow} Ring them twice with uncommitted changes", f"{place.first} Ring the "
        assert f"\n{ours} against {theirs}&#60;b&#62;bells&#60;/b&#62;\n" in summary

    def test_each_worker_ran_what_it_is_named_by(self, slow_commit: tuple[str, RunData, str], place: Place) -> None:
        _, data, _ = slow_commit
        sources = {launch.arm_id: launch.software.engine_source for launch in data.launches if launch.software}
        assert len(sources) == len(set(sources.values())) == 2
        commit_hash = git(place.repository, "rev-parse", "v1")
        assert {scenario.arm.revision for scenario in data.run.scenarios} == {"", commit_hash[:12]}

    def test_the_build_leaves_nothing_in_the_repository(
        self, slow_commit: tuple[str, RunData, str], place: Place
    ) -> None:
        assert slow_commit
        assert not (place.repository / "left_by_the_build").exists()


def test_two_revisions_of_a_repository_are_compared_from_any_directory(place: Place, tmp_path: Path) -> None:
    (tmp_path / "uv.toml").write_bytes((place.root / "uv.toml").read_bytes())
    sides = [f"bells @ git+file://{place.repository}@{revision}".replace(",", "\\,") for revision in ("main", "v1")]
    code, printed, errors = place.run("duel", *sides, *SHORT, directory=tmp_path)
    assert code == 0, errors
    named = f"bells-main ({place.slow} Ring them twice) against bells-v1 ({place.first} Ring the <b>bells</b>)"
    assert named in printed
    assert str(place.root) not in printed.replace(f"report: {tmp_path}", "")


def test_a_runtime_is_a_folder_a_wheel_a_list_or_a_lock_whose_paths_have_commas_and_spaces(
    place: Place, here: Command
) -> None:
    folder = place.root / "files, and lists"
    write_engine(folder / "source")
    (folder / "requirements.txt").write_text("./source\n")
    run_uv("lock", "--project", str(folder / "source"), folder=folder, what="the lock file")

    def built(runtime: str) -> str:
        cache = {ROOT_VARIABLE: f"{place.root / 'cache'}"}
        found = here("runtimes", "build", runtime, "--engine", "bells", directory=folder, **cache)
        assert found.returncode == 0, found.stderr
        return found.stdout.strip()

    python = built(f"path:{folder / 'source'} numpy")
    assert Path(python).is_file()
    wheel = next((place.root / "cache/runtimes/built").glob("*/bells-1.0-py3-none-any.whl"))
    (folder / wheel.name).write_bytes(wheel.read_bytes())
    for runtime in ("path:source", f"{folder / wheel.name}", "requirements.txt", "source/uv.lock"):
        assert Path(built(runtime)).is_file()
    assert built(f"path:{folder / 'source'} numpy") == python
    write_engine(folder / "source", work=7)
    assert built(f"path:{folder / 'source'} numpy") != python


@pytest.mark.parametrize(
    ("side", "said"),
    [
        ("rev=v9", "duel: 'v9' is neither a model, a requirement nor a git revision"),
        ("rev=none", "Has no engine: this runtime has no engine 'bells' — its package needs an entry point bells"),
        ("rev=broken~1", "RuntimeError: the bell foundry is closed"),
        ("rev=unpacked", "Remove the package: this is no Python package"),
        ("path:.wheels", ".wheels: this is no Python package"),
        ("path:nowhere", "path:nowhere: there is no such file or folder"),
        ("bells @ git+file:///nowhere/at/all@main", "there is no git repository /nowhere/at/all"),
        ("path:.,path:../rival", "bells 1.0 and rival 2.0 each have an engine 'bells'"),
    ],
)
def test_what_cannot_be_installed_is_an_error_in_one_line(place: Place, here: Command, side: str, said: str) -> None:
    (place.repository / ".wheels").mkdir(exist_ok=True)
    write_engine(place.root / "rival", name="rival", released="2.0")
    found = here("duel", side, side, *SHORT, directory=place.repository, **{ROOT_VARIABLE: f"{place.root / 'cache'}"})
    assert found.returncode == 2, found.stdout
    (error,) = [line for line in found.stderr.splitlines() if not line.startswith("building ")]
    assert said in error


def test_an_engine_in_no_environment_names_what_to_do(here: Command) -> None:
    found = here("duel", "current", "numpy==1.0", *SHORT)
    assert found.returncode == 2
    assert "current: unknown engine 'bells' — known: endpoint" in found.stderr
    assert "needs a runtime, such as path:FOLDER" in found.stderr


def test_an_engine_of_two_installed_packages_names_both(
    here: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("bells", "rival"):
        folder = tmp_path / f"{name}-3.0.dist-info"
        folder.mkdir()
        (folder / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 3.0\n")
        (folder / "entry_points.txt").write_text(f"[kokoro_bench.engines]\nbells = {name}:start\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    found = here("run", "--engine", "bells")
    assert found.returncode == 2
    assert "bells 3.0 and rival 3.0 each have an engine 'bells'" in found.stderr
