"""Shrinkage of many variances towards a common value (Smyth 2004, section 6.2: the empirical Bayes of limma).

Variances with few degrees of freedom are modelled as draws around a common one: s² ~ s₀² F(d, d₀). Their variation
beyond chance gives d₀, the degrees of freedom of the common value.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

ENOUGH = 10
"""`learn` needs at least this many variances."""

MOST_FREEDOM = 30.0
"""The upper limit of the common value's degrees of freedom: the pairs of a run are not independent."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Prior:
    """The common variance, its degrees of freedom, and the number of variances that it was learned from."""

    variance: float
    freedom: float
    members: int

    def shrink(self, variance: float, freedom: float) -> tuple[float, float]:
        """Shrink a variance: the weighted mean with the prior's, and the sum of the degrees of freedom."""
        total = self.freedom + freedom
        return (self.freedom * self.variance + freedom * variance) / total, total


def learn(variances: Sequence[float], freedoms: Sequence[float]) -> Prior | None:
    """The common prior of `variances` (above zero) with `freedoms`; None for fewer than `ENOUGH` variances."""
    if len(variances) < ENOUGH:
        return None
    import numpy as np
    from scipy.special import digamma, polygamma

    half = np.asarray(freedoms) / 2
    logs = np.log(variances) - digamma(half) + np.log(half)
    excess = float(np.var(logs, ddof=1) - np.mean(polygamma(1, half)))
    prior_freedom = 2 * _trigamma_inverse(excess) if excess > 0 else math.inf
    # The mean log variance lies below the logarithm of the variance by this much; by 0 if all variances are equal.
    below = math.log(prior_freedom / 2) - float(digamma(prior_freedom / 2)) if prior_freedom < math.inf else 0.0
    variance = math.exp(float(np.mean(logs)) - below)
    return Prior(variance=variance, freedom=min(prior_freedom, MOST_FREEDOM), members=len(variances))


def _trigamma_inverse(value: float) -> float:
    """The x with ψ'(x) = `value`, which must be above zero; by bracketing, since ψ' falls monotonically."""
    from scipy.optimize import brentq
    from scipy.special import polygamma

    # 1/x < ψ'(x) < 1/x + 1/x² brackets the root.
    low, high = 0.5 / value, 2 / value + 2 / math.sqrt(value)
    return float(brentq(lambda x: float(polygamma(1, x)) - value, low, high))
