"""Runs a scheduler: its lock, its signals, and the assembly of its parts."""

import hashlib
import os
import platform
import signal
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from types import FrameType

from harness.analysis.alert_words import alert_page
from harness.core.cache_root import default_root
from harness.core.clock import SystemClock
from harness.core.errors import BenchError, ConfigError, ExitCode, UsageError
from harness.core.records.schedule import FireOutcome, SchedulerInstance
from harness.measure.runtimes.accepted_source import SourceAtCommits
from harness.measure.system import lock as exclusive
from harness.measure.system import processes
from harness.measure.system.machine import boot_id, identify
from harness.plan.config import Config, with_values
from harness.plan.keys import KEYS
from harness.schedule.daemon import Daemon, DaemonContext
from harness.schedule.endings import Acceptances, policy_of
from harness.schedule.job import Job, Settings
from harness.schedule.job_store import JobStore
from harness.schedule.jobs import Declared
from harness.schedule.last_results import LastResults
from harness.schedule.launcher import SystemLauncher
from harness.schedule.notifiers import Channel, channels
from harness.schedule.outbox import Outbox, Retry, at_once
from harness.schedule.post_run import PostRunActions
from harness.schedule.promotion import promote_run, promoted_runs
from harness.schedule.retention import Retention
from harness.schedule.site_process import write_site
from harness.schedule.status import ALIVE_S, Overview, overview
from harness.store.errors import AwayError
from harness.store.exports.openmetrics import Result
from harness.store.retry import with_retries
from harness.store.runs import RunStore, open_store
from harness.store.schedule_log import ScheduleLog

WATCHED_S = 1.0
"""Time (s) for which the machine is observed to decide whether it is busy."""
STOPPING_PAUSE_S = 0.2


class SchedulerThereError(UsageError):
    """Another scheduler runs this schedule."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Here:
    """The configuration and the store of a schedule, and this installation's name in the store."""

    config: Config
    store: RunStore
    journal: ScheduleLog
    machine_key: str
    runner: str
    boot: str

    @property
    def lock(self) -> Path:
        """The lock file of the scheduler of this runner and store."""
        digest = hashlib.sha256(f"{_address(self.journal)}\n{self.runner}".encode()).hexdigest()[:16]
        return default_root() / "locks" / f"schedule-{digest}.lock"


@contextmanager
def opened(config: Config, settings: Settings) -> Iterator[Here]:
    """Open the store, and determine this installation's name in it.

    Several machines may share the store on a server, and machines of the same kind share a key. The name therefore
    includes the host.
    """
    machine_key = identify().key
    with open_store(config.results) as store:
        journal = store.journal()
        own = machine_key if journal.is_local else f"{machine_key}@{platform.node()}"
        yield Here(
            config=config,
            store=store,
            journal=journal,
            machine_key=machine_key,
            runner=settings.runner or own,
            boot=boot_id(),
        )


def scheduler_at_work(here: Here, *, now: float) -> SchedulerInstance | None:
    """The scheduler that runs this schedule now; None if there is none."""
    from filelock import FileLock, Timeout

    found = here.journal.scheduler(here.runner)
    here.lock.parent.mkdir(parents=True, exist_ok=True)
    try:
        with FileLock(here.lock).acquire(timeout=0):
            elsewhere = found is not None and (found.boot != here.boot or found.host != platform.node())
            return found if elsewhere and found is not None and abs(now - found.seen_at) < ALIVE_S else None
    except Timeout:
        unknown = SchedulerInstance(
            runner=here.runner, pid=0, host=platform.node(), boot=here.boot, since=0, seen_at=0, doing=""
        )
        return found or unknown


@contextmanager
def keeping(here: Here, instance: SchedulerInstance, *, now: float, retry: Retry = at_once) -> Iterator[None]:
    """Hold the lock of the scheduler of this runner and store. Raises SchedulerThereError, which names the holder."""
    from filelock import FileLock, Timeout

    if (other := scheduler_at_work(here, now=now)) is not None:
        raise _there(other)
    lock = FileLock(here.lock)
    try:
        lock.acquire(timeout=0)
    except Timeout as error:
        raise _there(here.journal.scheduler(here.runner) or instance) from error
    try:
        retry(lambda: here.journal.keep(instance))
        yield
        with suppress(AwayError):  # the lock says it too
            here.journal.leave(here.runner)
    finally:
        lock.release()


Serve = Callable[[Callable[[], Overview], Callable[[], float], Callable[[], Sequence[Result]]], object]
"""Starts the dashboard."""


def keep_schedule(
    here: Here,
    declared: Declared,
    *,
    say: Callable[[str], None],
    once: bool,
    serve: Serve | None = None,
) -> ExitCode:
    """Run the schedule until a signal ends it; with `once`, until nothing is due or queued.

    `serve` gets the data of the dashboard: the overview, the seconds since the daemon's last activity, and the last
    results.
    """
    clock = SystemClock()
    now = clock.wall()
    for job in declared.jobs:
        check_job_options(job, here.config)
    targets = channels(declared.settings.alerts, root=declared.base)
    instance = SchedulerInstance(
        runner=here.runner, pid=os.getpid(), host=platform.node(), boot=here.boot, since=now, seen_at=now, doing=""
    )
    retry = partial(with_retries, clock=clock, report=say)
    with ExitStack() as stack:
        stack.enter_context(keeping(here, instance, now=now, retry=retry))
        job_store = stack.enter_context(retry(lambda: JobStore(here.journal, here.runner)))
        retry(lambda: job_store.sync(declared.jobs, now=now))
        context = DaemonContext(
            config=here.config, settings=declared.settings, store=here.store, journal=here.journal, job_store=job_store,
            post_run=_post_run(here, declared.settings, targets, say, retry), launcher=SystemLauncher(),
            clock=clock, busy=lambda: busy(here.machine_key, limit_cpus=declared.settings.busy_cpus), say=say,
            instance=instance, machine_key=here.machine_key, logs=logs_of(here.config),
        )  # fmt: skip
        daemon = Daemon(context)
        stack.enter_context(_signals(daemon.stop))
        beat = [clock.now_ns()]
        if serve is not None:
            serve(
                lambda: overview(here.store, here.journal, job_store.all(), runner=here.runner, now=clock.wall()),
                lambda: (clock.now_ns() - beat[0]) / 1e9,
                LastResults(here.store).read,
            )
        say(f"runs {len(job_store.all())} jobs of {here.runner} in {here.store.place} (process {os.getpid()})")
        daemon.recover()
        while True:
            pause_s = daemon.step()
            beat[0] = clock.now_ns()
            if daemon.stopping and daemon.running is None:
                say("ended; the next start runs queued and missed jobs")
                break
            if once and daemon.drained():
                break
            clock.sleep(STOPPING_PAUSE_S if daemon.stopping else pause_s)
    if once and daemon.stopping:
        return ExitCode.INTERRUPTED
    return _code(daemon)


def check_job_options(job: Job, config: Config) -> None:
    """Raise ConfigError for an unknown engine, provider or text now, not at the first scheduled run."""
    from harness.runner import run

    parsed = {key.name: key.parse(text) for name, text in job.options for key in KEYS if key.name == name}
    try:
        run.check(with_values(config, parsed), job.selection)
    except BenchError as error:
        raise ConfigError(error.what, where=f"job {job.name}, {error.where}", remedy=error.remedy) from error


def logs_of(config: Config) -> Path:
    """The folder of the logs of scheduled runs."""
    return config.root / ".kokoro-bench" / "schedule"


def busy(machine_key: str, *, limit_cpus: float) -> str:
    """Why this machine is too busy to measure, or "". Takes a second."""
    import sys
    import time

    found = exclusive.holder(exclusive.Place(root=default_root(), machine_key=machine_key))
    if found is not None:
        return f"{found} measures"
    snapshot = (
        (lambda: processes.snapshot_linux(Path("/"))) if sys.platform == "linux" else processes.snapshot_elsewhere
    )
    others = processes.watch(snapshot, window_s=WATCHED_S, now_s=time.perf_counter, sleep=time.sleep)
    cpus = sum(each.cpus for each in others)
    return f"{cpus:.1f} CPUs are busy: {processes.describe(others)}" if cpus > limit_cpus else ""


def spoken(text: str) -> str:
    """`text` as a line of the scheduler's own log, with the time in UTC."""
    return f"{datetime.now(tz=UTC):%Y-%m-%d %H:%M:%S} {text}"


def _post_run(
    here: Here, settings: Settings, targets: tuple[Channel, ...], say: Callable[[str], None], retry: Retry
) -> PostRunActions:
    config = here.config
    return PostRunActions(
        store=here.store,
        journal=here.journal,
        machine_key=here.machine_key,
        outbox=Outbox(journal=here.journal, channels=targets, say=say, retry=retry),
        promote=lambda data: promote_run(
            data, config.baselines, SourceAtCommits(root=config.root).find, project=config.root
        ),
        publish=lambda: write_site(here.store, config),
        link_of=lambda run_id: _link(settings, f"runs/{run_id}.html"),
        alert_link_of=lambda key: _link(settings, alert_page(key)),
        retention=Retention(
            store=here.store,
            settings=settings,
            machine_key=here.machine_key,
            runner=here.runner,
            promoted=lambda: promoted_runs(config.baselines),
            traces=config.traces,
        ),
        say=say,
        policy=policy_of(config),
        accepted=Acceptances(here.store, config.baselines),
    )


def _link(settings: Settings, page: str) -> str:
    """The address of a page of the report in alerts. Without a configured address, it is the path within the report.

    Alerts leave the machine, so they do not contain the folder of the report.
    """
    return f"{settings.link.rstrip('/')}/{page}" if settings.link else page


def _address(journal: ScheduleLog) -> str:
    return str(Path(journal.place).resolve()) if journal.is_local else journal.place


def _there(other: SchedulerInstance) -> SchedulerThereError:
    since = datetime.fromtimestamp(other.since, tz=UTC).strftime("%Y-%m-%d %H:%M:%S")
    return SchedulerThereError(
        f"another scheduler runs this schedule: process {other.pid} on {other.host}, since {since} UTC",
        where=other.runner,
        remedy="end it first, or look at it with `kokoro-bench schedule status`",
    )


@contextmanager
def _signals(stop: Callable[[], None]) -> Iterator[None]:
    """SIGTERM and Ctrl-C end the schedule in order."""

    def asked(_number: int, _frame: FrameType | None) -> None:
        stop()

    before = {number: signal.signal(number, asked) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _code(daemon: Daemon) -> ExitCode:
    """The exit code of the command, by the outcomes of this scheduler's runs."""
    seen = {outcome for outcome, count in daemon.outcomes.items() if count}
    if FireOutcome.WORSE in seen:
        return ExitCode.WORSE
    if seen & {FireOutcome.FAILED, FireOutcome.SKIPPED} or (FireOutcome.INTERRUPTED in seen and not daemon.stopping):
        return ExitCode.MEASUREMENT
    if FireOutcome.UNDECIDED in seen:
        return ExitCode.UNDECIDED
    return ExitCode.OK
