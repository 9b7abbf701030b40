"""The error of a median, whose launches differ by more or less than is known beforehand.

Three launches tell the variance between launches with two degrees of freedom, which at 95 % is 4.3 standard errors to
either side. So where launches differ, their variance is moderated by a known one (Smyth 2004, eq. 4), unless they
contradict it. Arrays as in `nested`, so that a simulation runs the very code that makes an interval.
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

LIBERAL = 0.4
"""The same where a prior is known: being wrong costs little then, and launches that differ are missed less often."""

CONTRADICTION = 0.05
"""Launches that differ by more than chance and the prior explain, at this probability, are believed and it is not."""

OWN_MEMORY = 10.0
"""Values after which the autocorrelation of a single figure weighs one half, beside none presumed: that of seven has a
standard error of 0.7, and where it was believed, one interval in a hundred was forty times too wide."""

MANY = 1e9
"""Degrees of freedom of a mean square that is known: where launches have one value each, only the prior expects one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MedianSpread:
    """Standard error and degrees of freedom of medians; whether their launches differ, and are moderated by a prior."""

    error: FloatArray
    freedom: FloatArray
    differ: BoolArray
    moderated: BoolArray


def median_spread(fit: Nested, prior: LaunchPrior | None = None) -> MedianSpread:
    """The error of each fit's median, of launches of one arm.

    Processes of one arm do differ, so unlike in a duel launches are not presumed to be alike: only where they agree so
    well that chance alone would often part them more do blocks count, less their correlation. Else launches are the
    values. Their mean square is then moderated by what `prior` expects of it, with its degrees of freedom added, unless
    they contradict it; without a prior there is one degree fewer than launches.
    """
    from scipy.special import fdtrc

    alone = anova.Common(rho=np.zeros(1), inflation=np.ones(1))
    level = BANCROFT if prior is None else LIBERAL
    found = anova.spread(fit, alone, presumption=0.0, contradiction=level, own_memory=OWN_MEMORY)
    weight = fit.launches - 1
    single = ~np.isfinite(fit.within)
    differ = found.overruled | single
    moderated = np.zeros_like(differ)
    square = np.where(differ, fit.apart, found.error**2 * fit.n)
    freedom = np.where(differ, weight, found.freedom)
    if prior is not None:
        within = np.where(np.isfinite(fit.within), fit.within, 0.0)
        expected = within + fit.n / fit.launches * prior.variance(within)
        inside = np.where(single, MANY, fit.n - fit.launches)
        with np.errstate(divide="ignore", invalid="ignore"):
            chance = fdtrc(weight, inside, fit.apart / expected)
        moderated = differ & (chance >= CONTRADICTION) & (fit.apart > 0)
        mixed = (prior.freedom * expected + weight * fit.apart) / (prior.freedom + weight)
        square = np.where(moderated, mixed, square)
        freedom = np.where(moderated, prior.freedom + weight, freedom)
    return MedianSpread(
        error=np.sqrt(square / fit.n) * MEDIAN_ERROR,
        freedom=np.maximum(freedom, 1.0),
        differ=differ,
        moderated=moderated,
    )
