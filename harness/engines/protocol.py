"""The protocol of an engine. It needs the standard library and NumPy alone, since it is loaded in foreign environments.

A new engine is one class with `facts`, `synthesise` and `close`, and one function that starts it (see `registry`).
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from harness.clock import Clock
    from harness.records.repetition import EngineFacts


class EngineRefusal(Exception):  # noqa: N818 - it is an answer, not an accident
    """The engine cannot be started as asked: a missing package or provider, a rejected model. The message says why."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SpeechRequest:
    """One text to speak. `stream` asks for chunks as they come; otherwise one chunk holds all."""

    text: str
    voice: str
    speed: float = 1.0
    language: str = "en-us"
    is_phonemes: bool = False
    stream: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineOrder:
    """All that is needed to start an engine. Paths are "" where the engine needs none; `seed` fixes its generator."""

    engine: str
    model: str = ""
    model_path: str = ""
    voices_path: str = ""
    voice: str = ""
    provider: str = "cpu"
    threads: int = 0
    provider_options: Mapping[str, str] = field(default_factory=dict)
    session_options: Mapping[str, str] = field(default_factory=dict)
    url: str = ""
    seed: int = 0
    script: Mapping[str, str] = field(default_factory=dict)


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


class EngineStarter(Protocol):
    """Starts an engine, stamping the parts of its start-up as stages: import, session, voices, phonemiser."""

    def __call__(self, order: EngineOrder, *, clock: "Clock", stages: Stages) -> Engine:
        """Start it, or raise EngineRefusal."""
        ...
