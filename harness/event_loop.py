"""An asyncio event loop whose timers are finer than a millisecond.

On Linux asyncio waits by epoll, whose time-outs are whole milliseconds, rounded up: every timer is up to 1 ms late. A
select on the epoll descriptor itself waits to the microsecond, whatever the number of connections behind it.
"""

import asyncio
import select
import selectors
import sys
from collections.abc import Coroutine
from typing import Any, TypeVar

Result = TypeVar("Result")

if sys.platform == "linux":

    class _FineSelector(selectors.EpollSelector):
        """Waits by select on epoll's descriptor, then asks epoll what there is."""

        def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
            if timeout is not None and timeout > 0:
                select.select([self.fileno()], [], [], timeout)
                timeout = 0
            return super().select(timeout)

    def new_event_loop() -> asyncio.AbstractEventLoop:
        """A loop on the fine selector."""
        return asyncio.SelectorEventLoop(_FineSelector())

else:

    def new_event_loop() -> asyncio.AbstractEventLoop:
        """The platform's loop: kqueue's time-outs are fine already, and Windows has none that are."""
        return asyncio.new_event_loop()


def run(main: Coroutine[Any, Any, Result]) -> Result:
    """Run to the end on a fine loop, as `asyncio.run` does on a coarse one."""
    with asyncio.Runner(loop_factory=new_event_loop) as runner:
        return runner.run(main)
