"""The standard error of a median over launches, with an optional prior on the variance between launches.

Three launches give that variance two degrees of freedom, which at 95 % is 4.3 standard errors to either side. So if
launches differ, their variance is shrunk towards the prior (Smyth 2004, eq. 4), unless they contradict the prior. The
functions take arrays as `anova` does, so that a simulation runs the same code as an interval.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from harness.analysis.stats import anova

if TYPE_CHECKING:
    from harness.analysis.stats.anova import Nested
    from harness.analysis.stats.grouped import BoolArray, FloatArray
    from harness.analysis.stats.launch_prior import LaunchPrior

MEDIAN_ERROR = math.sqrt(math.pi / 2)
"""Standard error of the median over that of the mean, for a Gaussian; heavier tails have less."""

BANCROFT = 0.25
"""The liberal level of the preliminary test on whether launches differ (Bancroft 1964 recommends about a quarter)."""

LIBERAL = 0.5
"""The level with a prior: a false positive costs little then, and a real difference is missed less often."""

CONTRADICTION = 0.15
"""The prior is ignored if launches differ by more than chance and the prior explain at this probability."""

KNOWN_CONTRADICTION = 0.05
"""The same probability where accepted runs of the machine are part of the prior."""

OWN_MEMORY = 10.0
"""At this many values a data set's own autocorrelation weighs one half; the prior is none. The autocorrelation of seven
values has a standard error of 0.7; used without a prior, it made one interval in a hundred forty times too wide."""

MANY = 1e9
"""Degrees of freedom of a known mean square: if launches have one value each, the prior alone predicts it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MedianSpread:
    """Standard error and degrees of freedom of medians; whether launches differ and were shrunk towards a prior."""

    error: FloatArray
    freedom: FloatArray
    differ: BoolArray
    shrunk: BoolArray


def median_spread(fit: Nested, prior: LaunchPrior | None = None) -> MedianSpread:
    """The standard error of each fit's median, over launches of one arm.

    Processes of one arm differ. So, unlike in a duel, launches are not presumed equal. Blocks count as values, reduced
    by their correlation, only if the launches agree as well as chance predicts. With a prior, the mean square between
    launches that agree is then pooled with that of the blocks (Bancroft 1964). Otherwise the launches are the values.
    Their mean square is then shrunk towards the expectation of `prior`, whose degrees of freedom are added, unless the
    launches contradict the prior. Without a prior there are (launches − 1) degrees of freedom.
    """
    from scipy.special import fdtrc

    alone = anova.Common(rho=np.zeros(1), inflation=np.ones(1))
    level = BANCROFT if prior is None else LIBERAL
    found = anova.spread(fit, alone, presumption=0.0, contradiction=level, own_memory=OWN_MEMORY)
    weight = fit.launches - 1
    single = ~np.isfinite(fit.within)
    differ = found.overruled | single
    shrunk = np.zeros_like(differ)
    square = np.where(differ, fit.apart, found.error**2 * fit.n)
    freedom = np.where(differ, weight, found.freedom)
    if prior is not None:
        within = np.where(np.isfinite(fit.within), fit.within, 0.0)
        expected = within + fit.n / fit.launches * prior.variance(within)
        inside = np.where(single, MANY, fit.n - fit.launches)
        with np.errstate(divide="ignore", invalid="ignore"):
            chance = fdtrc(weight, inside, fit.apart / expected)
        level = KNOWN_CONTRADICTION if prior.earlier else CONTRADICTION
        shrunk = differ & (chance >= level) & (fit.apart > 0)
        mixed = (prior.freedom * expected + weight * fit.apart) / (prior.freedom + weight)
        pooled = (found.freedom * found.error**2 * fit.n + weight * fit.apart) / (found.freedom + weight)
        square = np.where(shrunk, mixed, np.where(differ, square, pooled))
        freedom = np.where(shrunk, prior.freedom + weight, np.where(differ, freedom, found.freedom + weight))
    return MedianSpread(
        error=np.sqrt(square / fit.n) * MEDIAN_ERROR,
        freedom=np.maximum(freedom, 1.0),
        differ=differ,
        shrunk=shrunk,
    )
