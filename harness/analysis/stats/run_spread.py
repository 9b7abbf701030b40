"""The spread between runs of an unchanged subject: a metric's prior, and what accepted runs show.

The functions take arrays as `anova` does, so that a simulation runs the same code as a verdict.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from harness.analysis.stats.grouped import BoolArray, FloatArray
    from harness.metrics.metric import RunSpread

ENOUGH_RUNS = 5
"""With this many accepted runs, the spread of times between them is used without a prior."""

CONTRADICTION = 0.05
"""The prior is ignored if accepted runs differ by more than chance and the prior explain at this probability."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BetweenRuns:
    """The variance of a run's log-median between runs, its degrees of freedom, and the prior's share of them.

    `weight` is 0 where accepted runs alone decide: because there are enough of them, or because they `contradict`.
    """

    variance: FloatArray
    freedom: FloatArray
    weight: FloatArray
    contradict: BoolArray


def between_runs(prior: RunSpread, *, spread: FloatArray, accepted: int) -> BetweenRuns:
    """Shrink the `spread` (a variance) of at least one `accepted` run towards the prior, which must not be exact.

    One run has no spread, so that any finite number may stand for it. Each accepted run after the first replaces one of
    the prior's degrees of freedom, so the prior fades as the machine's own runs come in. It is dropped if the accepted
    runs differ by more than it and chance explain.
    """
    import numpy as np
    from scipy.special import fdtrc

    known = accepted - 1
    weight = max(prior.freedom - known, 0.0)
    contradict = np.zeros(spread.shape, dtype=bool)
    if known and weight:
        contradict = fdtrc(known, prior.freedom, spread / prior.sd**2) < CONTRADICTION
    share = np.where(contradict, 0.0, weight)
    return BetweenRuns(
        variance=(share * prior.sd**2 + known * spread) / (share + known),
        freedom=share + known,
        weight=share,
        contradict=contradict,
    )
