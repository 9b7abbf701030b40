"""Made runs for the report: an ordinary one, and those that a page must survive."""

from dataclasses import replace
from pathlib import Path

import pytest

from benchmarks.synthetic_history import made_run
from benchmarks.synthetic_run import Made
from harness.core.records.environment import Conditions
from harness.core.records.repetition import Outcome, OutcomeKind
from harness.core.records.run import RunData, RunRecord, RunStatus
from harness.core.records.scenario import Scenario
from harness.core.records.value import unknown
from harness.core.records.verdict import TargetKind, VerdictKind
from harness.store.runs import RunStore, open_store

SMALL = Made(models=("kokoro-fp32",), classes=("tiny", "medium"), launches=2, blocks=4)
HOSTILE = (
    "</script><script>alert(1)</script>\"'><img src=x onerror=alert(2)>\u202egnp.exe\n# *b* | {{ 7*7 }}\x1b[31m"
    + "é" * 300
)


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "browser: needs Playwright and a Chromium on the path; skipped where absent")


@pytest.fixture(scope="session")
def run() -> RunData:
    """Night 30: a planted slowdown, a planted gain, a refused arm, silent audio, unknown memory."""
    return made_run(Made(), 30)


@pytest.fixture(scope="session")
def small_run() -> RunData:
    return made_run(SMALL, 30)


@pytest.fixture(scope="session")
def without_baseline() -> RunData:
    return made_run(SMALL, 0)


@pytest.fixture(scope="session")
def all_failed(small_run: RunData) -> RunData:
    """Every worker crashed."""
    crash = Outcome(kind=OutcomeKind.CRASHED, reason="the worker was killed by signal 9", stderr_tail="Killed")
    return replace(
        small_run,
        run=replace(small_run.run, status=RunStatus.FAILED),
        launches=tuple(replace(each, outcome=crash) for each in small_run.launches),
        repetitions=tuple(
            replace(each, outcome=crash, chunks=(), stages=(), audio=None) for each in small_run.repetitions
        ),
        summaries=tuple(
            replace(
                each, n=0, median=None, q1=None, q3=None, minimum=None, maximum=None, interval=None, reason="crashed"
            )
            for each in small_run.summaries
        ),
        verdicts=tuple(
            replace(each, kind=VerdictKind.FAILED, change=None, reason="the worker was killed by signal 9", suspects=())
            for each in small_run.verdicts
        ),
        targets=tuple(
            replace(each, kind=TargetKind.UNKNOWN, observed=unknown("crashed"), reason="crashed")
            for each in small_run.targets
        ),
    )


@pytest.fixture(scope="session")
def hostile(small_run: RunData) -> RunData:
    """The same run with the same hostile text in every field that people, packages or systems can fill."""
    record = _hostile_record(small_run.run)
    pairs = list(zip(small_run.run.scenarios, record.scenarios, strict=True))
    new_id = {old.id: new.id for old, new in pairs}
    new_arm = {old.arm.id: new.arm.id for old, new in pairs}
    bad = Outcome(kind=OutcomeKind.ERROR, reason=HOSTILE, stderr_tail=HOSTILE)
    return replace(
        small_run,
        run=record,
        launches=tuple(replace(each, arm_id=new_arm[each.arm_id], outcome=bad) for each in small_run.launches),
        repetitions=tuple(
            replace(each, scenario_id=new_id[each.scenario_id], outcome=bad if index % 7 == 0 else each.outcome)
            for index, each in enumerate(small_run.repetitions)
        ),
        summaries=tuple(
            replace(each, scenario_id=new_id[each.scenario_id], reason=each.reason and HOSTILE)
            for each in small_run.summaries
        ),
        verdicts=tuple(
            replace(
                each,
                scenario_id=new_id[each.scenario_id],
                reference=HOSTILE,
                reason=HOSTILE,
                advice=HOSTILE,
                suspects=(HOSTILE,),
                change=each.change and replace(each.change, method=HOSTILE),
            )
            for each in small_run.verdicts
        ),
        targets=tuple(
            replace(each, scenario_id=new_id[each.scenario_id], reason=HOSTILE, kind=TargetKind.MISSED)
            for each in small_run.targets
        ),
    )


def _hostile_record(record: RunRecord) -> RunRecord:
    """The head of the run, with its scenarios."""
    conditions = Conditions(
        taken_at=record.started_at, readings=((HOSTILE, unknown(HOSTILE)),), texts=((HOSTILE, HOSTILE),)
    )
    named = ((HOSTILE, HOSTILE),)
    return replace(
        record,
        id=HOSTILE,
        selection=HOSTILE,
        reason=HOSTILE,
        notes=(HOSTILE,),
        machine=replace(record.machine, key=HOSTILE, system=HOSTILE, cpu=HOSTILE, accelerators=(HOSTILE,)),
        conditions=conditions,
        conditions_at_end=conditions,
        subject=replace(record.subject, packages=named, python=HOSTILE, revision=HOSTILE, models=named),
        scenarios=tuple(_hostile_scenario(each, index) for index, each in enumerate(record.scenarios)),
    )


def _hostile_scenario(scenario: Scenario, index: int) -> Scenario:
    """A scenario whose id differs from all others by its model's name alone."""
    model = scenario.arm.model and replace(scenario.arm.model, name=f"{HOSTILE}{index}", origin=HOSTILE, recipe=HOSTILE)
    arm = replace(scenario.arm, provider=HOSTILE, model=model, provider_options=((HOSTILE, HOSTILE),))
    return replace(scenario, voice=HOSTILE, arm=arm)


@pytest.fixture
def store(tmp_path: Path) -> RunStore:
    return open_store(tmp_path / "results.sqlite")


def keep(store: RunStore, data: RunData) -> str:
    """Store a whole run."""
    run_id = store.begin(data.run)
    for launch in data.launches:
        store.add_launch(run_id, launch)
    store.add_repetitions(run_id, data.repetitions)
    store.conclude(run_id, data.summaries, data.verdicts, data.targets)
    store.finish(
        run_id,
        status=data.run.status,
        ended_at=data.run.ended_at or data.run.started_at,
        conditions_at_end=data.run.conditions_at_end,
        reason=data.run.reason,
    )
    return run_id
