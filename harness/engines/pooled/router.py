"""Which session speaks which piece: seconds are predicted from phonemes by a line that every run refines.

Pure: what is waiting and who is busy come in, a choice goes out.
"""

from collections.abc import Sequence
from dataclasses import dataclass

FORGETTING = 0.97
"""What an observation keeps of its weight with each later one: about the last 30 count."""
SPREAD = 0.05
"""Below this coefficient of variation the loads tell no slope, only a mean."""


@dataclass(slots=True)
class CostModel:
    """seconds = fixed + rate × load, by least squares with exponential forgetting.

    A load is phonemes / speed, which audio and work both follow. Neither coefficient is ever negative: a line that
    would predict less for more work falls back to the ratio of the means.
    """

    weight: float = 0.0
    load: float = 0.0
    seconds: float = 0.0
    load_squared: float = 0.0
    product: float = 0.0
    observations: int = 0

    def observe(self, load: float, seconds: float) -> None:
        """Take a run into account."""
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
        if variance > (SPREAD * mean_load) ** 2:
            rate = (self.product / self.weight - mean_load * mean_seconds) / variance
            fixed = mean_seconds - rate * mean_load
            if rate >= 0 and fixed >= 0:
                return fixed, rate
        return 0.0, mean_seconds / mean_load

    def predict(self, load: float) -> float:
        """Seconds that a load will take."""
        fixed, rate = self.coefficients
        return fixed + rate * load


@dataclass(frozen=True, slots=True, kw_only=True)
class Running:
    """What a busy session is at: predicted seconds, and seconds that have passed since it began."""

    predicted: float
    passed: float

    @property
    def left(self) -> float:
        """Seconds until it is free. What has overrun is expected to take as long again as it overran.

        So a session that hangs looks ever worse, and what waits for it goes elsewhere.
        """
        return abs(self.predicted - self.passed)


def choose(
    session: int, waiting: Sequence[float], *, lines: Sequence[CostModel], running: Sequence[Running | None]
) -> int | None:
    """The place in line of what an idle `session` should run now; None where others will finish all of it sooner.

    `waiting` holds the loads in the order in which they are due. Each in turn is given to the session that would finish
    it first, counting what that one has to do before; the first that falls to `session` is taken. The first in line
    always falls to somebody, so it is taken as soon as that session is free: nothing starves.
    """
    free = [each.left if each else 0.0 for each in running]
    for place, load in enumerate(waiting):
        ends = [free[each] + line.predict(load) for each, line in enumerate(lines)]
        soonest = ends.index(min(ends))
        # Of several idle sessions that are equally quick, whichever asks first may have it.
        if soonest == session or (ends[session] <= ends[soonest] and running[session] is None):
            return place
        free[soonest] = ends[soonest]
    return None
