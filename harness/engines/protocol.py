"""The protocol of an engine. It needs the standard library and NumPy alone, since it is loaded in foreign environments.

A new engine is one class with `facts`, `synthesise` and `close`, and one function that starts it (see `registry`).
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol, runtime_checkable

from harness.engines.speech import EngineRefusal, SpeechFailure, SpeechRequest, one_line, outcome_of
from harness.engines.started.command import ServerCommand

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from harness.core.clock import Clock
    from harness.core.records.repetition import EngineCounters, EngineFacts, ServerFigures

__all__ = [
    "ARRIVAL",
    "BODY_END",
    "FIRST_BYTE",
    "Engine",
    "EngineOrder",
    "EngineRefusal",
    "EngineStarter",
    "Remote",
    "SelfReporting",
    "ServerProcess",
    "Shared",
    "SpeechFailure",
    "SpeechRequest",
    "Spelling",
    "Stages",
    "one_line",
    "outcome_of",
]
"""The names that engines of other packages may import from here, including those of `harness.engines.speech`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineOrder:
    """Everything that is needed to start an engine. Paths are "" if the engine needs none. `seed` sets its generator.

    `profile` is the prefix of the name of a profile that the engine writes when it is closed; "" for none. `language`
    is the tag that the user has chosen, "" for none. `server` is the command of the server to start for this launch.
    `logs` is the folder of this run's server logs, for an engine that starts a server of its own.
    """

    engine: str
    model: str = ""
    model_path: str = ""
    voices_path: str = ""
    voice: str = ""
    language: str = ""
    provider: str = "cpu"
    threads: int = 0
    provider_options: Mapping[str, str] = field(default_factory=dict)
    session_options: Mapping[str, str] = field(default_factory=dict)
    url: str = ""
    seed: int = 0
    profile: str = ""
    script: Mapping[str, str] = field(default_factory=dict)
    server: ServerCommand | None = None
    logs: str = ""


FIRST_BYTE = "first_byte"
"""A moment: the arrival of the first byte of an answer's body."""
ARRIVAL = "arrival"
"""One moment per chunk: its arrival. An engine stamps it if it receives a chunk earlier than it can yield it."""
BODY_END = "body_end"
"""A moment: the end of the answer. Work of an engine after it does not count as latency."""


class Stages:
    """Stamps periods of work as `(name, start, end)` in the clock's nanoseconds.

    `slowdown` plants a delay after each inference, proportional to it and inside its stamps. Calibration needs such a
    real and known change.
    """

    __slots__ = ("_clock", "_slowdown", "marks")

    def __init__(self, clock: "Clock", slowdown: float = 0.0) -> None:
        self._clock = clock
        self._slowdown = slowdown
        self.marks: list[tuple[str, int, int]] = []

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Stamp the work in this context."""
        start = self._clock.now_ns()
        try:
            yield
        finally:
            end = self._clock.now_ns()
            if self._slowdown and name == "inference":
                self._clock.sleep((end - start) / 1e9 * self._slowdown)
                end = self._clock.now_ns()
            self.marks.append((name, start, end))

    def moment(self, name: str, at_ns: int) -> None:
        """Stamp a moment: a period of length 0."""
        self.marks.append((name, at_ns, at_ns))

    def take(self) -> list[tuple[str, int, int]]:
        """The stamps since the last call."""
        taken = self.marks
        self.marks = []
        return taken


class Engine(Protocol):
    """A started engine."""

    @property
    def facts(self) -> "EngineFacts":
        """The facts that it reports after loading."""
        ...

    def synthesise(self, request: SpeechRequest) -> Iterator["NDArray[np.float32]"]:
        """Yield chunks of mono float32 audio, each as soon as a player could play it.

        Do no work before the first chunk is requested. Errors of the underlying engine pass; the worker turns them into
        outcomes.
        """
        ...

    def close(self) -> None:
        """Release all resources."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerProcess:
    """The process whose tree does an engine's work. `found` says how it was found, or why `pid` is None."""

    pid: int | None
    found: str


@runtime_checkable
class Remote(Protocol):
    """An engine whose work another process does. Memory and CPU time are the server's, or unknown."""

    @property
    def server(self) -> ServerProcess:
        """The process that does the work, if it can be found from this machine."""
        ...


@runtime_checkable
class SelfReporting(Protocol):
    """An engine with a server that may report its own statistics."""

    def own_figures(self) -> "ServerFigures":
        """The server's current statistics, or why there are none. This synthesises nothing."""
        ...


@runtime_checkable
class Spelling(Protocol):
    """An engine that knows which phonemes its model was given."""

    def phonemes(self) -> str:
        """Those of the last synthesis; "" if they are unknown. This synthesises nothing."""
        ...


@runtime_checkable
class Shared(Engine, Protocol):
    """An engine that accepts concurrent requests and has counters.

    The requests come from threads or, if the engine is `Reached`, over the network.
    """

    def account(self) -> "EngineCounters | None":
        """The counts since the start; None if unavailable. This synthesises nothing."""
        ...


class EngineStarter(Protocol):
    """Starts an engine, stamping the parts of its start-up as stages: import, session, voices, phonemiser."""

    def __call__(self, order: EngineOrder, *, clock: "Clock", stages: Stages) -> Engine:
        """Start the engine. Raises EngineRefusal if this is not possible as ordered."""
        ...
