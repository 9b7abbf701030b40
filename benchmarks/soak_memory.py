"""The memory of a long-lived process: its slope over several lives, with an interval."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from math import sqrt
from statistics import mean, stdev

import psutil

WARM_UP_S = 900.0
"""The begin of a life (s) that does not count. Each kind of page, verdict and alert that comes for the first time loads
something, and each length of a history that is searched is kept for a while: 3 MB in the first seven minutes."""
STEP_S = 60.0
LEVEL = 0.95
FLAT_MB_PER_HOUR = 6.0
"""A slope below this counts as flat: a soak of an hour or two tells it from none."""
FEWEST_STEPS = 4
MOST_BYTES = 200_000_000
"""A shorter soak shows at least that the scheduler stays below this with all its pages."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Slope:
    """MB per hour with the ends of the 95 % interval, from `steps` pairs of minutes; None with too few."""

    steps: int
    mb_per_hour: float | None = None
    low: float = 0.0
    high: float = 0.0

    @property
    def flat(self) -> bool | None:
        """Whether memory is flat; None if the interval does not decide it."""
        if self.mb_per_hour is None or self.low <= FLAT_MB_PER_HOUR < self.high:
            return None
        return self.high <= FLAT_MB_PER_HOUR

    def __str__(self) -> str:
        if self.mb_per_hour is None:
            return f"too short: {self.steps} steps of a minute after the warm-ups"
        span = f"{self.low:+.1f} to {self.high:+.1f}"
        return f"{self.mb_per_hour:+.1f} MB/h (95 %: {span}), {self.steps} steps of a minute"


@dataclass(slots=True)
class MemoryLog:
    """Resident memory (bytes), threads and open files of a process over its lives."""

    samples: dict[int, list[tuple[float, int]]] = field(default_factory=lambda: defaultdict(list))
    """Process → (time in s, bytes)."""
    most_threads: int = 0
    most_files: int = 0

    def look(self, pid: int, now: float) -> None:
        try:
            process = psutil.Process(pid)
            with process.oneshot():
                self.samples[pid].append((now, process.memory_info().rss))
                self.most_threads = max(self.most_threads, process.num_threads())
                self.most_files = max(self.most_files, process.num_fds())
        except psutil.Error:
            return

    @property
    def highest(self) -> int:
        return max((size for life in self.samples.values() for _, size in life), default=0)

    def slope(self) -> Slope:
        """The mean gain from minute to minute, after the warm-up of each life.

        The interval is right if memory wanders and wider than needed if it only scatters around a level.
        """
        from scipy.stats import t

        steps = [gain for life in self.samples.values() for gain in _gains(life)]
        if len(steps) < FEWEST_STEPS:
            return Slope(steps=len(steps))
        per_hour = 3600.0 / STEP_S / 1e6
        half = t.ppf((1 + LEVEL) / 2, len(steps) - 1) * stdev(steps) / sqrt(len(steps))
        centre = mean(steps)
        return Slope(
            steps=len(steps), mb_per_hour=centre * per_hour, low=(centre - half) * per_hour,
            high=(centre + half) * per_hour,
        )  # fmt: skip


def _gains(life: Sequence[tuple[float, int]]) -> list[float]:
    """Bytes gained from each full minute of a life to the next."""
    minutes: dict[int, list[int]] = defaultdict(list)
    for at, size in life:
        if at - life[0][0] >= WARM_UP_S:
            minutes[int((at - life[0][0]) // STEP_S)].append(size)
    means = [mean(minutes[minute]) for minute in sorted(minutes)]
    return [after - before for before, after in pairwise(means)]
