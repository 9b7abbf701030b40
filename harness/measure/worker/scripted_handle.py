"""A worker in the conductor's process, on a scripted clock. It answers and fails like a worker process."""

from dataclasses import replace

from harness.core.clock import Clock
from harness.core.native_imports import how_it_ended
from harness.core.records.repetition import Canary, Launch, OutcomeKind, Repetition, ServerFigures
from harness.engines.scripted import ScriptedEnd, leaked_bytes, memory_factor, ordered_script, version_of
from harness.measure.worker.handle import Overdue, require_part, synthesis_summary, timeout_reason
from harness.measure.worker.probes import ScriptedProbes
from harness.measure.worker.protocol import (
    Answer,
    CanaryOrder,
    ConcurrentAnswer,
    ConcurrentOrder,
    LoadOrder,
    Order,
    StatusOrder,
    SynthesisOrder,
    TrackOrder,
)
from harness.measure.worker.worker import Worker
from harness.measure.worker.worker_lost import WorkerLost


class ScriptedHandle:
    """A worker in this process, on the conductor's scripted clock."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._probes = ScriptedProbes()
        self._worker = Worker(clock=clock, probes=self._probes)

    @property
    def pid(self) -> int:
        """0, because there is no separate process."""
        return 0

    def load(self, order: LoadOrder, *, timeout_s: float) -> Launch:
        """Load its arm; a script may make the process end or hang instead."""
        self._probes.factor = memory_factor(order.engine, launch=order.launch)
        self._probes.leak = leaked_bytes(order.engine)
        launch = require_part(self._request(order, timeout_s, doing="loading").launch)
        # A script is to this engine what its version is to others: another script is another subject.
        version = version_of(ordered_script(order.engine))
        return replace(launch, software=replace(launch.software, engine_version=version))

    def synthesise(self, order: SynthesisOrder, *, timeout_s: float) -> Repetition:
        """Make one repetition; a script may make the process crash or hang instead."""
        return require_part(self._request(order, timeout_s, doing=synthesis_summary(order)).repetition)

    def run_concurrent(
        self, order: ConcurrentOrder, *, timeout_s: float, overdue: Overdue | None = None
    ) -> ConcurrentAnswer:
        """Fail: a scripted engine does not take concurrent requests."""
        del overdue
        return require_part(self._request(order, timeout_s, doing=order.summary).crowd)  # codespell:ignore crowd

    def cut_short(self) -> ConcurrentAnswer | None:
        """None, because it answers at once."""
        return None

    def status(self, *, timeout_s: float) -> ServerFigures:
        """A scripted engine has no server."""
        return require_part(
            self._request(StatusOrder(), timeout_s, doing="querying the server for its statistics").server
        )

    def canary(self, order: CanaryOrder, *, timeout_s: float) -> Canary:
        """The readings of a machine of constant speed."""
        del order, timeout_s
        self._clock.sleep(0.05)
        return Canary(numpy_ns=20_000_000, graph_ns=30_000_000)

    def track(self, order: TrackOrder, *, timeout_s: float) -> None:
        """Fail: the memory of a scripted engine is a formula."""
        del order, timeout_s
        raise WorkerLost(OutcomeKind.REFUSED, "a scripted engine allocates nothing")

    def close(self) -> None:
        self._worker.close()

    def _request(self, order: Order, timeout_s: float, *, doing: str) -> Answer:
        try:
            return self._worker.answer(order)
        except SystemExit as end:
            how = how_it_ended(int(end.code or 0))
        except ScriptedEnd as end:
            if end.hangs:
                self._clock.sleep(timeout_s)
                raise WorkerLost(OutcomeKind.TIMEOUT, timeout_reason(timeout_s, doing)) from end
            how = str(end)
        raise WorkerLost(OutcomeKind.CRASHED, f"the worker ended while {doing}: {how}")
