"""An alert ends where the gate stays undecided, and no other run ends one that waits for its duel."""

from dataclasses import replace
from typing import Any

import pytest

from harness.core.records.run import REPLAY_OF, RunStatus
from harness.core.records.schedule import AlertEnding, AlertKind, Confirmation, FireOutcome
from harness.core.records.verdict import VerdictKind
from harness.schedule.alerts import ENOUGH
from harness.schedule.job import Job
from harness.schedule.launcher import Exit

from . import test_confirmation, test_endings
from .test_confirmation import NIGHT
from .test_thousand_nights import Run

REGRESSED, UNCHANGED = VerdictKind.REGRESSED, VerdictKind.UNCHANGED
UNKNOWN, IMPROVED = VerdictKind.INCONCLUSIVE, VerdictKind.IMPROVED


@pytest.fixture
def nights(bench: Any, make_run: Run) -> test_endings.Nights:
    """The schedule promotes, so an alert that never ends would keep back every further run."""
    nights = test_endings.Nights(bench, make_run)
    bench.put(promote="clean")
    return nights


class TestUndecided:
    """Few accepted runs: a change of 80 % is seen, and that it is gone can not be shown as an equivalence."""

    def test_run_whose_interval_lies_below_that_of_alert_ends_it(self, nights: test_endings.Nights) -> None:
        nights.play(0, level=0.8, verdict=REGRESSED, half=0.3)
        after = nights.play(1, verdict=UNKNOWN, half=0.4)
        assert nights.events == ["alert", "recovered"]
        assert (nights.alert.ending, nights.alert.closed_by) == (AlertEnding.RECOVERED, after)
        assert after in nights.bench.promoted
        nights.play(2, level=0.8, verdict=REGRESSED, half=0.3)
        assert nights.events == ["alert", "recovered", "alert"], "a second slowdown is an alert of its own"

    @pytest.mark.parametrize("level", [0.04, 0.5])
    def test_run_beyond_tolerance_does_not(self, nights: test_endings.Nights, level: float) -> None:
        nights.play(0, level=0.8, verdict=REGRESSED, half=0.1)
        for night in range(1, ENOUGH + 3):
            nights.play(night, level=level, verdict=UNKNOWN, half=0.6)
        assert nights.events == ["alert"]

    def test_enough_runs_in_a_row_end_it_once(self, nights: test_endings.Nights) -> None:
        nights.play(0, level=0.8, verdict=REGRESSED, half=0.3)
        nights.play(1, level=0.02, verdict=UNKNOWN, half=0.7)
        nights.play(2, level=0.04, verdict=UNKNOWN, half=0.7)
        for night in range(3, 2 + ENOUGH):
            nights.play(night, level=0.02, verdict=UNKNOWN, half=0.7)
            assert nights.events == ["alert"]
        nights.play(2 + ENOUGH, level=0.02, verdict=UNKNOWN, half=0.7)
        assert nights.events == ["alert", "recovered"]

    def test_runs_before_alert_do_not_count(self, nights: test_endings.Nights) -> None:
        for night in range(ENOUGH):
            nights.play(night, level=0.02, verdict=UNKNOWN, half=0.7)
        nights.play(ENOUGH, level=0.8, verdict=REGRESSED, half=0.3)
        nights.play(ENOUGH + 1, level=0.02, verdict=UNKNOWN, half=0.7)
        assert nights.events == ["alert"]

    def test_interrupted_run_does_not_count(self, nights: test_endings.Nights) -> None:
        nights.play(0, level=0.8, verdict=REGRESSED, half=0.3)
        for night in range(1, ENOUGH):
            nights.play(night, level=0.02, verdict=UNKNOWN, half=0.7)
        nights.play(ENOUGH, verdict=UNKNOWN, half=0.4, status=RunStatus.INTERRUPTED)
        assert "recovered" not in nights.events

    def test_gain_that_is_gone_ends(self, nights: test_endings.Nights) -> None:
        nights.play(0, level=-0.8, verdict=IMPROVED, half=0.3)
        nights.play(1, level=-0.5, verdict=UNKNOWN, half=0.6)
        assert nights.alert.closed_at is None
        nights.play(2, verdict=UNKNOWN, half=0.4)
        assert (nights.alert.kind, nights.alert.ending) == (AlertKind.IMPROVEMENT, AlertEnding.RECOVERED)


class TestProgressWithoutSpace:
    """The disk was full when a run could have said that it began: the store knows its run by its process."""

    def test_run_is_found_with_what_it_shows(self, nights: test_endings.Nights, make_run: Run) -> None:
        bench = nights.bench
        bench.at(NIGHT)
        process = bench.launcher.started[-1]
        make_run(bench.store, at=NIGHT + 1, pid=process.pid + 1, verdict=UNCHANGED)
        run_id = make_run(bench.store, at=NIGHT + 2, pid=process.pid, verdict=REGRESSED, size=0.8)
        make_run(bench.store, at=NIGHT + 3, pid=process.pid, verdict=UNCHANGED, selection=f"{REPLAY_OF}{run_id}")
        make_run(bench.store, at=NIGHT + 4, pid=process.pid, boot="boot-0", verdict=UNCHANGED)
        process.ends = Exit(code=1)
        bench.at(NIGHT + 60)
        [fire] = bench.fires()
        assert (fire.outcome, fire.run_id) == (FireOutcome.WORSE, run_id)
        assert [(message.event, message.run) for message in bench.told] == [("alert", run_id)]

    def test_run_that_was_killed_with_its_scheduler_is_not_measured_again(
        self, nights: test_endings.Nights, make_run: Run
    ) -> None:
        bench = nights.bench
        bench.at(NIGHT)
        pid = bench.launcher.started[-1].pid
        run_id = make_run(bench.store, at=NIGHT + 2, pid=pid, status=RunStatus.INTERRUPTED)
        bench.daemon = bench.new_daemon()
        bench.daemon.recover()
        bench.at(NIGHT + 60)
        [fire] = bench.fires()
        assert (fire.outcome, fire.run_id, bench.launcher.count) == (FireOutcome.INTERRUPTED, run_id, 1)

    def test_process_that_stored_no_run_has_none(self, nights: test_endings.Nights, make_run: Run) -> None:
        bench = nights.bench
        bench.clock.to(NIGHT - 60)
        make_run(bench.store, at=NIGHT - 50, pid=100_001)  # of an earlier process with this number
        bench.at(NIGHT)
        bench.launcher.started[-1].ends = Exit(code=2)
        bench.at(NIGHT + 60)
        [fire] = bench.fires()
        assert (fire.outcome, fire.run_id) == (FireOutcome.FAILED, "")

    def test_duel_is_found(self, bench: Any, make_run: Run) -> None:
        nights = test_confirmation.Nights(bench, make_run)

        def confirm(process: Any) -> None:
            nights.store_duel(RunStatus.COMPLETE, pid=process.pid)
            process.ends = Exit(code=1)

        nights.confirm = confirm  # type: ignore[method-assign]
        nights.night()
        assert [fire.run_id for fire in nights.confirmations] == nights.duels
        assert [message.alerts[0].duel for message in nights.told] == nights.duels


class TestOtherRunner:
    """Two schedules of one machine: a run of the other one lies between a finding and its duel."""

    @pytest.fixture
    def waiting(self, bench: Any, make_run: Run) -> test_confirmation.Nights:
        nights = test_confirmation.Nights(bench, make_run)
        nights.duel_ends = None
        nights.night()
        return nights

    def of_other(self, nights: test_confirmation.Nights, make_run: Run, **changes: Any) -> None:
        at = nights.bench.clock.wall() + 100
        run_id = make_run(nights.bench.store, at=at, verdict=UNCHANGED)
        fire = replace(nights.bench.fires()[0], runner="there", job="other", run_id=run_id, outcome=FireOutcome.OK)
        post_run = nights.bench.new_daemon("there").context.post_run
        replace(post_run, **changes).of(fire, Job(name="other"), now=at)

    def test_duel_decides_first(self, waiting: test_confirmation.Nights, make_run: Run) -> None:
        self.of_other(waiting, make_run)
        assert waiting.told == []
        waiting.bench.store.finish(waiting.duels[0], status=RunStatus.COMPLETE, ended_at=waiting.bench.clock.wall())
        waiting.bench.launcher.started[-1].ends = Exit(code=1)
        waiting.bench.daemon.step()
        assert [message.event for message in waiting.told] == ["alert"]
        assert waiting.alerts[0].confirmation is Confirmation.CONFIRMED
        waiting.run_verdict, waiting.size = UNCHANGED, 0.0
        waiting.night(1)
        assert [message.event for message in waiting.told] == ["alert", "recovered"]

    def test_end_of_alert_that_was_never_sent_is_not_sent(
        self, waiting: test_confirmation.Nights, make_run: Run
    ) -> None:
        self.of_other(waiting, make_run, accepted=lambda *_: True)
        assert (waiting.told, waiting.alerts[0].ending) == ([], AlertEnding.ACCEPTED)
