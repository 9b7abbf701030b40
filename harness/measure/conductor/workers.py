"""Starts, loads and ends the workers of a run."""

from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace

from harness.core.clock import Clock
from harness.core.records.repetition import Launch, Outcome, OutcomeKind, ServerFigures
from harness.core.records.scenario import Arm
from harness.measure.conductor.events import EventHandler, Launched
from harness.measure.conductor.requests import load_order
from harness.measure.conductor.worker_factory import LOAD_TIMEOUT_S, WorkerFactory, read_server_statistics
from harness.measure.worker.handle import WorkerHandle
from harness.measure.worker.protocol import LoadOrder, PageCache
from harness.measure.worker.slicing_checks import Slicing
from harness.measure.worker.time_slicing import can_pause, pauser_of
from harness.measure.worker.worker_lost import WorkerLost
from harness.plan.matrix import Plan


@dataclass(slots=True)
class ActiveWorker:
    """A loaded arm: its worker and the launch it belongs to."""

    arm: Arm
    worker: WorkerHandle
    launch: int


@dataclass(slots=True)
class PendingLaunch:
    """A launch in progress. `worker` and `order` are None if the worker could not be started."""

    launch: Launch
    worker: WorkerHandle | None = None
    order: LoadOrder | None = None

    def load(self) -> None:
        """Load the arm. May run in any thread."""
        if self.worker is None or self.order is None:
            return
        try:
            server = self.order.engine.server
            own_s = server.timeout_s if server else 0.0
            self.launch = self.worker.load(self.order, timeout_s=LOAD_TIMEOUT_S + own_s)
        except WorkerLost as lost:
            self.launch = replace(self.launch, outcome=lost.outcome)
            self.abandon()

    def abandon(self) -> None:
        """End the worker. A thread that waits for its answer gets WorkerLost."""
        if self.worker is not None:
            self.worker.close()
            self.worker = None


class WorkerPool:
    """The loaded workers of a run, one per arm."""

    def __init__(
        self, plan: Plan, *, worker_factory: WorkerFactory, clock: Clock, emit: EventHandler, slicing: Slicing
    ) -> None:
        self._plan = plan
        self._slicing = slicing
        self._worker_factory = worker_factory
        self._clock = clock
        self._emit = emit
        self._open: dict[Arm, ActiveWorker] = {}

    def __getitem__(self, arm: Arm) -> ActiveWorker:
        return self._open[arm]

    def __contains__(self, arm: Arm) -> bool:
        return arm in self._open

    def __iter__(self) -> Iterator[ActiveWorker]:
        return iter(self._open.values())

    def open(self, arm: Arm, launch: int) -> Outcome:
        """Start an arm's worker and add it to the pool. If loading fails it is not added, and the outcome says why."""
        worker, done = self.start(arm, launch)
        return self._add(arm, worker, done)

    def open_at_once(self, arms: Sequence[Arm], launch: int) -> Mapping[Arm, Outcome]:
        """Start several arms' workers and load them in parallel, without a first inference.

        Two workers take little more than half of the time. Use it for launches whose loading is not measured.
        """
        starts: list[PendingLaunch] = []
        with ThreadPoolExecutor(max(1, len(arms))) as pool:
            try:
                loading = []
                for arm in arms:
                    # Started in this thread: the system ends a worker together with the thread that started it.
                    starts.append(self._begin(arm, launch, speak_first=False))
                    loading.append(pool.submit(starts[-1].load))
                for future in loading:
                    future.result()
            except BaseException:
                for each in starts:
                    each.abandon()
                raise
        outcomes = {arm: self._add(arm, each.worker, each.launch) for arm, each in zip(arms, starts, strict=True)}
        for each in starts:
            self._emit(Launched(launch=each.launch))
        return outcomes

    def close(self, arm: Arm) -> None:
        """End an arm's worker, if it has one."""
        active = self._open.pop(arm, None)
        if active is not None:
            active.worker.close()

    def server_statistics(self) -> tuple[tuple[str, ServerFigures], ...]:
        """(arm id, statistics that its server reports) for each arm that is a server."""
        return tuple((active.arm.id, read_server_statistics(active.worker)) for active in self if active.arm.url)

    def close_all(self) -> None:
        for arm in list(self._open):
            self.close(arm)

    def start(
        self,
        arm: Arm,
        launch: int,
        *,
        page_cache: PageCache = "warm",
        dedicated: bool = False,
        speak_first: bool = True,
    ) -> tuple[WorkerHandle | None, Launch]:
        """Start a worker and load its arm, without adding it to the pool. Always emits a `Launched` event."""
        start = self._begin(arm, launch, page_cache=page_cache, dedicated=dedicated, speak_first=speak_first)
        try:
            start.load()
        except BaseException:
            start.abandon()
            raise
        self._emit(Launched(launch=start.launch))
        return start.worker, start.launch

    def _begin(
        self, arm: Arm, launch: int, *, page_cache: PageCache = "warm", dedicated: bool = False, speak_first: bool
    ) -> PendingLaunch:
        """Start a worker without loading its arm."""
        start = PendingLaunch(
            Launch(
                arm_id=arm.id,
                launch=launch,
                started_at=self._clock.wall(),
                page_cache=page_cache,
                dedicated=dedicated,
            )
        )
        try:
            if reason := self._worker_factory.refusals.get(arm.id):
                raise WorkerLost(OutcomeKind.REFUSED, reason)
            start.worker = self._worker_factory.start(self._worker_factory.place(arm))
            if self._slicing.slice_s and can_pause(start.worker):
                pauser_of(start.worker).pause_clocks()
            start.order = load_order(
                arm,
                self._worker_factory.files(arm),
                plan=self._plan,
                launch=launch,
                page_cache=page_cache,
                dedicated=dedicated,
                speak_first=speak_first,
            )
        except WorkerLost as lost:
            start.launch = replace(start.launch, outcome=lost.outcome)
            start.abandon()
        except BaseException:
            start.abandon()
            raise
        return start

    def _add(self, arm: Arm, worker: WorkerHandle | None, done: Launch) -> Outcome:
        """Add a worker that has loaded its arm to the pool; end any other."""
        if worker is not None and done.outcome.valid:
            self._open[arm] = ActiveWorker(arm=arm, worker=worker, launch=done.launch)
        elif worker is not None:
            worker.close()
        return done.outcome
