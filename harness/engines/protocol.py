"""The protocol of an engine. It needs the standard library and NumPy alone, since it is loaded in foreign environments.

A new engine is one class with `facts`, `synthesise` and `close`, and one function that starts it (see `registry`).
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol, runtime_checkable

from harness.engines.speech import EngineRefusal, SpeechFailure, SpeechRequest, one_line, outcome_of

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
    "Stages",
    "one_line",
    "outcome_of",
]
"""What an engine of another package may import from here, `harness.engines.speech` included."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineOrder:
    """All that is needed to start an engine. Paths are "" where the engine needs none; `seed` fixes its generator.

    `profile` is how the name of a profile begins that the engine is to write when it is closed; "" for none. `language`
    is the tag that the user has chosen, "" for none.
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


FIRST_BYTE = "first_byte"
"""A moment: the first byte of an answer's body had come."""
ARRIVAL = "arrival"
"""One moment per chunk: when it arrived. An engine that learns of a chunk before it can yield it stamps this."""
BODY_END = "body_end"
"""A moment: the last of the answer had come. What an engine still does after it costs no listener any time."""


class Stages:
    """Stamps stretches of work as `(name, start, end)` in the clock's nanoseconds.

    `slowdown` plants a delay after each stretch of inference, in proportion to it and inside its stamps: calibration
    needs a change that is real and known.
    """

    __slots__ = ("_clock", "_slowdown", "marks")

    def __init__(self, clock: "Clock", slowdown: float = 0.0) -> None:
        self._clock = clock
        self._slowdown = slowdown
        self.marks: list[tuple[str, int, int]] = []

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Stamp the work inside."""
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
        """Stamp a moment: a stretch of no length."""
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
        """What it says of itself once loaded."""
        ...

    def synthesise(self, request: SpeechRequest) -> Iterator["NDArray[np.float32]"]:
        """Yield chunks of mono float32 audio, each at the moment a listener could have it.

        Nothing is done before the first chunk is asked for. Raises whatever the underlying engine raises; the worker
        turns it into an outcome.
        """
        ...

    def close(self) -> None:
        """Give everything back."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerProcess:
    """The process whose tree does an engine's work; `found` says how it is known, or why `pid` is None."""

    pid: int | None
    found: str


@runtime_checkable
class Remote(Protocol):
    """An engine whose work is done elsewhere: memory and CPU time are the server's, or unknown, never the client's."""

    @property
    def server(self) -> ServerProcess:
        """Where the work is done, as far as this machine can tell."""
        ...


@runtime_checkable
class SelfReporting(Protocol):
    """An engine behind which stands a server that may say something of itself."""

    def own_figures(self) -> "ServerFigures":
        """What it says now, or why there is nothing. Nothing is synthesised for it."""
        ...


@runtime_checkable
class Shared(Engine, Protocol):
    """An engine that accepts several requests at once, and that counts what it does.

    They ask from threads or, where the engine is `Reached`, over the network.
    """

    def account(self) -> "EngineCounters | None":
        """All that was counted since the start; None where it cannot be had. Nothing is synthesised for it."""
        ...


class EngineStarter(Protocol):
    """Starts an engine, stamping the parts of its start-up as stages: import, session, voices, phonemiser."""

    def __call__(self, order: EngineOrder, *, clock: "Clock", stages: Stages) -> Engine:
        """Start it, or raise EngineRefusal."""
        ...
