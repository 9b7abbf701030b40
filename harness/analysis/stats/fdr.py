"""Many pairs, one run: the level at which every interval must be read.

Benjamini and Yekutieli (2001): among m p-values under any dependence, reject the R smallest, where R is the largest k
with p₍ₖ₎ ≤ k q / (m Hₘ) and Hₘ = 1 + 1/2 + … + 1/m. The expected share of false ones among them is at most q, and where
nothing at all is true, the probability of any is. The intervals that match (Benjamini and Yekutieli 2005) have level
1 − R q / (m Hₘ): the very one whose interval leaves zero out exactly for the R that were rejected. So one number per
family turns a rule about p-values into intervals that can be shown and read by eye.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence


@dataclass(frozen=True, slots=True, kw_only=True)
class Cut:
    """How many of a family of p-values speak, and the alpha (1 − level) at which its intervals are to be read."""

    rejected: int
    alpha: float


def harmonic(m: int) -> float:
    """Hₘ = 1 + 1/2 + … + 1/m: what independence of any kind not being assumed costs."""
    return sum(1 / k for k in range(1, m + 1))


def cut(p_values: Sequence[float], *, fdr: float, share: float = 1.0) -> Cut:
    """Step up through `p_values`, one for each gated pair, at false-discovery rate `fdr`.

    `share` is the part of the error that this look at the data may spend (see `stopping`). Without p-values there is
    nothing to correct for.
    """
    m = len(p_values)
    if m == 0:
        return Cut(rejected=0, alpha=fdr * share)
    unit = fdr * share / (m * harmonic(m))
    rejected = max((k for k, p in enumerate(sorted(p_values), start=1) if p <= k * unit), default=0)
    return Cut(rejected=rejected, alpha=max(rejected, 1) * unit)
