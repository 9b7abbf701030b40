"""Chooses the session for each segment, by the predicted time of each run. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass

FORGETTING = 0.97
"""The factor on an observation's weight with each later one: about the last 30 count."""
LEAST_VARIATION = 0.05
"""Below this coefficient of variation of the loads, only the mean time per load is estimated, and no slope."""


@dataclass(slots=True)
class CostModel:
    """seconds = fixed + rate × load, by least squares with exponential forgetting.

    A load is phonemes / speed, to which both audio and work are proportional. Neither coefficient is ever negative: a
    fit that would predict less time for more work falls back to the ratio of the means.
    """

    weight: float = 0.0
    load: float = 0.0
    seconds: float = 0.0
    load_squared: float = 0.0
    product: float = 0.0
    observations: int = 0

    def observe(self, load: float, seconds: float) -> None:
        self.weight = self.weight * FORGETTING + 1
        self.load = self.load * FORGETTING + load
        self.seconds = self.seconds * FORGETTING + seconds
        self.load_squared = self.load_squared * FORGETTING + load * load
        self.product = self.product * FORGETTING + load * seconds
        self.observations += 1

    @property
    def coefficients(self) -> tuple[float, float]:
        """Fixed seconds, and seconds per unit of load. Both 0 before the first observation."""
        if not self.load:
            return 0.0, 0.0
        mean_load, mean_seconds = self.load / self.weight, self.seconds / self.weight
        variance = self.load_squared / self.weight - mean_load**2
        if variance > (LEAST_VARIATION * mean_load) ** 2:
            rate = (self.product / self.weight - mean_load * mean_seconds) / variance
            fixed = mean_seconds - rate * mean_load
            if rate >= 0 and fixed >= 0:
                return fixed, rate
        return 0.0, mean_seconds / mean_load

    def predict(self, load: float) -> float:
        """The expected seconds of a run of `load`."""
        fixed, rate = self.coefficients
        return fixed + rate * load


@dataclass(frozen=True, slots=True, kw_only=True)
class Running:
    """The job of a busy session: its predicted seconds, and the seconds since it began."""

    predicted: float
    passed: float

    @property
    def left(self) -> float:
        """Seconds until the session is free. A job that has overrun is expected to take as long again as it overran.

        So a session that hangs looks ever worse, and waiting jobs go to the other sessions.
        """
        return abs(self.predicted - self.passed)


def choose(
    session: int, waiting: Sequence[float], *, costs: Sequence[CostModel], running: Sequence[Running | None]
) -> int | None:
    """The index in `waiting` of the job that the idle `session` should run now; None if others finish all sooner.

    `waiting` holds the loads of the jobs in order of their due times. Each job in turn is assigned to the session that
    would finish it first, after its earlier jobs; the first job that is assigned to `session` is the result. The first
    waiting job is always assigned to some session and starts as soon as that is free, so that no job starves.
    """
    free = [each.left if each else 0.0 for each in running]
    for index, load in enumerate(waiting):
        ends = [free[each] + cost.predict(load) for each, cost in enumerate(costs)]
        soonest = ends.index(min(ends))
        # Of several idle sessions that are equally fast, the first to ask gets the job.
        if soonest == session or (ends[session] <= ends[soonest] and running[session] is None):
            return index
        free[soonest] = ends[soonest]
    return None
