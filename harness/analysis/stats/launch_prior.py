"""How much the launches of one arm differ, as far as it is known before they are made."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

    from harness.analysis.stats.grouped import FloatArray

PRESUMED_FREEDOM = 4.0
"""Degrees of freedom that the presumed scatter of launches weighs, beside the two of three launches."""

MOST_FREEDOM = 12.0
"""What is known of launches is never worth more: scenarios share a metric's prior, and differ."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EarlierLaunches:
    """What one accepted run tells: the standard deviation of its launches' medians of `values` values each, as logs."""

    spread: float
    launches: int
    values: float


@dataclass(frozen=True, slots=True, kw_only=True)
class LaunchPrior:
    """The standard deviation by which launches differ of their own, as log-ratios, and its weight.

    `sd` is presumed with `PRESUMED_FREEDOM` degrees of freedom (0: nothing is presumed). `spread` is the root mean
    square of earlier launches' medians, with `earlier` degrees of freedom; of its square, the part that `values` values
    a launch explain does not belong to launches.
    """

    sd: float = 0.0
    spread: float = 0.0
    values: float = 1.0
    earlier: float = 0.0

    @property
    def freedom(self) -> float:
        """The degrees of freedom that it counts."""
        return min(self._presumed + self.earlier, MOST_FREEDOM)

    @property
    def source(self) -> str:
        """Where it is from, in words."""
        known = "what accepted runs showed" if self.earlier else ""
        presumed = f"a presumed {100 * self.sd:g} %" if self.sd else ""
        return " and ".join(part for part in (known, presumed) if part)

    def variance(self, within: FloatArray) -> FloatArray:
        """The variance of launches of their own, where single values vary by `within` inside them."""
        import numpy as np

        learned = np.maximum(self.spread**2 - math.pi / 2 * within / self.values, 0.0)
        total = self._presumed + self.earlier
        return np.asarray((self._presumed * self.sd**2 + self.earlier * learned) / total)

    @property
    def _presumed(self) -> float:
        return PRESUMED_FREEDOM if self.sd else 0.0


def launch_prior(presumed: float, earlier: Iterable[EarlierLaunches]) -> LaunchPrior | None:
    """The prior from a presumed standard deviation (0 for none) and accepted runs; None where nothing is known."""
    known = [each for each in earlier if each.launches > 1]
    freedom = float(sum(each.launches - 1 for each in known))
    if not known:
        return LaunchPrior(sd=presumed) if presumed else None
    square = sum((each.launches - 1) * each.spread**2 for each in known) / freedom
    # The harmonic mean: what is taken off is the mean of within / values.
    values = freedom / sum((each.launches - 1) / each.values for each in known)
    return LaunchPrior(sd=presumed, spread=math.sqrt(square), values=values, earlier=freedom)
