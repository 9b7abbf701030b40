"""What a run has found is confirmed by a duel before anybody is told: on the scripted clock, through the daemon."""

import json
import math
from dataclasses import replace
from typing import Any

import pytest

from harness.analysis.alert_words import with_confirmation
from harness.core.errors import ExitCode
from harness.core.records.run import RunStatus, confirmation_selection
from harness.core.records.schedule import Alert, AlertEnding, AlertKind, Confirmation, FireOutcome, FireState
from harness.core.records.suspect import SuspectKind
from harness.core.records.verdict import Estimate, Verdict, VerdictKind
from harness.schedule.launcher import Exit
from harness.schedule.service import _code

from .conftest import SCENARIO
from .test_thousand_nights import DAY, HALF_PAST_TWO, START, Run

NIGHT = START + HALF_PAST_TWO
STEP = 12
"""The night of a step in the history."""
REGRESSED, IMPROVED = VerdictKind.REGRESSED, VerdictKind.IMPROVED
UNCHANGED, UNKNOWN = VerdictKind.UNCHANGED, VerdictKind.INCONCLUSIVE
ARM = SCENARIO.arm
OURS = replace(SCENARIO, arm=replace(ARM, side="under-test"))
ACCEPTED = replace(SCENARIO, arm=replace(ARM, side="accepted"))


class Nights:
    """Nights whose run and duel have the verdicts that the test decides; None: the duel does not end by itself."""

    def __init__(self, bench: Any, make_run: Run, **job: Any) -> None:
        self.bench, self.make_run = bench, make_run
        self.run_verdict, self.duel_verdict = REGRESSED, REGRESSED
        self.duel_ends: Exit | None = Exit(code=1)
        self.size = 0.1
        self.runs: list[str] = []
        self.duels: list[str] = []
        self.bisections = 0
        self.bisection_ends: Exit | None = Exit(code=0)
        bench.put(confirm_s=600.0, **job)
        bench.launcher.on_go = self.go

    def go(self, process: Any) -> None:
        """What a started process does at once."""
        does = {("schedule", "confirm"): self.confirm, ("schedule", "explain"): self.explain}
        does.get(process.order.arguments[:2], self.run)(process)

    def run(self, process: Any) -> None:
        at = self.bench.clock.wall()
        verdict, size = self.run_verdict, self.size
        run_id = self.make_run(self.bench.store, at=at, median=math.exp(size), verdict=verdict, size=size)
        self.runs.append(run_id)
        self.bench.begin(process, run_id)
        process.ends = Exit(code=int(verdict is REGRESSED))

    def make_busy(self) -> None:
        """The machine gets busy during the run."""
        measure = self.run

        def run(process: Any) -> None:
            measure(process)
            self.bench.busy = "cc1plus"

        self.run = run  # type: ignore[method-assign]

    def confirm(self, process: Any) -> None:
        run_id = self.store_duel(RunStatus.COMPLETE if self.duel_ends else RunStatus.INTERRUPTED)
        self.bench.begin(process, run_id)
        process.ends = self.duel_ends

    def explain(self, process: Any) -> None:
        self.bisections += 1
        process.ends = self.bisection_ends

    def store_duel(self, status: RunStatus, **changes: Any) -> str:
        """As `schedule confirm` stores it."""
        store = self.bench.store
        run_id = self.make_run(
            store, at=self.bench.clock.wall() + 60 + len(self.duels), status=status, scenarios=(OURS, ACCEPTED),
            selection=confirmation_selection(self.runs[-1], ARM.id), **changes,
        )  # fmt: skip
        kind = self.duel_verdict
        size = {REGRESSED: 0.09, IMPROVED: -0.09}.get(kind, 0.002)
        change = Estimate(point=size, low=size - 0.01, high=size + 0.01, level=0.99, method="m", n=12, launches=3)
        verdict = Verdict(
            scenario_id=OURS.id, metric="latency", kind=kind, change=change, suspects=("operator Conv",),
            suspect_kinds=(SuspectKind.OPERATOR,),
            reference=ACCEPTED.arm.id,
        )  # fmt: skip
        store.conclude(run_id, [], [verdict], ())
        self.duels.append(run_id)
        return run_id

    def night(self, number: int = 0) -> None:
        """From the due time to the end of all that follows."""
        for second in range(2):
            self.bench.at(START + number * DAY + HALF_PAST_TWO + second)

    @property
    def confirmations(self) -> list[Any]:
        return [each for each in self.bench.fires() if each.confirms]

    @property
    def alerts(self) -> list[Alert]:
        return list(reversed(self.bench.store.journal().alerts()))

    @property
    def told(self) -> list[Any]:
        return list(self.bench.told)


@pytest.fixture
def nights(bench: Any, make_run: Run) -> Nights:
    return Nights(bench, make_run)


def test_planted_slowdown_is_confirmed_by_one_duel_and_told_once_with_both_results(nights: Nights) -> None:
    nights.night()
    [message] = nights.told
    [line] = message.alerts
    [run_id], [duel] = nights.runs, nights.duels
    assert (message.event, message.job, message.run) == ("alert", "nightly", run_id)
    assert "is worse by +10.5 % (interval" in line.sentence
    assert line.confirmation.startswith("confirmed by a duel with what was accepted: +9.4 % (interval")
    assert (line.confirmed, line.duel, line.suspects) == ("confirmed", duel, ("operator Conv",))
    assert json.loads(message.as_json())["alerts"][0]["suspect_kinds"] == ["operator"]
    confirmed = f"latency of {line.subject} is worse by +9.4 % (interval "
    assert message.subject.startswith(f"kokoro-bench: {confirmed}")
    [alert] = nights.alerts
    assert line.confirmed_size == alert.confirmed_size == pytest.approx(math.log(1.094), abs=5e-4)
    assert f"{line.sentence}; {line.confirmation}" in message.text
    assert f"duel: https://bench.example/runs/{duel}.html" in message.text
    [alert] = nights.alerts
    assert (alert.confirmation, alert.confirmed_by, alert.found_in) == (Confirmation.CONFIRMED, duel, run_id)
    assert alert.closed_at is None
    nights.night(1)
    assert (len(nights.told), len(nights.duels)) == (1, 1)


def test_duel_is_due_time_of_its_own_that_names_run(nights: Nights) -> None:
    nights.night()
    run, duel = nights.bench.fires()
    assert (run.job, duel.job, duel.declared_job, duel.confirms) == (
        "nightly",
        "nightly/confirm",
        "nightly",
        run.run_id,
    )
    assert (duel.state, duel.outcome, duel.run_id) == (FireState.ENDED, FireOutcome.WORSE, nights.duels[0])
    process = nights.bench.launcher.started[-1]
    assert process.order.arguments[:2] == ("schedule", "confirm")
    assert "--budget=600" in process.order.arguments
    assert process.order.arguments[-1] == "1"
    assert process.order.until == pytest.approx(NIGHT + 1.5 * 600 + 900, abs=5)
    assert process.order.log.name.endswith("-nightly-confirm.log")


@pytest.mark.parametrize("shown", [UNCHANGED, IMPROVED])
def test_noise_alarm_is_recorded_as_not_confirmed_and_nobody_is_told(nights: Nights, shown: VerdictKind) -> None:
    nights.duel_verdict, nights.duel_ends = shown, Exit(code=0)
    nights.night()
    assert nights.told == []
    [alert] = nights.alerts
    assert (alert.ending, alert.closed_by) == (AlertEnding.NOT_CONFIRMED, nights.duels[0])
    assert alert.confirmation_reason.startswith("not confirmed: a duel with what was accepted shows")
    assert _code(nights.bench.daemon) is ExitCode.OK, "the run's finding was a false alarm"


def test_confirmed_regression_is_exit_code_1(nights: Nights) -> None:
    nights.night()
    assert _code(nights.bench.daemon) is ExitCode.WORSE


def test_undecided_duel_does_not_hold_alert_back_and_says_so(nights: Nights) -> None:
    nights.duel_verdict, nights.duel_ends = UNKNOWN, Exit(code=0)
    nights.night()
    [line] = nights.told[0].alerts
    assert line.confirmed == "undecided"
    assert line.confirmation.startswith("a duel with what was accepted could not decide it: +0.2 %")


def test_duel_that_cannot_be_made_does_not_hold_alert_back_and_says_why(nights: Nights) -> None:
    def refuse(process: Any) -> None:
        nights.bench.store.journal().note_confirmation(1, reason="no reference was accepted for it")
        process.ends = Exit(code=3)

    nights.confirm = refuse  # type: ignore[method-assign]
    nights.night()
    [line] = nights.told[0].alerts
    assert (line.confirmed, line.duel) == ("not possible", "")
    assert line.confirmation == "no duel could confirm it: no reference was accepted for it"


def test_busy_machine_does_not_hold_alert_back(nights: Nights) -> None:
    nights.make_busy()
    nights.bench.at(NIGHT)
    for minute in range(0, 40, 5):
        nights.bench.at(NIGHT + 60 * minute + 1)
    [line] = nights.told[0].alerts
    assert "no duel could confirm it: the machine was busy for 30m: cc1plus" in line.confirmation
    assert [each.outcome for each in nights.confirmations] == [FireOutcome.SKIPPED]


def test_job_without_confirmation_tells_at_once(nights: Nights) -> None:
    nights.bench.put(confirm_s=0.0)
    nights.night()
    [line] = nights.told[0].alerts
    assert (line.confirmed, line.confirmation, nights.duels) == ("", "", [])


def test_other_jobs_wait_for_duel(nights: Nights) -> None:
    nights.duel_ends = None
    nights.bench.put(name="other")
    nights.night()
    assert {each.job: each.state for each in nights.bench.fires()} == {
        "nightly": FireState.ENDED, "nightly/confirm": FireState.RUNNING, "other": FireState.QUEUED
    }  # fmt: skip


class TestKilled:
    """A duel that does not end by itself is made once after the restart, and never twice."""

    def restart(self, nights: Nights, *, second: int) -> None:
        nights.bench.clock.to(NIGHT + second)
        nights.bench.daemon = nights.bench.new_daemon()
        nights.bench.daemon.recover()
        for step in range(3):
            nights.bench.at(NIGHT + second + 1 + step)

    def test_in_middle_of_duel(self, nights: Nights) -> None:
        nights.duel_ends = None
        nights.night()
        assert (nights.told, len(nights.duels)) == ([], 1)
        assert "not reported yet, a duel is to confirm it" in with_confirmation(nights.alerts[0])
        nights.duel_ends = Exit(code=1)
        for second in (20, 40, 60):
            self.restart(nights, second=second)
        assert len(nights.duels) == 2
        assert [message.alerts[0].duel for message in nights.told] == [nights.duels[1]]
        assert len(nights.confirmations) == 1

    def test_before_duel_is_queued(self, nights: Nights) -> None:
        """Killed after the alert was stored and before anything else."""
        nights.make_busy()
        nights.bench.at(NIGHT)
        [confirmation] = nights.confirmations
        # As if it had not been queued.
        nights.bench.store.journal().change(confirmation.key, due_at=NIGHT - 999, state="ended")
        nights.bench.busy = ""
        self.restart(nights, second=20)
        assert (len(nights.duels), len(nights.told)) == (1, 1)

    def test_duel_that_ended_while_no_scheduler_ran_is_not_made_again(self, nights: Nights) -> None:
        nights.duel_ends = None
        nights.night()
        nights.bench.store.finish(nights.duels[0], status=RunStatus.COMPLETE, ended_at=NIGHT + 30)
        self.restart(nights, second=40)
        assert (len(nights.duels), len(nights.told)) == (1, 1)

    def test_duel_of_stopped_scheduler_is_made_by_next_one(self, nights: Nights) -> None:
        nights.duel_ends = None
        nights.night()
        nights.bench.daemon.stop()
        nights.bench.launcher.started[-1].ends = Exit(code=130)
        nights.bench.daemon.step()
        assert nights.bench.daemon.running is None
        assert nights.told == []
        nights.duel_ends = Exit(code=1)
        self.restart(nights, second=40)
        assert (len(nights.duels), len(nights.told)) == (2, 1)

    def test_duel_that_is_interrupted_every_time_is_given_up(self, nights: Nights) -> None:
        nights.duel_ends = None
        nights.night()
        for second in range(20, 120, 20):
            self.restart(nights, second=second)
        assert len(nights.duels) == 3
        [line] = nights.told[0].alerts
        assert line.confirmed == "not possible"
        assert len(nights.told) == 1

    def test_killed_duel_alone_does_not_hold_alert_back(self, nights: Nights) -> None:
        nights.duel_ends = None
        nights.night()
        nights.bench.launcher.started[-1].ends = Exit(code=-9)
        nights.bench.daemon.step()
        [line] = nights.told[0].alerts
        assert line.confirmation == "no duel could confirm it: killed by SIGKILL"

    def test_while_message_is_recorded(self, nights: Nights, monkeypatch: pytest.MonkeyPatch) -> None:
        journal = nights.bench.daemon.context.post_run.journal
        monkeypatch.setattr(type(journal), "note_confirmation", _fail)
        nights.night()
        monkeypatch.undo()
        nights.bench.store.journal().change(nights.confirmations[0].key, state="running")
        self.restart(nights, second=20)
        assert (len(nights.duels), len(nights.told)) == (1, 1)


def _fail(*_: object, **__: object) -> None:
    raise OSError("killed here")


class TestImprovement:
    @pytest.fixture
    def nights(self, bench: Any, make_run: Run) -> Nights:
        nights = Nights(bench, make_run, promote="clean")
        nights.run_verdict, nights.duel_verdict, nights.size = IMPROVED, IMPROVED, -0.1
        nights.duel_ends = Exit(code=0)
        return nights

    def test_confirmed_gain_is_told_once_as_improvement(self, nights: Nights) -> None:
        nights.night()
        nights.night(1)
        [message] = nights.told
        assert message.event == "improvement"
        assert message.subject.startswith("kokoro-bench: improvement: latency of ")
        assert "is better by −9.5 %" in message.text
        assert message.alerts[0].confirmed == "confirmed"
        assert nights.alerts[0].kind is AlertKind.IMPROVEMENT

    def test_gain_that_duel_does_not_show_is_not_told(self, nights: Nights) -> None:
        nights.duel_verdict = UNCHANGED
        nights.night()
        assert (nights.told, nights.alerts[0].ending) == ([], AlertEnding.NOT_CONFIRMED)

    def test_run_is_promoted_after_its_duel(self, nights: Nights) -> None:
        """Before, the duel would have compared the run with itself."""
        nights.duel_ends = None
        nights.night()
        assert nights.bench.promoted == set()
        nights.bench.launcher.started[-1].ends = Exit(code=0)
        nights.bench.daemon.step()
        assert nights.bench.promoted == {nights.runs[0]}

    def test_gain_that_is_gone_ends_without_message(self, nights: Nights) -> None:
        nights.night()
        nights.run_verdict, nights.size = UNCHANGED, 0.0
        nights.night(1)
        assert (len(nights.told), nights.alerts[0].ending) == (1, AlertEnding.RECOVERED)


@pytest.mark.parametrize(("planted", "kind"), [(0.10, REGRESSED), (-0.10, IMPROVED)])
def test_step_of_history_is_compared_with_what_ran_before_it(
    bench: Any, make_run: Run, planted: float, kind: VerdictKind
) -> None:
    nights = Nights(bench, make_run)
    nights.duel_verdict = kind

    def run(process: Any) -> None:
        night = len(nights.runs)
        level = 0.002 * (night % 3) + (planted if night >= STEP else 0.0)
        at = bench.clock.wall()
        run_id = make_run(bench.store, at=at, median=math.exp(level), source="after" if night >= STEP else "before")
        nights.runs.append(run_id)
        bench.begin(process, run_id)
        process.ends = Exit(code=0)

    nights.run = run  # type: ignore[method-assign]
    for number in range(STEP + 7):
        nights.night(number)
    [message] = nights.told
    [alert] = nights.alerts
    assert alert.compared_with == nights.runs[STEP - 1]
    assert message.alerts[0].confirmation.startswith(
        f"confirmed by a duel with what ran before (run {nights.runs[STEP - 1]}):"
    )
    assert message.event == ("alert" if planted > 0 else "improvement")
    moved = "up" if planted > 0 else "down"
    assert f"latency of {SCENARIO.id} stepped {moved} by" in message.text
    assert len(nights.duels) == 1


def test_recovery_of_confirmed_regression_is_told_and_is_no_improvement(nights: Nights) -> None:
    nights.night()
    nights.run_verdict, nights.size = UNCHANGED, 0.0
    nights.night(1)
    assert [message.event for message in nights.told] == ["alert", "recovered"]


class TestBisection:
    """A confirmed regression is bisected when nothing else is due."""

    @pytest.fixture
    def nights(self, bench: Any, make_run: Run) -> Nights:
        return Nights(bench, make_run, explain="bisect")

    def test_confirmed_regression_is_bisected_once(self, nights: Nights) -> None:
        nights.night()
        nights.night(1)
        assert nights.bisections == 1
        [fire] = [each for each in nights.bench.fires() if each.explains is not None]
        assert (fire.job, fire.declared_job, fire.explains) == ("nightly/explain", "nightly", nights.alerts[0].key)
        assert (fire.outcome, len(nights.told)) == (FireOutcome.OK, 1)

    @pytest.mark.parametrize(("shown", "explain"), [(UNCHANGED, "bisect"), (UNKNOWN, "bisect"), (REGRESSED, "never")])
    def test_nothing_else_is_bisected(self, nights: Nights, shown: VerdictKind, explain: str) -> None:
        nights.bench.put(confirm_s=600.0, explain=explain)
        nights.duel_verdict = shown
        nights.night()
        assert nights.bisections == 0

    def test_it_makes_way_for_what_is_due_and_goes_on_afterwards(self, nights: Nights) -> None:
        nights.bisection_ends = None
        nights.bench.put(name="later", cron="40 2 * * *")
        nights.night()
        bisection = nights.bench.launcher.started[-1]
        nights.run_verdict, nights.size = UNCHANGED, 0.0
        nights.bench.at(NIGHT + 600)
        assert bisection.asked == 1
        bisection.ends = Exit(code=130)
        nights.bisection_ends = Exit(code=0)
        for second in range(3):
            nights.bench.at(NIGHT + 610 + second)
        assert [process.order.arguments[0:2] for process in nights.bench.launcher.started[-3:]] == [
            ("schedule", "explain"), ("run", "--nightly"), ("schedule", "explain")
        ]  # fmt: skip
        fires = {each.job: each.outcome for each in nights.bench.fires()}
        assert fires["nightly/explain"] is FireOutcome.OK

    def test_why_there_is_none_is_noted_and_fails_nothing(self, nights: Nights) -> None:
        nights.bisection_ends = Exit(code=2)
        nights.night()
        assert nights.alerts[0].explanation == "no bisection: it was interrupted"
        assert len(nights.told) == 1
        assert _code(nights.bench.daemon) is ExitCode.WORSE, "the regression's, and not the bisection's"

    def test_its_runs_do_not_part_a_step_from_the_same_step_in_another_metric(self, nights: Nights) -> None:
        nights.bench.put(confirm_s=0.0)
        nights.night()
        for number in range(8):
            nights.make_run(nights.bench.store, at=NIGHT + 100 + number, selection="bisect ab12: probe", size=0.1)
        measure = nights.run

        def run(process: Any) -> None:
            measure(process)
            change = Estimate(point=0.1, low=0.09, high=0.11, level=0.99, method="m", n=12, launches=3)
            verdict = Verdict(scenario_id=SCENARIO.id, metric="rtf", kind=REGRESSED, change=change)
            nights.bench.store.conclude(nights.runs[-1], [], [verdict], ())

        nights.run = run  # type: ignore[method-assign]
        nights.night(1)
        assert [alert.metric for alert in nights.alerts] == ["latency", "rtf"]
        assert len(nights.told) == 1
