"""What `latest` names after a duel, a bisection, a search and a calibration, through each command that takes a run."""

import json
import shutil
from pathlib import Path

import pytest

from harness.store.runs import open_store
from tests import forking
from tests.conftest import Command
from tests.engine_packages import environment_in

ARM = ("--engine", "scripted", "--model", "scripted")
RUN = ("run", *ARM, "-k", "whole and chars-12", "--budget", "20s")
DUEL = ("duel", "script=pace=1.2", "current", *ARM, "--text", "chars-12", "--budget", "10s")


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory with a run, a second one, and then a duel. Tests copy it."""
    root = tmp_path_factory.mktemp("latest")
    for arguments in (RUN, RUN, DUEL):
        assert forking.run(*arguments, cwd=root, env=environment_in(root)).returncode in (0, 1)
    return root


@pytest.fixture
def stored(made: Path, tmp_path: Path) -> list[str]:
    """The ids of the two runs and of the duel, in their order."""
    shutil.copytree(made, tmp_path, dirs_exist_ok=True)
    return ids(tmp_path)


def ids(root: Path) -> list[str]:
    with open_store(root / ".kokoro-bench/results.sqlite") as store:
        return [row.id for row in reversed(store.list())]


def left_out(newer: str, chosen: str, selection: str) -> str:
    return f"kokoro-bench: latest is {chosen}; the newer {newer} ({selection}) has to be named\n"


def test_a_promotion_after_a_duel_accepts_the_last_run(here: Command, stored: list[str]) -> None:
    _, run, duel = stored
    said = left_out(duel, run, "duel: script=pace=1.2 against current")
    looked = here("baseline", "diff", "latest")
    assert (looked.returncode, looked.stderr) == (0, said)
    promoted = here("baseline", "promote")
    assert promoted.returncode == 0
    assert f"accepted {run} in " in promoted.stdout
    assert promoted.stderr == said


def test_a_duel_is_the_latest_result_of_what_shows_one(here: Command, tmp_path: Path, stored: list[str]) -> None:
    first, run, duel = stored
    shown = here("runs", "show", "--json")
    assert json.loads(shown.stdout)["run"]["id"] == duel
    assert shown.stderr == ""
    assert f'"{duel}"' in here("runs", "export", "latest").stdout
    assert here("report", "--single-file", "latest").returncode == 0
    assert f"Run {duel}" in (tmp_path / "report.html").read_text(encoding="utf-8")
    assert json.loads(here("runs", "show", "latest~1", "--json").stdout)["run"]["id"] == run
    deleted = here("runs", "delete", "latest", "--yes")
    assert deleted.stdout == f"deleted {duel}\n"
    assert ids(tmp_path) == [first, run]


def test_a_comparison_of_two_runs_counts_no_duels(here: Command, stored: list[str]) -> None:
    first, run, duel = stored
    arms = here("compare", "latest")
    assert f"The two arms of duel {duel}." in arms.stdout
    for arguments in (("latest~1",), ("latest~1", "latest")):
        found = here("compare", *arguments, "--json")
        assert found.returncode == 0, found.stderr
        assert first in found.stdout
        assert run in found.stdout
        assert duel not in found.stdout


def test_parts_of_a_bisection_are_no_latest_result(here: Command, tmp_path: Path, stored: list[str]) -> None:
    _, run, duel = stored
    places = [f"script=noise=0.005{number} pace={pace}" for number, pace in enumerate((1, 1, 1.3))]
    assert here("bisect", "arms", *places, *ARM, "--text", "chars-12", "--budget", "60s").returncode == 0
    newest = ids(tmp_path)[-1]
    assert newest not in stored
    shown = here("runs", "show", "latest")
    assert f"Run {duel}" in shown.stdout
    assert shown.stderr.startswith(f"kokoro-bench: latest is {duel}; the newer {newest} (bisect ")
    assert f"accepted {run} in " in here("baseline", "promote", "latest").stdout


@pytest.mark.parametrize(
    ("arguments", "selection"),
    [
        (("tune", *ARM, "--text", "chars-12", "--budget", "10s"), "tune: "),
        (("calibrate", *ARM, "--text", "chars-12", "--budget", "5s", "--duels", "1", "--sizes", "0"), "calibrate: "),
    ],
    ids=["tune", "calibrate"],
)
def test_parts_of_a_search_and_of_a_calibration_are_no_latest_result(
    here: Command, stored: list[str], arguments: tuple[str, ...], selection: str
) -> None:
    ran = here(*arguments)
    assert ran.returncode in (0, 1), ran.stderr
    shown = here("runs", "show", "latest")
    assert f"Run {stored[-1]}" in shown.stdout
    assert f" ({selection}" in shown.stderr


def test_without_a_run_it_says_what_is_missing(here: Command) -> None:
    assert here(*DUEL).returncode == 1
    refused = here("baseline", "promote", "latest")
    assert refused.returncode == 2
    assert "latest: no run is stored yet — `kokoro-bench runs list` shows what is; name it by its id" in refused.stderr
