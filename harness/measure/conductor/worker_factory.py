"""How a conductor comes by workers, and the canary's worker that outlives every launch."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from harness.core.records.repetition import Canary, ServerFigures
from harness.core.records.scenario import Arm, Scenario
from harness.measure.worker.handle import WorkerHandle, WorkerLost, WorkerPlace, WorkerStarter
from harness.measure.worker.protocol import CanaryOrder

LOAD_TIMEOUT_S = 300.0
CANARY_TIMEOUT_S = 60.0
STATUS_TIMEOUT_S = 20.0


@dataclass(frozen=True, slots=True, kw_only=True)
class ArmFiles:
    """Where a worker finds what its arm names. "" where the engine needs no file."""

    model_path: str = ""
    voices_path: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerFactory:
    """How the conductor comes by workers: who starts them, where each arm's runs, and which files it loads."""

    start: WorkerStarter
    place: Callable[[Arm], WorkerPlace]
    files: Callable[[Arm], ArmFiles]
    canary_place: WorkerPlace = field(default_factory=WorkerPlace)
    audio: Callable[[Scenario, int], str] = lambda _scenario, _launch: ""
    """Where a scenario's first measured repetition in a launch leaves its audio; "" where it keeps none."""
    refusals: Mapping[str, str] = field(default_factory=dict)
    """Arm id → why it is not even started."""


def ask_server(worker: WorkerHandle) -> ServerFigures:
    """What the server behind a worker says of itself. A worker that is lost over it is found out by its next order."""
    try:
        return worker.status(timeout_s=STATUS_TIMEOUT_S)
    except WorkerLost as lost:
        return ServerFigures(reason=lost.reason)


class CanaryWorker:
    """The canary's worker. One that is lost costs its readings, with the reason, and nothing else."""

    def __init__(self, worker_factory: WorkerFactory) -> None:
        self._worker_factory = worker_factory
        self._worker: WorkerHandle | None = None
        self._reason = "not started"

    def start(self) -> None:
        """Start it; the first reading pays for imports and for the graph."""
        try:
            self._worker = self._worker_factory.start(self._worker_factory.canary_place)
            self._worker.canary(CanaryOrder(rounds=1), timeout_s=CANARY_TIMEOUT_S)
        except WorkerLost as lost:
            self._drop(lost.reason)

    def read(self) -> Canary:
        """How fast the machine is now."""
        if self._worker is not None:
            try:
                return self._worker.canary(CanaryOrder(), timeout_s=CANARY_TIMEOUT_S)
            except WorkerLost as lost:
                self._drop(lost.reason)
        return Canary(numpy_ns=None, graph_ns=None, reason=self._reason)

    def close(self) -> None:
        """End it."""
        self._drop("the run has ended")

    def _drop(self, reason: str) -> None:
        self._reason = reason
        if self._worker is not None:
            self._worker.close()
            self._worker = None
