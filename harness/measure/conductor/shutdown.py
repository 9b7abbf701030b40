"""Handles shutdown requests: Ctrl-C and SIGTERM are alike, and neither may interrupt the storing of a block.

Neither interrupts an import. The modules that an interrupted import leaves half executed stay loaded, and what still
has to run then, the conclusions from the finished blocks, fails in them.
"""

import _thread
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType, TracebackType
from typing import Any, Self

UNTIL_VARIABLE = "KOKORO_BENCH_UNTIL"
"""The environment variable with the end of the run's time limit, in seconds since the epoch."""

_SLACK_S = 1.0
_IMPORT_POLL_S = 0.02
"""Interval (s) at which a request that came during an import is handled again, until the import has ended."""
_IMPORT_SYSTEM = "<frozen importlib._bootstrap>"


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
        """The request to raise at the end of `held`."""
        self._requested = False
        self._imports = 0
        """The number of imports that were under way when the context was entered."""
        self._after_import: ShutdownRequested | None = None
        self._poll: threading.Thread | None = None
        self._previous_handlers: dict[signal.Signals, Any] = {}

    def __enter__(self) -> Self:
        if threading.current_thread() is threading.main_thread():
            self._imports = _imports_under_way(sys._getframe())  # noqa: SLF001 - the frames have no other name
            for number in (signal.SIGINT, signal.SIGTERM):
                self._previous_handlers[number] = signal.signal(number, self._handle_signal)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        left, self._after_import = self._after_import, None
        if self._poll is not None:
            self._poll.join()
        for number, handler in self._previous_handlers.items():
            signal.signal(number, handler)
        self._previous_handlers = {}
        if left is not None and error is None:
            raise left

    @property
    def requested(self) -> bool:
        """Whether a request has arrived. What is not needed to store the results is then left out."""
        return self._requested

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

    def _handle_signal(self, number: int, frame: FrameType | None) -> None:
        ended = self._after_import
        if ended is None:
            if number == signal.SIGTERM and self._requested:
                return  # already ending; a service manager may send SIGTERM twice
            self._requested = True
            ended = self._shutdown_request(number)
        if _imports_under_way(frame) > self._imports:
            if self._after_import is None:
                self._after_import = ended
                self._poll = threading.Thread(target=self._ask_again, daemon=True)
                self._poll.start()
            return
        self._after_import = None
        if self._depth:
            self._pending = ended
        else:
            raise ended

    def _ask_again(self) -> None:
        """Have the handler called at intervals, until no import is under way. Between them it has nothing to do."""
        while self._after_import is not None:
            time.sleep(_IMPORT_POLL_S)
            # After the request was raised, one more SIGTERM is ignored. A SIGINT would be a second request.
            _signal_main_thread(signal.SIGTERM)

    def _shutdown_request(self, number: int) -> ShutdownRequested:
        if number == signal.SIGINT:
            return ShutdownRequested("ended by Ctrl-C")
        if self._until is not None and self._wall() >= self._until - _SLACK_S:
            return ShutdownRequested("its time limit was reached", in_order=True)
        return ShutdownRequested("ended by SIGTERM")


def _signal_main_thread(number: signal.Signals) -> None:
    """Have the handler called in the main thread, also while that waits in a system call where the system can do it."""
    if sys.platform == "win32":
        _thread.interrupt_main(number)
    else:
        signal.pthread_kill(threading.main_thread().ident or 0, number)


def _imports_under_way(frame: FrameType | None) -> int:
    """The number of frames of the import system on the stack above a frame."""
    found = 0
    while frame is not None:
        found += frame.f_code.co_filename == _IMPORT_SYSTEM
        frame = frame.f_back
    return found
