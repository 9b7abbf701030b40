"""No label without a check: what a load, a burst or a single request of a server shows has a test against its log."""

import importlib.util
from pathlib import Path

import pytest

from harness.core.records.environment import Conditions, Machine, Subject
from harness.core.records.repetition import OutcomeKind, Phase
from harness.core.records.run import RunData, RunRecord, Setting
from harness.core.records.scenario import Arm, Arrivals, Mode, Scenario, Traffic
from harness.metrics.derive import scenario_values
from reports.terminal.load_table import COLUMNS
from reports.terminal.run_table import AT_ONCE, SYNTHESIS
from tests.known_answers.proofs import PROVEN, WITHOUT_A_SERVER

ARM = Arm(engine="endpoint", provider="", url="http://127.0.0.1:1")
SHOWN = (
    Scenario(arm=ARM, mode=Mode.ENDPOINT, text_class="chars-12", voice="v"),
    Scenario(arm=ARM, mode=Mode.ENDPOINT, text_class="chars-12", voice="v", concurrency=4),
    Scenario(
        arm=ARM, mode=Mode.ENDPOINT, text_class="chars-12", voice="v", traffic=Traffic(arrivals=Arrivals.RAMP, level=1)
    ),
)
"""One of each kind that a server may be asked for."""

NOT_BY_A_LOAD = {
    OutcomeKind.TIMEOUT: "a time-out of the client's own: tests/measure/load/test_loops.py",
    OutcomeKind.CRASHED: "the worker's end, not the server's",
    OutcomeKind.BROKEN_PROMISE: "of engines in process",
    OutcomeKind.REFUSED: "of arms that cannot be loaded",
}

OTHERS = (
    "listening", "keep_alive:on", "keep_alive:off", "dialect", "concurrency", "stampede", "sweep", "drain", "capacity",
    "frames",
    "metric:percentiles", "metric:summaries", "table:load", "table:failures", "table:validate", "table:concurrency",
)  # fmt: skip
"""Labels that no enumeration has."""


@pytest.fixture(scope="module", autouse=True)
def _all_tests_are_known() -> None:
    """Read every module of this folder, so that their marks are there."""
    for path in sorted(Path(__file__).parent.glob("test_*.py")):
        if path != Path(__file__):
            spec = importlib.util.spec_from_file_location(f"known_answers_{path.stem}", path)
            assert spec is not None
            assert spec.loader is not None
            spec.loader.exec_module(importlib.util.module_from_spec(spec))


def _run_of(scenarios: tuple[Scenario, ...]) -> RunData:
    machine = Machine(key="m", system="linux", architecture="x86_64", cpu="", logical_cpus=1, physical_cpus=1, memory=1)
    head = RunRecord(
        id="r",
        started_at=0.0,
        seed=0,
        selection="load",
        machine=machine,
        conditions=Conditions(taken_at=0.0),
        subject=Subject(),
        setting=Setting(corpus="", protocol=1),
        scenarios=scenarios,
        budget_s=1.0,
    )
    return RunData(run=head)


@pytest.mark.parametrize("scenario", SHOWN, ids=["single", "at-once", "load"])
def test_every_metric_of_a_server_is_held_against_its_log(scenario: Scenario) -> None:
    metrics = set(scenario_values(scenario, _run_of(SHOWN)))
    assert {name for name in metrics if f"metric:{name}" not in PROVEN} - WITHOUT_A_SERVER.keys() == set()


def test_every_column_of_the_tables_is_held_against_the_log() -> None:
    columns = {column.metric for column in COLUMNS} | {*SYNTHESIS, *AT_ONCE}
    assert {name for name in columns if f"metric:{name}" not in PROVEN} == set()


@pytest.mark.parametrize("arrivals", Arrivals)
def test_every_kind_of_arrivals_is_held_against_the_log(arrivals: Arrivals) -> None:
    assert PROVEN.get(f"arrivals:{arrivals.value}")


@pytest.mark.parametrize("phase", Phase)
def test_every_phase_is_held_against_the_log(phase: Phase) -> None:
    assert PROVEN.get(f"phase:{phase.value}")


@pytest.mark.parametrize("kind", [each for each in OutcomeKind if each not in NOT_BY_A_LOAD])
def test_every_outcome_of_a_load_is_held_against_the_log(kind: OutcomeKind) -> None:
    assert PROVEN.get(f"outcome:{kind.value}")


def test_the_other_labels_are_held_against_the_log_and_no_mark_is_for_nothing() -> None:
    enumerated = ("arrivals:", "phase:", "outcome:", "metric:")
    others = {label for label in PROVEN if not label.startswith(enumerated)}
    assert others == {label for label in OTHERS if not label.startswith(enumerated)}
    known = {f"metric:{name}" for scenario in SHOWN for name in scenario_values(scenario, _run_of(SHOWN))}
    known |= {label for label in OTHERS if label.startswith("metric:")}
    assert {label for label in PROVEN if label.startswith("metric:")} <= known
