"""The checks of the soak: each fault that it looks for makes its check fail."""

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from benchmarks.soak import RUNS_BEFORE, in_turn
from benchmarks.soak_alert_checks import alert_checks, ends, opens
from benchmarks.soak_evidence import Evidence
from benchmarks.soak_memory import WARM_UP_S, MemoryLog
from benchmarks.soak_site import SERVER_JOB, SLOW, USUAL, Event
from harness.core.records.schedule import (
    Alert,
    AlertEnding,
    AlertKind,
    Confirmation,
    Fire,
    FireOutcome,
    FireState,
)

MB = 1_000_000
FIRE = Fire(
    key=1, runner="here", job=SERVER_JOB, due_at=60, asked=False, missed=0, state=FireState.ENDED, queued_at=60,
    started_at=60, ended_at=90, outcome=FireOutcome.WORSE, exit_code=1, reason="", run_id="run-1", machine_key="m",
    pid=1, boot="", log="",
)  # fmt: skip
SLOWDOWN = Alert(
    key=7, machine_key="m", kind=AlertKind.REGRESSION, subject="server", metric="latency", run_id="run-1",
    opened_at=100, sentence="worse", size=0.5, low=0.4, high=0.6, closed_at=400, closed_by="run-2", trouble="",
    ending=AlertEnding.RECOVERED, found_in="run-1", confirmation=Confirmation.IMPOSSIBLE,
)  # fmt: skip
MARKS = (Event(at=50, kind="slowdown", what="planted"), Event(at=350, kind="slowdown", what="taken back"))


def message(number: int, event: str, *, alert: int = 7, repeated: bool = False) -> dict[str, Any]:
    return {"id": f"m{number}", "event": event, "repeated": repeated, "alerts": [{"alert": alert}]}


ONCE = (message(1, "alert"), message(2, "recovered"))
GOOD = Evidence(
    store_file=Path(), fires=[FIRE], alerts=[SLOWDOWN], rows={}, logged_blocks={}, periods={}, events=MARKS,
    disturbances=[], in_file=ONCE, broken_lines=0, in_webhook=ONCE, stopping_at=500,
)  # fmt: skip


def failing(evidence: Evidence, *, settled: bool = True) -> list[str]:
    return [check.name for check in alert_checks(evidence, settled=settled) if not check.holds]


FILE, WEBHOOK = "a file gets every alert exactly once", "a webhook gets every alert, marked if again"
PLANTED = "each slowdown is one message"


@pytest.mark.parametrize(
    ("changes", "names"),
    [
        ({}, []),
        ({"in_file": (*ONCE, ONCE[0]), "in_webhook": ONCE}, [FILE]),
        ({"in_file": ONCE[:1], "in_webhook": ONCE}, [FILE, WEBHOOK]),
        ({"in_file": (*ONCE, message(3, "alert", alert=99))}, [FILE, WEBHOOK]),
        ({"broken_lines": 1}, [FILE]),
        ({"in_webhook": (*ONCE, ONCE[1])}, [WEBHOOK]),
        ({"in_webhook": (*ONCE, {**ONCE[1], "repeated": True})}, []),
        ({"in_webhook": ONCE[:1]}, [WEBHOOK]),
        ({"alerts": [replace(SLOWDOWN, opened_at=900, closed_at=950)]}, [PLANTED]),
        ({"alerts": [replace(SLOWDOWN, closed_at=300)]}, [PLANTED]),
        ({"alerts": [], "in_file": (), "in_webhook": ()}, [PLANTED]),
    ],
)
def test_each_fault_of_alerts_is_found(changes: dict[str, Any], names: list[str]) -> None:
    assert failing(replace(GOOD, **changes)) == names


def test_slowdown_that_no_run_measured_shows_nothing() -> None:
    evidence = replace(GOOD, fires=[replace(FIRE, started_at=40)], alerts=[], in_file=(), in_webhook=())
    assert [check.holds for check in alert_checks(evidence, settled=True) if check.name == PLANTED] == [None]


def test_alert_that_ended_before_its_duel_needs_no_message() -> None:
    ended = replace(SLOWDOWN, confirmation=Confirmation.WAITING, ending=AlertEnding.ACCEPTED)
    assert (opens(ended), ends(ended), ends(replace(ended, confirmation=None))) == (0, 0, 1)


@pytest.mark.parametrize(
    ("planted", "slow", "measured", "does"),
    [
        (True, False, RUNS_BEFORE, True),
        (True, False, RUNS_BEFORE - 1, False),  # the gate cannot see it yet, or an alert is open
        (True, True, RUNS_BEFORE, False),
        (False, True, 1, True),
        (False, True, 0, False),
        (False, False, 1, False),
    ],
)
def test_slowdown_is_planted_and_taken_back_in_turn(*, planted: bool, slow: bool, measured: int, does: bool) -> None:
    done: list[bool] = []
    site = SimpleNamespace(
        server=SimpleNamespace(script=SLOW if slow else USUAL),
        measured_since_change=lambda count: measured >= count,
        slow=lambda *, planted: done.append(planted),
    )
    assert in_turn(site, planted=planted)() is does  # type: ignore[arg-type]
    assert done == ([planted] if does else [])


def test_alerts_that_never_end_are_found() -> None:
    assert failing(GOOD, settled=False) == ["alerts end when their cause does"]


def grown(mb_per_hour: float, *, minutes: int, scatter: int = 0) -> MemoryLog:
    """Two lives of a process, each with a leap in its warm-up."""
    log = MemoryLog()
    for life in range(2):
        for second in range(0, int(WARM_UP_S) + minutes * 60, 5):
            leap = 50 * MB if second >= WARM_UP_S - 10 else 0
            wobble = scatter if (second // 60) % 2 else 0
            size = (100 + life * 30) * MB + leap + int(mb_per_hour * MB * second / 3600) + wobble
            log.samples[life].append((1e9 + second, size))
    return log


@pytest.mark.parametrize(("mb_per_hour", "flat"), [(0.0, True), (2.0, True), (20.0, False)])
def test_slope_is_that_after_the_warm_ups_of_all_lives(mb_per_hour: float, *, flat: bool) -> None:
    slope = grown(mb_per_hour, minutes=10).slope()
    assert slope.mb_per_hour == pytest.approx(mb_per_hour, abs=0.1)
    assert (slope.steps, slope.flat) == (18, flat)


def test_slope_that_the_scatter_hides_is_not_decided() -> None:
    slope = grown(20.0, minutes=10, scatter=3 * MB).slope()
    assert slope.low < 20.0 < slope.high
    assert slope.flat is None
    assert grown(0.0, minutes=4).slope().mb_per_hour is not None
    assert grown(0.0, minutes=2).slope().flat is None
