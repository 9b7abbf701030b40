"""Prior knowledge of how much the launches of one arm differ."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

    from harness.analysis.stats.grouped import FloatArray

PRESUMED_FREEDOM = 2.0
"""Degrees of freedom of the presumed spread of launches: as many as three launches have themselves."""

MOST_FREEDOM = 8.0
"""The upper limit of a prior's degrees of freedom: the scenarios that share a metric's prior differ."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EarlierLaunches:
    """One accepted run: the standard deviation of its launches' log-medians, each of `values` values."""

    spread: float
    launches: int
    values: float


@dataclass(frozen=True, slots=True, kw_only=True)
class LaunchPrior:
    """The standard deviation that launches add, as log-ratios, and its weight.

    `sd` is presumed with `PRESUMED_FREEDOM` degrees of freedom (0: no presumption). `spread` is the root mean square
    spread of earlier launches' medians, with `earlier` degrees of freedom. `variance` subtracts the part of its square
    that `values` values per launch explain.
    """

    sd: float = 0.0
    spread: float = 0.0
    values: float = 1.0
    earlier: float = 0.0

    @property
    def freedom(self) -> float:
        return min(self._presumed + self.earlier, MOST_FREEDOM)

    @property
    def source(self) -> str:
        known = "what accepted runs showed" if self.earlier else ""
        presumed = f"an assumed {100 * self.sd:g} %" if self.sd else ""
        return " and ".join(part for part in (known, presumed) if part)

    def variance(self, within: FloatArray) -> FloatArray:
        """The variance that launches add, if single values have the variance `within` inside a launch."""
        import numpy as np

        learned = np.maximum(self.spread**2 - math.pi / 2 * within / self.values, 0.0)
        total = self._presumed + self.earlier
        return np.asarray((self._presumed * self.sd**2 + self.earlier * learned) / total)

    @property
    def _presumed(self) -> float:
        return PRESUMED_FREEDOM if self.sd else 0.0


def launch_prior(presumed: float, earlier: Iterable[EarlierLaunches]) -> LaunchPrior | None:
    """The prior from a presumed standard deviation (0 for none) and accepted runs; None without either."""
    known = [each for each in earlier if each.launches > 1]
    freedom = float(sum(each.launches - 1 for each in known))
    if not known:
        return LaunchPrior(sd=presumed) if presumed else None
    square = sum((each.launches - 1) * each.spread**2 for each in known) / freedom
    # The harmonic mean, because `variance` subtracts the mean of within / values.
    values = freedom / sum((each.launches - 1) / each.values for each in known)
    return LaunchPrior(sd=presumed, spread=math.sqrt(square), values=values, earlier=freedom)
