"""An asyncio event loop whose timers are finer than a millisecond.

On Linux asyncio waits by epoll, whose time-outs are whole milliseconds, rounded up: every timer is up to 1 ms late. A
select on the epoll descriptor itself waits to the microsecond, whatever the number of connections behind it. Waking up
takes some tenths of a millisecond all the same: a loop that has to be punctual wakes earlier and looks until it is
time.
"""

import asyncio
import select
import selectors
import signal
import sys
import threading
import time
from collections.abc import Coroutine, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any, TypeVar

Result = TypeVar("Result")

if sys.platform == "linux":

    class _FineSelector(selectors.EpollSelector):
        """Waits by select on epoll's descriptor until `early_s` before the time, then asks epoll what there is."""

        def __init__(self, early_s: float) -> None:
            super().__init__()
            self._early_s = early_s

        def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
            if timeout is None or timeout <= 0:
                return super().select(timeout)
            due = time.monotonic() + timeout
            if timeout > self._early_s:
                select.select([self.fileno()], [], [], timeout - self._early_s)
            found = super().select(0)
            while self._early_s and not found and time.monotonic() < due:
                found = super().select(0)
            return found

    def new_event_loop(*, early_s: float = 0.0) -> asyncio.AbstractEventLoop:
        """A loop on the fine selector, busy for up to `early_s` seconds before each of its timers."""
        return asyncio.SelectorEventLoop(_FineSelector(early_s))

else:

    def new_event_loop(*, early_s: float = 0.0) -> asyncio.AbstractEventLoop:
        """The platform's loop: kqueue's time-outs are fine already, and Windows has none that are."""
        del early_s
        return asyncio.new_event_loop()


def run(main: Coroutine[Any, Any, Result], *, early_s: float = 0.0) -> Result:
    """Run to the end on a fine loop, as `asyncio.run` does on a coarse one."""
    with asyncio.Runner(loop_factory=partial(new_event_loop, early_s=early_s)) as runner, _sigterm_as_sigint():
        return runner.run(main)


@contextmanager
def _sigterm_as_sigint() -> Iterator[None]:
    """A SIGTERM that has a handler cancels the main task, as SIGINT does.

    An exception out of the handler would end whichever task runs.
    """
    main = threading.current_thread() is threading.main_thread()
    handled = callable(signal.getsignal(signal.SIGTERM))
    if not (main and handled and signal.getsignal(signal.SIGINT) is signal.default_int_handler):
        yield
        return
    before = signal.signal(signal.SIGTERM, lambda _number, _frame: signal.raise_signal(signal.SIGINT))
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
