"""Whether a run leans: where nothing changed, as many scenarios point to the worse as to the better.

The gate's error is kept for both directions together, which says nothing of a run in which all scenarios are a little
slower and none is slow enough to be called. Its signs tell: a sign test over scenarios (Arbuthnott 1710; exact, and
indifferent to how far each one moved). Metrics of one scenario are read from the same repetitions, so each scenario has
one voice, the mean of its metrics. Scenarios share the machine and the day, so a run that leans has not regressed by
that; it says where to look.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from statistics import fmean
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from harness.core.records.verdict import Verdict

FEWEST_SCENARIOS = 8
"""With fewer, the exact test cannot reach `LEANING` even if all point one way."""

LEANING = 0.01
"""Chance below which a run is said to lean."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Symmetry:
    """Scenarios that point to the worse and to the better, and the chance of so uneven a split if nothing changed."""

    worse: int
    better: int
    chance: float

    @property
    def leans(self) -> bool:
        """Whether chance alone seldom splits so."""
        return self.chance < LEANING

    def sentence(self) -> str:
        """What stands beside the verdicts."""
        split = f"{self.worse} of {self.worse + self.better} scenarios point to the worse, {self.better} to the better"
        if not self.leans:
            return f"symmetry: {split}, no more uneven than chance makes it (sign test: p = {self.chance:.2g})"
        side = "worse" if self.worse > self.better else "better"
        return (
            f"symmetry: {split}, which chance alone seldom does (sign test: p = {self.chance:.1g}): the run as a whole "
            f"is {side}, also where no verdict says so; machine and day move all scenarios alike, a duel rules them out"
        )


def symmetry(verdicts: Sequence[Verdict]) -> Symmetry | None:
    """The split of all compared scenarios; None where there are fewer than `FEWEST_SCENARIOS` that point anywhere."""
    changes: dict[str, list[float]] = defaultdict(list)
    for verdict in verdicts:
        if verdict.change is not None:
            changes[verdict.scenario_id].append(verdict.change.point)
    means = [fmean(points) for points in changes.values()]
    worse, better = sum(mean > 0 for mean in means), sum(mean < 0 for mean in means)
    if worse + better < FEWEST_SCENARIOS:
        return None
    from scipy.stats import binomtest

    return Symmetry(worse=worse, better=better, chance=float(binomtest(worse, worse + better).pvalue))
