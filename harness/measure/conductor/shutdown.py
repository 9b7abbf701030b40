"""Handles shutdown requests: Ctrl-C and SIGTERM are alike, and neither may interrupt the storing of a block."""

import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType, TracebackType
from typing import Any, Self

UNTIL_VARIABLE = "KOKORO_BENCH_UNTIL"
"""The environment variable with the end of the run's time limit, in seconds since the epoch."""

_SLACK_S = 1.0


class ShutdownRequested(KeyboardInterrupt):
    """A request to end, with its reason. `in_order` says that the time limit was reached and results are kept."""

    def __init__(self, reason: str, *, in_order: bool = False) -> None:
        self.reason = reason
        self.in_order = in_order
        super().__init__(reason)


class GracefulShutdown:
    """A context in which SIGINT and SIGTERM raise `ShutdownRequested`; inside `held`, they raise it at its end.

    `until` (seconds since the epoch) is the end of the time limit. A SIGTERM after it means that the limit was reached.
    Outside the main thread this does nothing, because Python handles signals only there.
    """

    def __init__(self, *, until: float | None = None, wall: Callable[[], float] = time.time) -> None:
        self._until = until
        self._wall = wall
        self._depth = 0
        self._pending: ShutdownRequested | None = None
        self._terminating = False
        self._previous_handlers: dict[signal.Signals, Any] = {}

    def __enter__(self) -> Self:
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGINT, signal.SIGTERM):
                self._previous_handlers[number] = signal.signal(number, self._handle_signal)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        for number, handler in self._previous_handlers.items():
            signal.signal(number, handler)
        self._previous_handlers = {}

    @property
    def requested(self) -> bool:
        """Whether a request waits for the end of `held`."""
        return self._pending is not None

    @contextmanager
    def held(self) -> Iterator[None]:
        """Delay a shutdown request until the end of this context."""
        self._depth += 1
        try:
            yield
        finally:
            self._depth -= 1
            if not self._depth and self._pending is not None:
                pending, self._pending = self._pending, None
                raise pending

    def _handle_signal(self, number: int, _frame: FrameType | None) -> None:
        if number == signal.SIGTERM and self._terminating:
            return  # already ending; a service manager may send SIGTERM twice
        self._terminating = True
        ended = self._shutdown_request(number)
        if self._depth:
            self._pending = ended
        else:
            raise ended

    def _shutdown_request(self, number: int) -> ShutdownRequested:
        if number == signal.SIGINT:
            return ShutdownRequested("ended by Ctrl-C")
        if self._until is not None and self._wall() >= self._until - _SLACK_S:
            return ShutdownRequested("its time limit was reached", in_order=True)
        return ShutdownRequested("ended by SIGTERM")
