"""The clocks that a halted engine finds in Python's `time`: they stand still with its process.

An engine that times its own work, or waits until a moment, reads `time.perf_counter`, `time.monotonic` or
`time.time`. In slices these would run on while it is halted. So where a worker may be halted they are replaced, before
the engine is imported, by functions that leave the halts out, and `time.sleep` by one that waits again for what a halt
took.

These functions do not reach native code, a lock's time limit or a socket. There the conductor looks for itself
(`harness.measure.thread_states`); and where an engine does nothing for long but read a clock, which is counted here, it
is not halted either.
"""

import time
from collections.abc import Callable
from typing import Any

from harness.measure.standstill import Account

LOOP_NS = 100_000
"""Two readings that lie closer belong to a loop that waits for the clock: an engine that stamps its work reads it less
often."""

_perf_counter_ns, _sleep = time.perf_counter_ns, time.sleep


class OwnReading:
    """A function of `time` that reads a clock, less the halts: in seconds, or in whole nanoseconds.

    It is no method, so that a class may keep it as a value, as it may the function that it stands for.
    """

    def __init__(self, read_ns: Callable[[], int], account: Account, *, seconds: bool) -> None:
        self._read_ns = read_ns
        self._account = account
        self._seconds = seconds
        self._last_ns = 0

    def __call__(self) -> float:
        """The clock, as if the process had never been halted."""
        now_ns = self._read_ns() - self._account.stood_ns
        apart_ns, self._last_ns = now_ns - self._last_ns, now_ns
        if 0 < apart_ns < LOOP_NS:
            self._account.add_looped(apart_ns)
        return now_ns / 1e9 if self._seconds else now_ns


class OwnSleep:
    """`time.sleep` in time of the process's own."""

    def __init__(self, account: Account) -> None:
        self._account = account

    def __call__(self, seconds: float, /) -> None:
        """Sleep so long, and again for what was left when a halt came."""
        began = _perf_counter_ns() - self._account.stood_ns
        # Whatever is wrong with the argument, `time.sleep` says it best.
        _sleep(seconds)
        until = began + round(seconds * 1e9)
        while (left := until - (_perf_counter_ns() - self._account.stood_ns)) > 0:
            _sleep(left / 1e9)


def follow(account: Account, clocks: Any = time) -> None:  # noqa: ANN401 - the module, or what a test has instead
    """Let the functions of `time` stand still with the process, where its conductor asks for that."""
    if not account.follow or isinstance(clocks.sleep, OwnSleep):
        return
    for name in ("perf_counter", "monotonic", "time"):
        read = getattr(clocks, f"{name}_ns")
        setattr(clocks, name, OwnReading(read, account, seconds=True))
        setattr(clocks, f"{name}_ns", OwnReading(read, account, seconds=False))
    clocks.sleep = OwnSleep(account)
