"""Replaces the clocks of Python's `time` in a worker that may be paused, by clocks that stop with its process.

An engine that times its own work, or waits until a moment, reads `time.perf_counter`, `time.monotonic` or
`time.time`. In slices these would run on during pauses. So they are replaced, before the engine is imported, by
functions that leave the pauses out, and `time.sleep` by one that repeats the part that a pause took.

Native code, a lock's time limit and a socket are out of reach of these functions. For those the conductor observes the
worker's threads (`harness.measure.system.thread_states`). Time in loops that read these clocks is counted here,
because such an engine must not be paused either.
"""

import time
from collections.abc import Callable
from typing import Any

from harness.measure.worker.pause import PauseLedger

LOOP_NS = 100_000
"""Two readings closer than this belong to a loop that waits for the clock. An engine that stamps its work reads it less
often."""

_perf_counter_ns, _sleep = time.perf_counter_ns, time.sleep


class OwnReading:
    """Replaces a function of `time` that reads a clock: the reading without the pauses, in s or in whole ns.

    An instance is not bound as a method if a class keeps it as a value, as the built-in function is not.
    """

    def __init__(self, read_ns: Callable[[], int], ledger: PauseLedger, *, seconds: bool) -> None:
        self._read_ns = read_ns
        self._ledger = ledger
        self._seconds = seconds
        self._last_ns = 0

    def __call__(self) -> float:
        now_ns = self._ledger.own_ns(self._read_ns)
        apart_ns, self._last_ns = now_ns - self._last_ns, now_ns
        if 0 < apart_ns < LOOP_NS:
            self._ledger.add_looped(apart_ns)
        return now_ns / 1e9 if self._seconds else now_ns


class OwnSleep:
    """Replaces `time.sleep`: sleeps in the process's own time."""

    def __init__(self, ledger: PauseLedger) -> None:
        self._ledger = ledger

    def __call__(self, seconds: float, /) -> None:
        began = self._ledger.own_ns(_perf_counter_ns)
        # First the original, which raises its own errors for a bad argument.
        _sleep(seconds)
        until = began + round(seconds * 1e9)
        while (left := until - self._ledger.own_ns(_perf_counter_ns)) > 0:
            _sleep(left / 1e9)


def replace_clocks(ledger: PauseLedger, clocks: Any = time) -> None:  # noqa: ANN401 - the module, or what a test has instead
    """Replace the functions of `time` if the conductor requests it."""
    if not ledger.pause_clocks or isinstance(clocks.sleep, OwnSleep):
        return
    for name in ("perf_counter", "monotonic", "time"):
        read = getattr(clocks, f"{name}_ns")
        setattr(clocks, name, OwnReading(read, ledger, seconds=True))
        setattr(clocks, f"{name}_ns", OwnReading(read, ledger, seconds=False))
    clocks.sleep = OwnSleep(ledger)
