"""Measures one plan and stores it block by block.

The phases of a command, its run and its replays, share one `Session`: one lock of the machine, one store, one handler
of shutdown requests.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from functools import partial
from hashlib import sha256

from harness.analysis.conclude import Conclusions
from harness.analysis.finished import Finished
from harness.analysis.gate import exit_code
from harness.analysis.stats.comparison import Policy
from harness.core.errors import BenchError, ExitCode, MeasurementError, StoreError
from harness.core.records.run import RunRecord, RunStatus, Setting
from harness.measure.conductor.events import Begun, Event, EventHandler
from harness.measure.conductor.shutdown import GracefulShutdown, ShutdownRequested
from harness.measure.conductor.watch import Watch
from harness.measure.conductor.worker_factory import WorkerFactory
from harness.measure.worker.protocol import PROTOCOL
from harness.metrics.derive import RunValues
from harness.plan.config import Config
from harness.plan.matrix import Plan
from harness.runner.recorder import RunRecorder
from harness.runner.resources import Reporter, Resources
from harness.runner.run_analysis import Conduct, RunAnalysis, in_blocks
from harness.store.retry import with_retries
from harness.store.runs import RunStore


@dataclass(frozen=True, slots=True, kw_only=True)
class Session:
    """What the phases of one command share. The machine's lock is held, and the store is open."""

    config: Config
    resources: Resources
    store: RunStore
    handlers: Sequence[EventHandler]
    report: Reporter
    ending: GracefulShutdown = field(default_factory=GracefulShutdown)

    def begin(self, plan: Plan, *, announced: bool = True) -> RunRecorder:
        """Store the head of a run that starts now. A part of a run is not `announced`: it is no run to wait for."""
        head, clock = head_of(self.resources, plan), self.resources.clock
        run_id = with_retries(lambda: self.store.begin(head), clock=clock, report=self.report)
        recorder = RunRecorder(
            store=self.store,
            head=replace(head, id=run_id),
            clock=clock,
            report=self.report,
        )
        for handler in self.handlers if announced else ():
            handler(Begun(run_id=recorder.run_id))
        return recorder

    def emit(self, recorder: RunRecorder, event: Event) -> None:
        """Store an event of a run, and pass it to the handlers."""
        with self.ending.held():
            recorder(event)
        for handler in self.handlers:
            handler(event)

    @contextmanager
    def end_stored(self, recorder: RunRecorder, parts: Callable[[], Iterable[RunRecorder]] = tuple) -> Iterator[None]:
        """Store how a run ended that an error or a request ends before its conclusions are stored, and its `parts`.

        What cannot be stored is left to the next command, which finds that the run's process has ended. A database that
        cannot be written any more raises MeasurementError: what was measured before is in it.
        """
        try:
            yield
        except KeyboardInterrupt as interrupt:
            ended = ended_by(interrupt)
            _end((recorder, *parts()), ended.status, ended.reason)
            raise
        except Exception as error:
            reason = str(error) if isinstance(error, BenchError) else f"{type(error).__name__}: {error}"
            _end((recorder, *parts()), RunStatus.FAILED, reason)
            if isinstance(error, StoreError):
                raise MeasurementError(error.what, where=error.where, remedy=error.remedy) from error
            raise

    def finish(
        self, recorder: RunRecorder, ended: "Ending", conclude: Callable[[RunValues], Conclusions], policy: Policy
    ) -> Finished:
        """Derive the values of a measured run, conclude, and store its end. The code of an interrupted run says so."""
        values = RunValues(recorder.observed(ended.status, ended.reason))
        conclusions = conclude(values)
        data = recorder.finish(
            conclusions, status=ended.status, reason=ended.reason, conditions=self.resources.observe()
        )
        interrupted = data.run.status is RunStatus.INTERRUPTED
        code = ExitCode.INTERRUPTED if interrupted else exit_code(data.verdicts, data.targets, policy)
        return Finished(values=values.for_data(data), code=code)


def _end(recorders: Iterable[RunRecorder], status: RunStatus, reason: str) -> None:
    for recorder in recorders:
        with suppress(BenchError):
            recorder.end(status, reason)


@dataclass(frozen=True, slots=True, kw_only=True)
class Ending:
    """How a measurement ended. `requested`: a user, a signal or the time limit ended it."""

    status: RunStatus
    reason: str
    requested: bool = False


def head_of(resources: Resources, plan: Plan) -> RunRecord:
    """The record of a run that starts now."""
    started_at = resources.clock.wall()
    when = datetime.fromtimestamp(started_at, tz=UTC).strftime("%Y%m%d-%H%M%S")
    what = sha256(
        "\n".join([*(scenario.id for scenario in plan.scenarios), str(plan.run_limits.seed)]).encode()
    ).hexdigest()
    return RunRecord(
        id=f"{when}-{what[:6]}",
        started_at=started_at,
        seed=plan.run_limits.seed,
        selection=plan.selection,
        machine=resources.machine,
        conditions=resources.observe(),
        subject=resources.subject(plan.arms),
        setting=Setting(corpus=plan.corpus_digest, protocol=PROTOCOL, corpora=plan.corpora),
        scenarios=plan.scenarios,
        budget_s=plan.run_limits.whole_s or plan.run_limits.budget_s,
        untried=plan.untried,
        pid=resources.pid,
        boot=resources.boot,
    )


def conduct_plan(
    session: Session,
    plan: Plan,
    worker_factory: Callable[[], WorkerFactory],
    *,
    recorder: RunRecorder,
    analysis: RunAnalysis,
    conduct: Conduct = in_blocks,
) -> Ending:
    """Measure, and store each block as it ends. A shutdown request keeps the finished part of the current block."""
    try:
        watch = Watch(
            ends_run=lambda: analysis.enough(recorder.so_far), ends_group=lambda: analysis.settled(recorder.so_far)
        )
        emit = partial(session.emit, recorder)
        conductor = conduct(plan, worker_factory(), session.resources.clock, emit, watch)
        conductor.run()
    except KeyboardInterrupt as interrupt:
        return ended_by(interrupt)
    return Ending(status=RunStatus.COMPLETE if conductor.complete else RunStatus.PARTIAL, reason=conductor.reason)


def ended_by(interrupt: KeyboardInterrupt) -> Ending:
    """The ending of a run that Ctrl-C, a signal or the time limit ended."""
    if isinstance(interrupt, ShutdownRequested):
        status = RunStatus.PARTIAL if interrupt.in_order else RunStatus.INTERRUPTED
        return Ending(status=status, reason=interrupt.reason, requested=True)
    return Ending(status=RunStatus.INTERRUPTED, reason="ended by Ctrl-C", requested=True)
