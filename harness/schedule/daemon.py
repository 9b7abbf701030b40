"""The daemon: queues due jobs and runs the queue, one process at a time.

Its state is in the store, so that the next start continues after a kill. It records a due time before it advances the
job, a process before it sends the start signal, and the process's end before the actions that follow.
"""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Final, TypeVar

from harness.core.clock import Clock
from harness.core.errors import BenchError
from harness.core.output_files import check_directory
from harness.core.records.schedule import Fire, FireOutcome, FireState, SchedulerInstance
from harness.plan.config import Config
from harness.schedule.confirmation import command_of, is_tried_again, next_of, time_limit_of
from harness.schedule.job import Job, Settings, duration
from harness.schedule.job_store import JobStore
from harness.schedule.launcher import Exit, Launcher, Order, Process
from harness.schedule.outcome import Ending, Found, confirmation_outcome, explanation_outcome, outcome_of, run_of
from harness.schedule.post_run import PostRunActions
from harness.schedule.triggers import Move, moment, plan
from harness.store.retry import with_retries
from harness.store.rows import RunRow
from harness.store.runs import RunStore
from harness.store.schedule_log import ScheduleLog

POLL_S: Final = 1.0
"""Interval (s) at which a run is checked."""
LOOK_S: Final = 5.0
"""Interval (s) at which the job store and the queue are read: the longest wait after a command changes them."""
BUSY_AGAIN_S: Final = 15.0
SEEN_S: Final = 20.0
"""Interval (s) at which the scheduler reports to the store."""
KILL_AFTER_S: Final = 20.0
"""A run that has not ended this long (s) after the request to end is killed; a service manager kills all after 30."""

Result = TypeVar("Result")


@dataclass(frozen=True, slots=True, kw_only=True)
class DaemonContext:
    """What a daemon uses from outside. `busy` returns why the machine cannot measure, or ""."""

    config: Config
    settings: Settings
    store: RunStore
    journal: ScheduleLog
    job_store: JobStore
    post_run: PostRunActions
    launcher: Launcher
    clock: Clock
    busy: Callable[[], str]
    say: Callable[[str], None]
    instance: SchedulerInstance
    machine_key: str
    logs: Path
    retry_s: float = 90.0


@dataclass(slots=True, kw_only=True)
class Running:
    """The current run. `job` is None if an earlier scheduler started the run and the job no longer exists."""

    fire: Fire
    job: Job
    process: Process
    until: float
    asked_at: float | None = None
    over_limit: bool = False


@dataclass(slots=True)
class Daemon:
    """The daemon. Call `recover`, then `step` repeatedly. A signal handler may call `stop`."""

    context: DaemonContext
    running: Running | None = None
    stopping: bool = False
    doing: str = "waiting"
    outcomes: Counter[FireOutcome] = field(default_factory=Counter)
    """Outcome → the number of due times since this daemon started. A run whose findings no duel shows is not worse."""
    _worse: set[str] = field(default_factory=set)
    """The runs that count as worse."""
    _waiting: dict[int, float] = field(default_factory=dict)
    """Key of a queued due time → since when it has waited for a quiet machine."""
    _looked_at: float = float("-inf")
    _seen_at: float = float("-inf")
    _busy_until: float = float("-inf")

    def recover(self) -> None:
        """Continue after an earlier scheduler: adopt its run or record how it ended; queue what never started."""
        context = self.context
        self._abandon()
        for fire in self._db(lambda: context.journal.open_fires(context.instance.runner)):
            job = self._job(fire) or Job(name=fire.declared_job)
            if fire.outcome is not None:
                found = Found(outcome=fire.outcome, reason=fire.reason, cause=fire.cause)
                ended_at = fire.ended_at or context.clock.wall()
                self._follow(fire, job, found, now=ended_at, run_id=fire.run_id, exit_code=fire.exit_code)
                continue
            if fire.state is not FireState.RUNNING or self.running is not None:
                continue
            started_at = fire.started_at or fire.queued_at
            process = context.launcher.adopt(fire.pid, started_at) if fire.boot == context.instance.boot else None
            if process is not None:
                self.running = Running(fire=fire, job=job, process=process, until=started_at + time_limit_of(fire, job))
                self._say(f"{fire.job}: a run of an earlier scheduler is still running (process {fire.pid})")
            elif self._run_of(fire):
                self._settle(fire, job, Exit(code=None), Ending.LOST)
            else:
                self._queue_again(fire)
                self._say(f"{fire.job}: had not begun when the scheduler was killed; queued again")
        self._db(lambda: context.post_run.resume(context.instance.runner, now=context.clock.wall()))

    def step(self) -> float:
        """Do everything due now, and return the seconds until the next action."""
        now = self.context.clock.wall()
        if self.running is not None:
            self._watch(self.running, now)
        # Also read them after the clock was set back.
        if abs(now - self._looked_at) >= LOOK_S and not self.stopping:
            self._looked_at = now
            self._look(now)
            self._make_way(now)
        if self.running is None and not self.stopping:
            self._start_next(now)
        if abs(now - self._seen_at) >= SEEN_S:
            self._sign(now)
        return POLL_S if self.running is not None or self.stopping else min(LOOK_S, 2 * POLL_S)

    def stop(self) -> None:
        """Request the current run to end, and start no other."""
        self.stopping = True
        if self.running is not None and self.running.asked_at is None:
            self.running.asked_at = self.context.clock.wall()
            self.running.process.terminate()

    def drained(self) -> bool:
        """Whether nothing runs and nothing is queued."""
        context = self.context
        return self.running is None and not self._db(lambda: context.journal.open_fires(context.instance.runner))

    # Internal.

    def _look(self, now: float) -> None:
        """Queue what is due, each due time once, and set the next."""
        context = self.context
        for move in plan(self._db(context.job_store.all), now):
            if move.note:
                self._say(f"{move.name}: {move.note}")
            if move.due_at is not None:
                self._queue(move, now)
            self._db(lambda move=move: context.job_store.advance(move.name, move.next_at))  # type: ignore[misc]

    def _make_way(self, now: float) -> None:
        """End a bisection when something else is due. It goes on later, where it ended."""
        running, journal = self.running, self.context.journal
        if running is None or running.fire.explains is None or running.asked_at is not None:
            return
        fires = self._db(lambda: journal.open_fires(self.context.instance.runner))
        if any(fire.state is FireState.QUEUED and fire.explains is None for fire in fires):
            running.asked_at = now
            running.process.terminate()
            self._say(f"{running.fire.job}: makes way for what is due")

    def _queue(self, move: Move, now: float) -> None:
        context = self.context
        fires = self._db(lambda: context.journal.open_fires(context.instance.runner))
        same = next((fire for fire in fires if fire.job == move.name and not fire.asked), None)
        if same is not None:
            # Still queued or running: that run counts for this time too.
            self._change(same, missed=same.missed + 1 + move.missed)
            return
        due_at = move.due_at if move.due_at is not None else now
        self._db(
            lambda: context.journal.enqueue(
                runner=context.instance.runner, job=move.name, due_at=due_at, asked=False,
                missed=move.missed, now=now, machine_key=context.machine_key,
            )
        )  # fmt: skip
        if move.missed:
            self._say(
                f"{move.name}: {move.missed + 1} times were missed since {moment(due_at)}; the job runs once for all"
            )

    def _start_next(self, now: float) -> None:
        context = self.context
        if self._busy_until - now >= 0:
            return
        queued = [
            fire
            for fire in self._db(lambda: context.journal.open_fires(context.instance.runner))
            if fire.state is FireState.QUEUED
        ]
        self.doing = "waiting"
        if not queued:
            return
        fire = next_of(queued)
        job = self._job(fire)
        if job is None:
            self._end(
                fire, Job(name=fire.declared_job), outcome=FireOutcome.SKIPPED, reason="the job was removed", now=now
            )
            return
        if reason := context.busy():
            self._wait(fire, job, reason, now)
            return
        self._waiting.pop(fire.key, None)
        try:
            self._start(fire, job, now)
        except BenchError as error:
            self._end(fire, job, outcome=FireOutcome.FAILED, reason=str(error), now=now)

    def _wait(self, fire: Fire, job: Job, reason: str, now: float) -> None:
        """Leave a due time in the queue while the machine is busy, up to a limit."""
        context = self.context
        limit_s = context.settings.busy_wait_s
        since = self._waiting.setdefault(fire.key, now)
        if now < since:
            self._waiting[fire.key] = since = now  # the clock was set back
        if now - since >= limit_s:
            self._waiting.pop(fire.key)
            why = f"the machine was busy for {duration(limit_s)}: {reason}"
            self._end(fire, job, outcome=FireOutcome.SKIPPED, reason=why, now=now)
            return
        if since == now:
            self._say(f"{fire.job}: waits up to {duration(limit_s)} for a quiet machine: {reason}")
        self.doing = f"{fire.job} waits for a quiet machine: {reason}"
        self._busy_until = now + BUSY_AGAIN_S

    def _start(self, fire: Fire, job: Job, now: float) -> None:
        context = self.context
        check_directory(context.logs, where="logs of scheduled runs")
        stamp = datetime.fromtimestamp(now, tz=UTC).strftime("%Y%m%d-%H%M%S")
        log = context.logs / f"{stamp}-{fire.key}-{fire.job.replace('/', '-')}.log"
        until = now + time_limit_of(fire, job)
        wait_s = context.settings.busy_wait_s
        arguments = self._db(lambda: command_of(fire, job, context.config, context.journal, wait_s=wait_s))
        process = context.launcher.start(
            Order(arguments=arguments, directory=context.config.root, log=log, until=until)
        )
        begun = replace(
            fire, state=FireState.RUNNING, started_at=now, pid=process.pid, boot=context.instance.boot, log=str(log)
        )
        self._change(
            fire, state=begun.state.value, started_at=now, pid=begun.pid, boot=begun.boot, log=begun.log, reason=""
        )
        process.go()
        self.running = Running(fire=begun, job=job, process=process, until=until)
        self.doing = f"{fire.job} runs"
        self._say(f"{fire.job}: runs since {moment(now)} (process {process.pid}), log {log}")
        self._sign(now)

    def _watch(self, running: Running, now: float) -> None:
        ended = running.process.poll()
        if ended is not None:
            self.running = None
            self.doing = "waiting"
            ending = Ending.ITSELF
            if running.asked_at is not None:
                ending = Ending.LIMIT if running.over_limit else Ending.STOPPED
            self._settle(running.fire, running.job, ended, ending)
            return
        if running.asked_at is None and now >= running.until:
            running.asked_at, running.over_limit = now, True
            running.process.terminate()
            self._say(f"{running.fire.job}: its time limit is over; a shutdown was requested")
        elif running.asked_at is not None and now - running.asked_at >= KILL_AFTER_S:
            running.process.kill()

    def _settle(self, fire: Fire, job: Job, ended: Exit, ending: Ending) -> None:
        """Record how a run ended, and run the actions that follow."""
        context = self.context
        now = context.clock.wall()
        log = Path(fire.log)
        run_id = self._run_of(fire)
        self._abandon()
        row = self._db(lambda: context.store.row(run_id)) if run_id else None
        if self._is_tried_again(fire, ending, row):
            self._queue_again(fire)
            self._say(f"{fire.job}: interrupted; it is measured again")
            return
        explains = fire.explains is not None
        found = explanation_outcome(ended, ending, log) if explains else outcome_of(ended, ending, row=row, log=log)
        if fire.confirms:
            found = self._db(lambda: confirmation_outcome(found, fire, context.store))
        took = duration(round(max(0.0, now - (fire.started_at or now))))
        self._say(f"{fire.job}: {found.outcome.value} after {took}" + (f": {found.reason}" if found.reason else ""))
        self._follow(fire, job, found, now=now, run_id=run_id if row else "", exit_code=ended.code)

    def _follow(
        self, fire: Fire, job: Job, found: Found, *, now: float, run_id: str = "", exit_code: int | None = None
    ) -> None:
        """Run the actions before the end is final, so that after a kill the next scheduler runs them."""
        ended = replace(
            fire, ended_at=now, outcome=found.outcome, cause=found.cause, reason=found.reason, run_id=run_id,
            exit_code=exit_code,
        )  # fmt: skip
        self._db(lambda: self.context.journal.note_end(ended))
        self.outcomes[found.outcome] += fire.explains is None
        if found.outcome is FireOutcome.WORSE and run_id:
            self._worse.add(run_id)
        self.context.post_run.of(ended, job, now=now)
        if fire.confirms in self._worse and self._db(lambda: self.context.post_run.is_refuted(fire.confirms)):
            self._worse.remove(fire.confirms)
            self.outcomes.subtract([FireOutcome.WORSE])
        self._change(fire, state=FireState.ENDED.value)

    def _end(self, fire: Fire, job: Job, *, outcome: FireOutcome, reason: str, now: float) -> None:
        self._say(f"{fire.job}: {outcome.value}: {reason}")
        self._follow(fire, job, Found(outcome=outcome, reason=reason), now=now)

    def _change(self, fire: Fire, **values: object) -> None:
        self._db(lambda: self.context.journal.change(fire.key, **values))

    def _queue_again(self, fire: Fire) -> None:
        self._change(fire, state=FireState.QUEUED.value, pid=0, started_at=None)

    def _is_tried_again(self, fire: Fire, ending: Ending, row: RunRow | None) -> bool:
        """Whether a confirmation or bisection that ended with the scheduler, and not of itself, is measured again."""
        context = self.context
        stopped = ending in (Ending.STOPPED, Ending.LOST)
        return stopped and self._db(lambda: is_tried_again(context.store, fire, row, now=context.clock.wall()))

    def _run_of(self, fire: Fire) -> str:
        return self._db(lambda: run_of(fire, self.context.store))

    def _job(self, fire: Fire) -> Job | None:
        every = self._db(self.context.job_store.all)
        return next((booked.job for booked in every if booked.job.name == fire.declared_job), None)

    def _abandon(self) -> None:
        context = self.context
        for key in {context.machine_key, "scripted"}:
            self._db(lambda key=key: context.store.mark_abandoned(machine_key=key, boot=context.instance.boot))  # type: ignore[misc]

    def _sign(self, now: float) -> None:
        self._seen_at = now
        self._db(lambda: self.context.journal.keep(replace(self.context.instance, seen_at=now, doing=self.doing)))

    def _db(self, action: Callable[[], Result]) -> Result:
        return with_retries(action, clock=self.context.clock, report=self._say, wait_s=self.context.retry_s)

    def _say(self, text: str) -> None:
        self.context.say(text)
