"""Statistical power: the smallest change that a comparison can detect, and the values that it needs."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from harness.analysis.stats.interval import quantile

if TYPE_CHECKING:
    from harness.analysis.stats.interval import DeferredEstimate

POWER = 0.9
"""The probability of finding a change of the detectable size."""

TOLERANCE_IN_EFFECT = 0.5
"""The default tolerance of a duel, as a fraction of the effect to find.

A verdict of "regressed" needs an estimate at or above the tolerance. So a change exactly as large as the tolerance is
found at most half of the time, however long the duel is.
"""


def detectable(deferred: DeferredEstimate, *, tolerance: float, alpha: float, power: float = POWER) -> float:
    """The smallest log-ratio that this comparison finds with probability `power`.

    Both conditions of the verdict must hold: the interval at 1 − `alpha` lies above zero, and the estimate lies at or
    above `tolerance` (a log-ratio). So it is max(t₁₋α/₂ s, τ) + t_power s.
    """
    if deferred.error == 0:
        return tolerance
    threshold = max(deferred.half_width(alpha), tolerance)
    return threshold + quantile(1 - power, deferred.freedom) * deferred.error


def tolerance_for(effect: float) -> float:
    """The tolerance (a ratio) of a duel that has to find a change of `effect` (a ratio: 0.05 for 5 %)."""
    return TOLERANCE_IN_EFFECT * effect


def values_to_settle(deferred: DeferredEstimate, *, tolerance: float, alpha: float) -> int:
    """The number of values (pairs of a duel) that would decide, if the estimate and the noise stayed the same.

    For an estimate below the tolerance, the half-width has to fit between estimate and tolerance. At or above it, the
    half-width has to fit between zero and the estimate. The margin counts as at least a quarter of the tolerance,
    because an estimate on the edge would need infinitely many values.
    """
    size = abs(deferred.point)
    room = size if size >= tolerance else tolerance - size
    room = max(room, tolerance / 4)
    # The degrees of freedom grow with the values, so use the normal quantile.
    wanted = room / quantile(alpha / 2, math.inf)
    return max(deferred.n + 1, math.ceil(deferred.n * (deferred.error / wanted) ** 2))
