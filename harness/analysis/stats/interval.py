"""An estimate whose confidence level is not chosen yet."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

from harness.core.records.verdict import Estimate


@dataclass(frozen=True, slots=True, kw_only=True)
class DeferredEstimate:
    """A point, its standard error and the degrees of freedom of Student's t: an interval and a p-value for every level.

    The level of an interval depends on the number of gated pairs and of rejections in the run (see `fdr`), so the
    estimators return this object. An error of 0 is allowed: values that do not vary are known exactly.
    """

    point: float
    error: float
    freedom: float
    method: str
    n: int
    launches: int

    def estimate(self, level: float) -> Estimate:
        """The two-sided interval at `level`, a probability."""
        half = self.half_width(1 - level)
        return Estimate(
            point=self.point,
            low=self.point - half,
            high=self.point + half,
            level=level,
            method=self.method,
            n=self.n,
            launches=self.launches,
        )

    def half_width(self, alpha: float) -> float:
        """Half of the two-sided interval at level 1 − `alpha`."""
        return quantile(alpha / 2, self.freedom) * self.error if self.error else 0.0

    def p_difference(self) -> float:
        """The two-sided p-value of "nothing changed": the smallest alpha whose interval excludes zero."""
        return self._alpha_at(abs(self.point))

    def p_equivalence(self, tolerance: float) -> float:
        """The smallest alpha whose two-sided interval lies within ±`tolerance` (a log-ratio); 1 if the point does not.

        Using the two-sided interval is slightly stricter than two one-sided tests (Schuirmann 1987) at half the alpha.
        In return, the report shows the interval that decided.
        """
        return self._alpha_at(tolerance - abs(self.point))

    def _alpha_at(self, distance: float) -> float:
        if distance <= 0:
            return 1.0
        if self.error == 0:
            return 0.0
        from scipy.special import stdtr

        return float(2 * stdtr(self.freedom, -distance / self.error))

    def mirrored(self) -> DeferredEstimate:
        """The estimate with the opposite sign: for metrics where higher is better, and for swapped arms."""
        return replace(self, point=-self.point)

    def scaled(self, factor: float) -> DeferredEstimate:
        """The estimate in another unit: multiplied by `factor`, which must be above 0."""
        return replace(self, point=self.point * factor, error=self.error * factor)


def quantile(tail: float, freedom: float) -> float:
    """The quantile of Student's t that is exceeded with probability `tail`; of the normal for infinite `freedom`."""
    from scipy.special import ndtri, stdtrit

    if tail <= 0:
        return math.inf
    return float(-ndtri(tail)) if math.isinf(freedom) else float(-stdtrit(freedom, tail))
