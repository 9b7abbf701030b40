"""The only place where time is read. Clocks are passed in, so that a whole command can run on a scripted clock."""

import time
from dataclasses import dataclass
from typing import Protocol


class Clock(Protocol):
    """Monotonic time for durations, wall-clock time for dates, and waiting."""

    def now_ns(self) -> int:
        """Monotonic nanoseconds, of one process."""
        ...

    def cpu_ns(self) -> int:
        """CPU time of this process, all threads, in nanoseconds."""
        ...

    def wall(self) -> float:
        """Seconds since the epoch, UTC."""
        ...

    def sleep(self, seconds: float) -> None: ...


READINGS = 8


def both_now(clock: Clock) -> tuple[int, float]:
    """One moment on both clocks: monotonic nanoseconds, and seconds since the epoch.

    A process may be interrupted between the two readings, and then they are of different moments. So the wall clock is
    read several times between two monotonic readings, and the pair that lie closest together counts.
    """
    readings = [(clock.now_ns(), clock.wall(), clock.now_ns()) for _ in range(READINGS)]
    before_ns, wall, after_ns = min(readings, key=lambda each: each[2] - each[0])
    return (before_ns + after_ns) // 2, wall


class SystemClock:
    """The machine's clocks."""

    def now_ns(self) -> int:
        return time.perf_counter_ns()

    def cpu_ns(self) -> int:
        return time.process_time_ns()

    def wall(self) -> float:
        return time.time()

    def sleep(self, seconds: float) -> None:
        time.sleep(seconds)


SCRIPTED_EPOCH = 946_684_800.0
"""2000-01-01T00:00:00Z: where every scripted run begins."""


@dataclass(slots=True)
class ScriptedClock:
    """Time that passes only in waits, so that a run gives the same bytes each time."""

    elapsed_ns: int = 0
    epoch: float = SCRIPTED_EPOCH

    def now_ns(self) -> int:
        return self.elapsed_ns

    def cpu_ns(self) -> int:
        """Nanoseconds waited so far: scripted work keeps one CPU busy."""
        return self.elapsed_ns

    def wall(self) -> float:
        return self.epoch + self.elapsed_ns / 1e9

    def sleep(self, seconds: float) -> None:
        self.elapsed_ns += round(max(0.0, seconds) * 1e9)
