"""Results and baselines that revision ce10489 wrote, through today's commands (`data/ce10489`, see its README)."""

import gzip
import json
import shutil
from pathlib import Path

import pytest

from harness.metrics.registry import METRICS
from harness.store.runs import open_store
from tests.conftest import Command

DATA = Path(__file__).with_name("data") / "ce10489"
BASELINE_RUNS = ("20000101-000000-ab3db7", "20000101-000000-96ef27")
REGRESSED_RUN = "20000101-000000-919023"
DUEL = "20000101-000000-5bc8e6"
LOAD = "20261129-105210-88cd8b"
RUNS = (*BASELINE_RUNS, REGRESSED_RUN, DUEL, LOAD)


@pytest.fixture
def places(tmp_path: Path) -> tuple[str, ...]:
    """The options that name the copies of the results and of the baselines."""
    (tmp_path / "results.sqlite").write_bytes(gzip.decompress((DATA / "results.sqlite.gz").read_bytes()))
    shutil.copytree(DATA / "baselines-scripted", tmp_path / "baselines" / "scripted")
    return ("--results", "results.sqlite")


def test_stored_runs_are_listed_and_shown(here: Command, places: tuple[str, ...]) -> None:
    listed = here("runs", "list", "--json", *places)
    assert {run["id"] for run in json.loads(listed.stdout)} == {*RUNS}
    for run in RUNS:
        shown = here("runs", "show", run, *places)
        assert (shown.returncode, run in shown.stdout) == (0, True), shown.stderr


@pytest.mark.parametrize("form", ["pytest-benchmark", "csv", "jsonl"])
def test_stored_runs_are_exported(here: Command, places: tuple[str, ...], form: str) -> None:
    for run in RUNS:
        found = here("runs", "export", run, "--format", form, *places)
        assert found.returncode == 0, found.stderr
        assert found.stdout


def test_the_report_has_a_page_for_each_stored_run(here: Command, places: tuple[str, ...], tmp_path: Path) -> None:
    found = here("report", *places)
    assert found.returncode == 0, found.stderr
    assert {page.stem for page in (tmp_path / "reports/site/runs").glob("*.html")} == {*RUNS}


def test_stored_runs_are_compared(here: Command, places: tuple[str, ...]) -> None:
    for runs in ((BASELINE_RUNS[0], REGRESSED_RUN), (DUEL,)):
        found = here("compare", *runs, *places)
        assert found.returncode == 0, found.stderr


def test_what_was_concluded_then_is_kept(tmp_path: Path, places: tuple[str, ...]) -> None:
    with open_store(tmp_path / "results.sqlite") as store:
        kinds = {run: [each.kind.value for each in store.load(run).verdicts] for run in RUNS}
        metrics = {each.metric for run in RUNS for each in store.load(run).summaries}
    assert kinds[REGRESSED_RUN].count("regressed") == 9
    assert not any("regressed" in kinds[run] for run in RUNS if run != REGRESSED_RUN)
    assert metrics <= set(METRICS)


# Two runs are accepted there: times are presumed to differ by so much that only a large change is found.
@pytest.mark.parametrize(("pace", "code"), [("1", 0), ("3", 1)])
def test_accepted_baselines_still_gate(here: Command, places: tuple[str, ...], pace: str, code: int) -> None:
    options = ("--engine", "scripted", "--model", "scripted", "--text", "chars-12,chars-60", "--launches", "3")
    found = here("run", *options, "--seed", "7", "--script", f"pace={pace}", *places)
    assert found.returncode == code, found.stdout
    assert "no baseline" not in found.stdout
