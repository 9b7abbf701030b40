"""A finished run is handed on: the commands read nothing of it back, and derive the values of each scenario once."""

from collections import Counter
from collections.abc import Mapping
from pathlib import Path

import pytest

from harness.core.records.run import RunData, RunStatus
from harness.core.records.scenario import Scenario
from harness.metrics.derive import RunValues
from harness.metrics.values import Values
from harness.store.runs import RunStore, open_store
from reports.pages import workers
from tests.conftest import Command

SCRIPTED = ("--engine", "scripted", "--model", "scripted", "--launches", "2", "--blocks", "2")


@pytest.fixture
def reads(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The ids of the runs that are read whole."""
    found: list[str] = []
    load = RunStore.load

    def counted(self: RunStore, run_id: str) -> RunData:
        found.append(run_id)
        return load(self, run_id)

    monkeypatch.setattr(RunStore, "load", counted)
    # Whatever a second process did would not be counted here.
    monkeypatch.setattr(workers, "_may_fork", lambda: False)
    return found


@pytest.fixture
def derived(monkeypatch: pytest.MonkeyPatch) -> Counter[str]:
    """How often the values of each scenario were derived from a run that has ended."""
    found: Counter[str] = Counter()
    derive = RunValues.derive

    def counted(self: RunValues, scenario: Scenario) -> Mapping[str, Values]:
        if self.data.run.status is not RunStatus.RUNNING:
            found[scenario.id] += 1
        return derive(self, scenario)

    monkeypatch.setattr(RunValues, "derive", counted)
    return found


@pytest.mark.parametrize(
    "command",
    [
        ("run", "-k", "chars-12 or load-warm"),
        ("run", "-k", "chars-60", "--targets", "rtf=0.01"),
        ("validate",),
        ("duel", "threads=2", "--text", "one-word"),
    ],
    ids=" ".join,
)
def test_a_run_is_derived_once_from_the_recorder_to_the_page(
    here: Command, tmp_path: Path, reads: list[str], derived: Counter[str], command: tuple[str, ...]
) -> None:
    ran = here(*command, *SCRIPTED, "--results", "r.sqlite", "--report", "site", "--summary", "s.md")
    assert ran.returncode in (0, 1, 4), ran.stdout + ran.stderr
    assert reads == []
    assert set(derived.values()) == {1}, derived
    with open_store(tmp_path / "r.sqlite") as store:
        (row,) = store.list()
        assert len(derived) == len(store.head(row.id).scenarios)
    assert (tmp_path / "site" / "runs" / f"{row.id}.html").is_file()


def test_what_is_handed_on_is_what_the_store_has(
    here: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from reports.pages import site_pages

    handed: list[RunData] = []
    publish = site_pages.publish

    def kept(store: RunStore, directory: Path, **given: object) -> Path:
        values = given["derived"]
        assert isinstance(values, RunValues)
        handed.append(values.data)
        return publish(store, directory, **given)  # type: ignore[arg-type]

    monkeypatch.setattr(site_pages, "publish", kept)
    here("run", "-k", "chars-12 or load-warm", *SCRIPTED, "--results", "r.sqlite")
    with open_store(tmp_path / "r.sqlite") as store:
        assert handed == [store.load(store.resolve("latest"))]
