"""Many small variances that moderate one another (Smyth 2004, section 6.2: the empirical Bayes of limma).

Variances with few degrees of freedom are modelled as draws around a common one: s² ~ s₀² F(d, d₀). How much they differ
beyond chance tells d₀, the degrees of freedom that the common value is worth to each of them.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

ENOUGH = 10
"""Variances that it takes to learn from them what a variance is like."""

MOST_FREEDOM = 30.0
"""The common value is never worth more, since the pairs of a run are not independent of one another."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Prior:
    """The common variance, its worth in degrees of freedom, and from how many variances it was learned."""

    variance: float
    freedom: float
    members: int

    def moderate(self, variance: float, freedom: float) -> tuple[float, float]:
        """A variance and its degrees of freedom, moderated: their weighted mean, and their sum."""
        total = self.freedom + freedom
        return (self.freedom * self.variance + freedom * variance) / total, total


def learn(variances: Sequence[float], freedoms: Sequence[float]) -> Prior | None:
    """The prior that `variances` (above zero) with `freedoms` share; None where there are too few to learn from."""
    if len(variances) < ENOUGH:
        return None
    import numpy as np
    from scipy.special import digamma, polygamma

    half = np.asarray(freedoms) / 2
    logs = np.log(variances) - digamma(half) + np.log(half)
    excess = float(np.var(logs, ddof=1) - np.mean(polygamma(1, half)))
    told = 2 * _trigamma_inverse(excess) if excess > 0 else math.inf
    # Log variances lie below the variance's logarithm by this much; by nothing where all of them are one.
    below = math.log(told / 2) - float(digamma(told / 2)) if told < math.inf else 0.0
    variance = math.exp(float(np.mean(logs)) - below)
    return Prior(variance=variance, freedom=min(told, MOST_FREEDOM), members=len(variances))


def _trigamma_inverse(value: float) -> float:
    """The x with ψ'(x) = `value`, which must be above zero; by bracketing, since ψ' falls monotonically."""
    from scipy.optimize import brentq
    from scipy.special import polygamma

    # 1/x < ψ'(x) < 1/x + 1/x² brackets the root.
    low, high = 0.5 / value, 2 / value + 2 / math.sqrt(value)
    return float(brentq(lambda x: float(polygamma(1, x)) - value, low, high))
