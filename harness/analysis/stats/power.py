"""What a comparison could have found, and what it would take to find more."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from harness.analysis.stats.interval import quantile

if TYPE_CHECKING:
    from harness.analysis.stats.interval import DeferredEstimate

POWER = 0.9
"""The probability with which a change of the detectable size is found."""

TOLERANCE_IN_EFFECT = 0.5
"""The default tolerance of a duel, as a part of the effect it is asked to find.

A verdict of "regressed" needs an estimate at or above the tolerance, so a change exactly as large as the tolerance is
found half of the time at best, however long one measures.
"""


def detectable(interim: DeferredEstimate, *, tolerance: float, alpha: float, power: float = POWER) -> float:
    """The smallest log-ratio that this comparison would have found with probability `power`.

    Both halves of the verdict's condition must hold: the interval at 1 − `alpha` above zero, and the estimate at or
    above `tolerance` (a log-ratio): max(t₁₋α/₂ s, τ) + t_power s.
    """
    if interim.error == 0:
        return tolerance
    threshold = max(interim.half_width(alpha), tolerance)
    return threshold + quantile(1 - power, interim.freedom) * interim.error


def tolerance_for(effect: float) -> float:
    """The tolerance, as a ratio, of a duel that is to find a change of `effect` (a ratio: 0.05 for 5 %)."""
    return TOLERANCE_IN_EFFECT * effect


def values_to_settle(interim: DeferredEstimate, *, tolerance: float, alpha: float) -> int:
    """How many values (pairs of a duel) would leave no doubt, if the estimate stayed as it is and noise as it was.

    Below the tolerance the half-width has to fit between the estimate and the tolerance, at or above it between zero
    and the estimate. An estimate that sits on the very edge would take for ever; the room counted is at least a quarter
    of the tolerance.
    """
    size = abs(interim.point)
    room = size if size >= tolerance else tolerance - size
    room = max(room, tolerance / 4)
    # Freedom grows with the values, so the quantile that will apply then is the normal one.
    wanted = room / quantile(alpha / 2, math.inf)
    return max(interim.n + 1, math.ceil(interim.n * (interim.error / wanted) ** 2))
