"""Being asked to end: Ctrl-C and SIGTERM are one thing, and neither may come between a block and its storing."""

import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType, TracebackType
from typing import Any, Self

UNTIL_VARIABLE = "KOKORO_BENCH_UNTIL"
"""Set by whoever gave the run a time limit: when it ends, in seconds since the epoch."""

_SLACK_S = 1.0


class ShutdownRequested(KeyboardInterrupt):
    """A request to end, with its reason. `in_order`: the time that was allowed is over, and what is there is kept."""

    def __init__(self, reason: str, *, in_order: bool = False) -> None:
        self.reason = reason
        self.in_order = in_order
        super().__init__(reason)


class GracefulShutdown:
    """Within it SIGINT and SIGTERM raise `ShutdownRequested`, at once or, inside `held`, at its end.

    `until` (seconds since the epoch) is when a given time limit ends: a SIGTERM after that is the end of a run that had
    its time. In another thread than the main one Python handles no signals, and this does nothing.
    """

    def __init__(self, *, until: float | None = None, wall: Callable[[], float] = time.time) -> None:
        self._until = until
        self._wall = wall
        self._depth = 0
        self._pending: ShutdownRequested | None = None
        self._asked = False
        self._before: dict[signal.Signals, Any] = {}

    def __enter__(self) -> Self:
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGINT, signal.SIGTERM):
                self._before[number] = signal.signal(number, self._ask)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)
        self._before = {}

    @contextmanager
    def held(self) -> Iterator[None]:
        """Do something whole: a request that comes meanwhile is heard afterwards."""
        self._depth += 1
        try:
            yield
        finally:
            self._depth -= 1
            if not self._depth and self._pending is not None:
                pending, self._pending = self._pending, None
                raise pending

    def _ask(self, number: int, _frame: FrameType | None) -> None:
        if number == signal.SIGTERM and self._asked:
            return  # it is ending already; a service manager may ask twice
        self._asked = True
        ended = self._words(number)
        if self._depth:
            self._pending = ended
        else:
            raise ended

    def _words(self, number: int) -> ShutdownRequested:
        if number == signal.SIGINT:
            return ShutdownRequested("ended by Ctrl-C")
        if self._until is not None and self._wall() >= self._until - _SLACK_S:
            return ShutdownRequested("its time limit was reached", in_order=True)
        return ShutdownRequested("ended by SIGTERM")
