"""Starts workers for a conductor, and the canary's worker, which outlives every launch."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from harness.core.records.repetition import Canary, ServerFigures
from harness.core.records.scenario import Arm, Scenario
from harness.engines.started.command import ServerCommand
from harness.measure.worker.handle import WorkerHandle, WorkerStarter
from harness.measure.worker.place import WorkerPlace
from harness.measure.worker.protocol import CanaryOrder
from harness.measure.worker.worker_lost import WorkerLost

LOAD_TIMEOUT_S = 300.0
CANARY_TIMEOUT_S = 60.0
STATUS_TIMEOUT_S = 20.0


@dataclass(frozen=True, slots=True, kw_only=True)
class ArmFiles:
    """Paths of the files that an arm names, "" if the engine needs no file, and the server that it starts.

    `logs` is the folder of the logs of an engine that starts a server of its own, "" for other engines.
    """

    model_path: str = ""
    voices_path: str = ""
    server: ServerCommand | None = None
    logs: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerFactory:
    """How workers are started, where each arm's worker runs, and which files it loads."""

    start: WorkerStarter
    place: Callable[[Arm], WorkerPlace]
    files: Callable[[Arm], ArmFiles]
    canary_place: WorkerPlace = field(default_factory=WorkerPlace)
    audio: Callable[[Scenario, int], str] = lambda _scenario, _launch: ""
    """(scenario, launch) → path for the audio of the first measured repetition; "" to keep none."""
    refusals: Mapping[str, str] = field(default_factory=dict)
    """Arm id → why its worker is not started."""


def read_server_statistics(worker: WorkerHandle) -> ServerFigures:
    """Statistics that the server behind a worker reports. If the worker is lost, its next order fails too."""
    try:
        return worker.status(timeout_s=STATUS_TIMEOUT_S)
    except WorkerLost as lost:
        return ServerFigures(reason=lost.reason)


class CanaryWorker:
    """The canary's worker. If it is lost, later readings are empty and state the reason."""

    def __init__(self, worker_factory: WorkerFactory) -> None:
        self._worker_factory = worker_factory
        self._worker: WorkerHandle | None = None
        self._reason = "not started"

    def start(self) -> None:
        """Start it and take a first reading, which includes the imports and the building of the graph."""
        try:
            self._worker = self._worker_factory.start(self._worker_factory.canary_place)
            self._worker.canary(CanaryOrder(rounds=1), timeout_s=CANARY_TIMEOUT_S)
        except WorkerLost as lost:
            self._drop(lost.reason)

    def read(self) -> Canary:
        """Measure how fast the machine is now."""
        if self._worker is not None:
            try:
                return self._worker.canary(CanaryOrder(), timeout_s=CANARY_TIMEOUT_S)
            except WorkerLost as lost:
                self._drop(lost.reason)
        return Canary(numpy_ns=None, graph_ns=None, reason=self._reason)

    def close(self) -> None:
        self._drop("the run has ended")

    def _drop(self, reason: str) -> None:
        self._reason = reason
        if self._worker is not None:
            self._worker.close()
            self._worker = None
