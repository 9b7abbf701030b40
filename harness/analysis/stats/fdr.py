"""Many pairs in one run: the level of every interval that controls the false-discovery rate.

Benjamini and Yekutieli (2001): among m p-values under any dependence, reject the R smallest, where R is the largest k
with p₍ₖ₎ ≤ k q / (m Hₘ) and Hₘ = 1 + 1/2 + … + 1/m. The expected fraction of false rejections is at most q. If no
effect is real, the probability of any rejection is at most q. The matching intervals (Benjamini and Yekutieli 2005)
have the level 1 − R q / (m Hₘ): they exclude zero exactly for the R rejected pairs. So one number per family turns the
rule on p-values into intervals that a report can show.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence


@dataclass(frozen=True, slots=True, kw_only=True)
class Cut:
    """The number of rejected p-values of a family, and the alpha (1 − level) of the family's intervals."""

    rejected: int
    alpha: float


def harmonic(m: int) -> float:
    """Hₘ = 1 + 1/2 + … + 1/m: the cost of allowing any dependence."""
    return sum(1 / k for k in range(1, m + 1))


def cut(p_values: Sequence[float], *, fdr: float, share: float = 1.0) -> Cut:
    """Step up through `p_values`, one for each gated pair, at false-discovery rate `fdr`.

    `share` is the fraction of the error rate that this analysis may spend (see `sequential`). Without p-values there is
    no correction.
    """
    m = len(p_values)
    if m == 0:
        return Cut(rejected=0, alpha=fdr * share)
    unit = fdr * share / (m * harmonic(m))
    rejected = max((k for k, p in enumerate(sorted(p_values), start=1) if p <= k * unit), default=0)
    return Cut(rejected=rejected, alpha=max(rejected, 1) * unit)
