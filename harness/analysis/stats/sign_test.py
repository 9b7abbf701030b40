"""Whether a run is skewed: if nothing changed, about as many scenarios get worse as get better.

The gate can miss a run in which all scenarios are slightly slower and none is slow enough for a verdict. A sign test
over scenarios finds it (Arbuthnott 1710; exact, and independent of how far each scenario moved). Metrics of one
scenario come from the same repetitions, so each scenario counts once, with the mean of its metrics. Scenarios share the
machine and the day, so a skewed run is no regression; it shows where to look.
"""

from __future__ import annotations

import math
from collections import defaultdict
from dataclasses import dataclass
from statistics import fmean
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from harness.core.records.verdict import Verdict

FEWEST_SCENARIOS = 8
"""With fewer scenarios, the exact test cannot reach `SKEW_ALPHA` even if all moved the same way."""

SKEW_ALPHA = 0.01
"""A run is skewed if the p-value of the sign test is below this."""

NO_CHANGE = 0.001
"""A scenario whose mean log-ratio is closer to zero did not move. A median of few values and the mean of their
logarithms differ by up to half of that, always to the same side: a run with the accepted values would seem better."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Symmetry:
    """The numbers of scenarios that got worse and better, and the probability of such a split if nothing changed."""

    worse: int
    better: int
    chance: float

    @property
    def is_skewed(self) -> bool:
        """Whether chance alone seldom gives such a split."""
        return self.chance < SKEW_ALPHA

    def sentence(self) -> str:
        split = f"{self.worse} of {self.worse + self.better} scenarios point to the worse, {self.better} to the better"
        if not self.is_skewed:
            return f"symmetry: {split}, which chance explains (sign test: p = {self.chance:.2g})"
        side = "worse" if self.worse > self.better else "better"
        return (
            f"symmetry: {split}, rarely by chance alone (sign test: p = {self.chance:.1g}): the run as a whole "
            f"is {side}, even if no verdict says so; machine or day may move all scenarios, a duel rules this out"
        )


def symmetry(verdicts: Sequence[Verdict]) -> Symmetry | None:
    """The split of all compared scenarios; None if fewer than `FEWEST_SCENARIOS` moved at all."""
    changes: dict[str, list[float]] = defaultdict(list)
    for verdict in verdicts:
        if verdict.change is not None:
            changes[verdict.scenario_id].append(verdict.change.point)
    means = [fmean(points) for points in changes.values()]
    worse, better = sum(mean > NO_CHANGE for mean in means), sum(mean < -NO_CHANGE for mean in means)
    if worse + better < FEWEST_SCENARIOS:
        return None
    return Symmetry(worse=worse, better=better, chance=_chance(min(worse, better), worse + better))


def _chance(fewer: int, throws: int) -> float:
    """The probability that a fair coin shows one of its sides at most `fewer` times in so many throws."""
    tail = sum(math.comb(throws, number) for number in range(fewer + 1))
    return min(1.0, tail / (1 << (throws - 1)))
