"""A duel against the last revision before the modules were moved: its worker starts from a worktree of its own."""

import subprocess
from pathlib import Path

import pytest

import harness
from harness.core.records.repetition import Phase
from harness.store.runs import open_store
from tests.conftest import Command

ROOT = Path(harness.__file__).parents[1]
BEFORE_THE_MOVE = "ce1048996802"


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    """A clone with the revision: worktrees are not to be added to the repository of whoever runs the tests."""
    known = ["git", "-C", str(ROOT), "rev-parse", "--verify", "--quiet", f"{BEFORE_THE_MOVE}^{{commit}}"]
    if subprocess.run(known, capture_output=True, check=False).returncode:
        pytest.skip(f"this checkout has no revision {BEFORE_THE_MOVE}: git fetch --unshallow")
    made = tmp_path / "clone"
    subprocess.run(["git", "clone", "--quiet", "--shared", str(ROOT), str(made)], capture_output=True, check=True)
    return made


def test_a_duel_runs_the_worker_of_a_revision_before_the_move(
    kokoro_bench: Command, clone: Path, tmp_path: Path
) -> None:
    options = ("--model", "replica-small", "--text", "one-word", "--launches", "1", "--blocks", "2")
    places = ("--results", f"{tmp_path / 'r.sqlite'}", "--report", f"{tmp_path / 'site'}", "--baselines", f"{tmp_path}")
    ran = kokoro_bench("duel", f"rev={BEFORE_THE_MOVE}", *options, *places, directory=clone)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    with open_store(tmp_path / "r.sqlite") as store:
        data = store.load(store.resolve("latest"))
    ours, theirs = data.run.scenarios
    assert (ours.arm.revision, theirs.arm.revision) == ("", BEFORE_THE_MOVE)
    for scenario in (ours, theirs):
        measured = [
            each for each in data.repetitions if each.scenario_id == scenario.id and each.phase is Phase.MEASURED
        ]
        assert len(measured) == 2
        assert all(each.outcome.valid and each.chunks for each in measured)
