"""The daemon on a scripted clock: what runs, when, and what is noted."""

from collections.abc import Callable
from typing import Any

import pytest

from harness.core.records.run import RunStatus
from harness.core.records.schedule import FireOutcome, FireState
from harness.schedule.daemon import KILL_AFTER_S
from harness.schedule.dashboard import _encoded
from harness.schedule.launcher import Exit
from harness.schedule.status import overview

START = 1_767_225_600.0
DAY = 86_400.0
NIGHT = START + 2.5 * 3_600
Run = Callable[..., str]


def finish(bench: Any, run_id: str, code: int = 0) -> None:
    """The run under way ends."""
    process = bench.launcher.started[-1]
    bench.begin(process, run_id)
    process.ends = Exit(code=code)
    bench.daemon.step()


def test_nightly_job_runs_once_and_its_outcome_is_stored(bench: Any, make_run: Run) -> None:
    bench.put(budget_s=60.0, options=(("model", "replica"),), expression="whole")
    bench.at(NIGHT - 10)
    assert bench.launcher.count == 0
    bench.at(NIGHT)
    [process] = bench.launcher.started
    assert process.gone
    assert process.order.arguments[:2] == ("run", "--nightly")
    assert {"--budget=60", "--model=replica"} <= set(process.order.arguments)
    assert process.order.arguments[-2:] == ("-k", "whole")
    [fire] = bench.fires()
    assert (fire.state, fire.pid, fire.due_at) == (FireState.RUNNING, process.pid, NIGHT)
    bench.clock.to(NIGHT + 120)
    finish(bench, make_run(bench.store, at=NIGHT))
    [fire] = bench.fires()
    assert (fire.state, fire.outcome, fire.duration_s) == (FireState.ENDED, FireOutcome.OK, 120.0)
    assert fire.run_id == f"run-{int(NIGHT)}"
    bench.at(NIGHT + 3_600)
    assert bench.launcher.count == 1


@pytest.mark.parametrize(
    ("code", "status", "outcome", "reason"),
    [
        (0, RunStatus.COMPLETE, FireOutcome.OK, ""),
        (1, RunStatus.COMPLETE, FireOutcome.WORSE, ""),
        (4, RunStatus.COMPLETE, FireOutcome.UNDECIDED, ""),
        (3, RunStatus.FAILED, FireOutcome.FAILED, "something could not be measured validly"),
        (130, RunStatus.INTERRUPTED, FireOutcome.INTERRUPTED, ""),
        (-9, RunStatus.INTERRUPTED, FireOutcome.FAILED, "killed by SIGKILL"),
    ],
)
def test_how_a_run_ended(
    bench: Any, make_run: Run, code: int, status: RunStatus, outcome: FireOutcome, reason: str
) -> None:
    bench.put()
    bench.at(NIGHT)
    finish(bench, make_run(bench.store, at=NIGHT, status=status), code)
    [fire] = bench.fires()
    assert (fire.outcome, fire.reason, fire.exit_code) == (outcome, reason, code)


def test_a_run_that_never_began_says_the_last_line_of_its_log(bench: Any) -> None:
    bench.put()
    bench.at(NIGHT)
    process = bench.launcher.started[-1]
    process.order.log.write_text("collecting\nkokoro-bench: --model: no such model\n\n")
    process.ends = Exit(code=2)
    bench.daemon.step()
    [fire] = bench.fires()
    assert (fire.outcome, fire.run_id) == (FireOutcome.FAILED, "")
    assert fire.reason == "exit code 2: kokoro-bench: --model: no such model"
    [message] = bench.told
    assert message.subject == "kokoro-bench: job nightly failed: exit code 2: kokoro-bench: --model: no such model"


def test_over_its_limit_a_run_is_asked_to_end_once_and_kept_as_partial(bench: Any, make_run: Run) -> None:
    bench.put(limit_s=600.0)
    bench.at(NIGHT)
    process = bench.launcher.started[-1]
    assert process.order.until == NIGHT + 600
    bench.at(NIGHT + 599)
    assert process.asked == 0
    bench.at(NIGHT + 600)
    assert (process.asked, process.killed) == (1, 0)
    run_id = make_run(bench.store, at=NIGHT, status=RunStatus.PARTIAL)
    finish(bench, run_id)
    [fire] = bench.fires()
    assert fire.outcome is FireOutcome.FAILED  # not one block was measured
    assert "before a block" in fire.reason


def test_a_run_that_does_not_heed_its_limit_is_killed(bench: Any) -> None:
    bench.put(limit_s=600.0)
    for seconds in (0, 600, 600 + KILL_AFTER_S - 1):
        bench.at(NIGHT + seconds)
    process = bench.launcher.started[-1]
    assert (process.asked, process.killed) == (1, 0)
    bench.at(NIGHT + 600 + KILL_AFTER_S)
    assert process.asked == 1
    assert process.killed >= 1  # until the system has ended it


def test_alerts_and_the_live_page_name_no_folder_of_the_users(bench: Any) -> None:
    bench.put()
    bench.at(NIGHT)
    process = bench.launcher.started[-1]
    process.order.log.write_text("kokoro-bench: '/home/me/zz-private-folder/k.onnx': no such model\n")
    process.ends = Exit(code=2)
    bench.daemon.step()
    [message] = bench.told
    assert "k.onnx" in message.text
    assert "zz-private-folder" not in message.as_json()
    journal = bench.store.journal()
    shown = overview(bench.store, journal, bench.job_store.all(), runner="here", now=bench.clock.wall())
    live = _encoded(shown).decode()
    assert "k.onnx" in live
    assert "zz-private-folder" not in live
    assert str(bench.config.root) not in live, "where the log lies"


def test_while_the_machine_is_busy_nothing_is_measured(bench: Any) -> None:
    bench.put()
    bench.busy = "2.0 CPUs are busy: cc1plus 198 %"
    bench.at(NIGHT)
    assert bench.launcher.count == 0
    assert "waits up to 30m for a quiet machine: 2.0 CPUs are busy" in bench.said[-1]
    assert "waits for a quiet machine" in bench.daemon.doing
    bench.busy = ""
    bench.at(NIGHT + 60)
    assert bench.launcher.count == 1


def test_a_machine_that_stays_busy_costs_the_run_and_is_told_once(bench: Any) -> None:
    bench.put()
    bench.busy = "cc1plus"
    for night in range(3):
        for minutes in range(0, 40, 5):
            bench.at(NIGHT + night * DAY + 60 * minutes)
    assert [fire.outcome for fire in bench.fires()] == [FireOutcome.SKIPPED] * 3
    assert len(bench.told) == 1
    assert bench.launcher.count == 0


def test_two_jobs_due_at_once_run_one_after_the_other(bench: Any, make_run: Run) -> None:
    bench.put(name="a")
    bench.put(name="b")
    bench.at(NIGHT)
    assert [fire.state for fire in bench.fires()] == [FireState.RUNNING, FireState.QUEUED]
    finish(bench, make_run(bench.store, at=NIGHT))
    bench.daemon.step()
    assert bench.launcher.count == 2


def test_what_is_due_while_its_job_still_runs_is_counted_and_not_queued(bench: Any, make_run: Run) -> None:
    bench.put(cron="", every_s=60.0)
    for minute in range(1, 6):
        bench.at(START + 60 * minute)
    assert bench.launcher.count == 1
    finish(bench, make_run(bench.store, at=START))
    [fire] = bench.fires()
    assert fire.missed == 4


class TestKilled:
    """A new start after a kill: whatever was noted is taken up, and nothing runs twice."""

    def test_between_the_queue_and_the_book(self, bench: Any) -> None:
        bench.put()
        bench.store.journal().enqueue(
            runner="here", job="nightly", due_at=NIGHT, asked=False, missed=0, now=NIGHT, machine_key="two-core"
        )
        bench.clock.to(NIGHT + 1)
        bench.daemon = bench.new_daemon()
        bench.daemon.recover()
        bench.at(NIGHT + 2)
        bench.at(NIGHT + 60)
        assert bench.launcher.count == 1
        assert len(bench.fires()) == 1

    def test_before_the_run_had_begun(self, bench: Any) -> None:
        bench.put()
        bench.at(NIGHT)
        bench.daemon = bench.new_daemon()
        bench.daemon.recover()
        assert [fire.state for fire in bench.fires()] == [FireState.QUEUED]
        bench.at(NIGHT + 10)
        assert bench.launcher.count == 2
        assert len(bench.fires()) == 1

    def test_after_the_run_had_begun(self, bench: Any, make_run: Run) -> None:
        bench.put()
        bench.at(NIGHT)
        bench.begin(bench.launcher.started[-1], make_run(bench.store, at=NIGHT, status=RunStatus.INTERRUPTED))
        bench.daemon = bench.new_daemon()
        bench.daemon.recover()
        bench.at(NIGHT + 10)
        [fire] = bench.fires()
        assert fire.outcome is FireOutcome.INTERRUPTED
        assert bench.launcher.count == 1
        assert [message.event for message in bench.told] == ["alert"]

    def test_while_the_run_goes_on(self, bench: Any, make_run: Run) -> None:
        bench.put()
        bench.at(NIGHT)
        process = bench.launcher.started[-1]
        bench.launcher.adoptable[process.pid] = process
        bench.daemon = bench.new_daemon()
        bench.daemon.recover()
        bench.at(NIGHT + 10)
        assert [fire.state for fire in bench.fires()] == [FireState.RUNNING]
        bench.begin(process, make_run(bench.store, at=NIGHT))
        process.ends = Exit(code=None)
        bench.at(NIGHT + 20)
        [fire] = bench.fires()
        assert (fire.outcome, fire.exit_code) == (FireOutcome.OK, None)
        assert bench.launcher.count == 1

    def test_between_the_end_and_what_follows(self, bench: Any, make_run: Run) -> None:
        bench.put()
        bench.at(NIGHT)
        [fire] = bench.fires()
        run_id = make_run(bench.store, at=NIGHT)
        bench.store.journal().change(fire.key, outcome="failed", reason="killed", ended_at=NIGHT + 5, run_id=run_id)
        bench.daemon = bench.new_daemon()
        bench.daemon.recover()
        [fire] = bench.fires()
        assert (fire.state, fire.outcome) == (FireState.ENDED, FireOutcome.FAILED)
        assert len(bench.told) == 1

    def test_process_of_another_boot_is_not_adopted(self, bench: Any) -> None:
        """After a power cut a process of the same number is another one."""
        bench.put()
        bench.at(NIGHT)
        process = bench.launcher.started[-1]
        bench.launcher.adoptable[process.pid] = process
        [fire] = bench.fires()
        bench.store.journal().change(fire.key, boot="boot-0")
        bench.daemon = bench.new_daemon()
        bench.daemon.recover()
        assert bench.daemon.running is None


def test_stopped_it_asks_its_run_to_end_and_starts_no_other(bench: Any, make_run: Run) -> None:
    bench.put(name="a")
    bench.put(name="b")
    bench.at(NIGHT)
    bench.daemon.stop()
    bench.daemon.stop()
    assert bench.launcher.started[-1].asked == 1
    finish(bench, make_run(bench.store, at=NIGHT, status=RunStatus.INTERRUPTED), 130)
    assert bench.daemon.running is None
    assert bench.launcher.count == 1
    assert [(fire.job, fire.outcome) for fire in bench.fires()] == [("a", FireOutcome.INTERRUPTED), ("b", None)]
    assert bench.told == []


def test_a_removed_job_leaves_no_run_behind(bench: Any) -> None:
    bench.put(name="a")
    bench.put(name="b")
    bench.at(NIGHT)
    bench.job_store.remove("b")
    bench.launcher.started[-1].ends = Exit(code=2)
    bench.at(NIGHT + 10)
    assert bench.fires()[1].reason == "the job was removed"
    assert bench.launcher.count == 1


@pytest.mark.parametrize(("by", "nights"), [(-3_600.0, 3), (3_600.0, 3)])
def test_a_clock_that_is_set_costs_no_night_and_doubles_none(bench: Any, make_run: Run, by: float, nights: int) -> None:
    bench.put()
    ran = []
    now = START
    for step in range(3 * 24 * 12):
        if step == 24 * 12 + 31:  # five minutes after the second night
            bench.clock.set(by)
        bench.clock.sleep(300.0)
        bench.daemon.step()
        now = bench.clock.wall()
        if bench.daemon.running is not None and bench.launcher.count > len(ran):
            ran.append(now)
            finish(bench, make_run(bench.store, at=now))
    assert len(ran) == nights
