"""The parts of a metric that moved in its direction, by more than their own noise.

A part is estimated from the same pairs as the metric (`paired.deferred_estimates`), in its own unit. The parts of one
metric are one family, whose false-discovery rate is 1 % under any dependence (`fdr`). So if no part moved, the
probability that any part is named is at most 1 %.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from statistics import fmean, median, variance
from typing import TYPE_CHECKING

from harness.analysis.stats.fdr import cut
from harness.analysis.stats.grouped import flat
from harness.analysis.stats.interval import quantile
from harness.analysis.stats.paired import FEWEST_PAIRS, deferred_estimates
from harness.core.records.verdict import Estimate

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping, Sequence

    from harness.analysis.stats.grouped import Grouped

FAMILY_ALPHA = 0.01
"""The expected fraction of false names in a family; if no part moved, the probability that any is named."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PartPairs:
    """A part's values on both sides: one inner tuple per launch, the i-th of either side from the same pair."""

    candidate: Grouped
    reference: Grouped

    @property
    def differences(self) -> Grouped:
        """Candidate less reference, pair by pair."""
        return tuple(
            tuple(ours - theirs for ours, theirs in zip(*launch, strict=True))
            for launch in zip(self.candidate, self.reference, strict=True)
        )

    @property
    def size(self) -> float:
        """The mean over both sides, without its sign."""
        return (abs(fmean(flat(self.candidate))) + abs(fmean(flat(self.reference)))) / 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Movement:
    """A part that moved: medians of both sides, and the `change` with its interval, all in the part's unit."""

    name: str
    before: float
    after: float
    change: Estimate


@dataclass(frozen=True, slots=True, kw_only=True)
class Movements:
    """How much the sum of the parts moved, and the parts that stand out, in descending order of contribution.

    `every` has the change of each part that is large enough to be named, with the interval that decided. `total` is
    None if there are too few pairs for an interval.
    """

    total: float | None
    named: tuple[Movement, ...] = ()
    every: Mapping[str, Estimate] = field(default_factory=dict)


def movements(
    parts: Mapping[str, PartPairs],
    *,
    rose: bool,
    least: float,
    launch_inflation: float = 1.0,
    launch_sd: float = 0.0,
    pair_sd: float = 0.0,
    rate: float = FAMILY_ALPHA,
    one_sided: Collection[str] = (),
) -> Movements:
    """The parts that moved in the metric's direction: up if `rose`, else down.

    A part is named if its whole interval lies on that side and it moved the sum by the ratio `least` or more. No part
    is named if the sum itself moved the other way. `launch_inflation` and `launch_sd` (relative to a part's size) are
    the priors on launches (`comparison.Policy`), `pair_sd` (relative to the sum) that on values of which a launch has
    one (`comparison.Duel`). `rate` is the family's false-discovery rate. That a part in `one_sided` moved is no
    hypothesis, since only one side has it: it is not of the family, and its interval only says how far.
    """
    parts = {name: pairs for name, pairs in parts.items() if pairs.size}
    if not parts or min(len(flat(pairs.candidate)) for pairs in parts.values()) < FEWEST_PAIRS:
        return Movements(total=None)
    whole = sum(abs(fmean(flat(pairs.reference))) for pairs in parts.values())
    # A smaller part cannot have moved the sum by `least`.
    family = {name: pairs for name, pairs in parts.items() if 2 * pairs.size >= least * whole}
    # The sum comes last: its estimate is not a member of the family.
    total = _joined(parts.values())
    scales = [pairs.size for pairs in family.values()] + [whole or 1.0]
    relative = [
        tuple(tuple(value / scale for value in launch) for launch in differences)
        for scale, differences in zip(scales, [*(pairs.differences for pairs in family.values()), total], strict=True)
    ]
    found = deferred_estimates(
        relative,
        scenarios=["one"] * len(relative),
        launch_inflation=launch_inflation,
        launch_sd=launch_sd,
        pair_sds=[pair_sd * whole / scale for scale in scales],
    )
    *own, of_total = [
        deferred.scaled(scale) if deferred else None for deferred, scale in zip(found, scales, strict=True)
    ]
    moved = of_total.point if of_total else None
    known = {name: deferred for name, deferred in zip(family, own, strict=True) if deferred is not None}
    of_both = [deferred.p_difference() for name, deferred in known.items() if name not in one_sided]
    level = 1 - cut(of_both, fdr=rate).alpha
    every = {
        name: _of_launches(family[name].differences) if name in one_sided else each.estimate(level)
        for name, each in known.items()
    }
    if moved is None or (moved > 0) != rose:
        return Movements(total=moved, every=every)
    named = [
        _movement(name, family[name], change)
        for name, change in every.items()
        if (change.low > 0 if rose else change.high < 0) and abs(change.point) >= least * whole
    ]
    named.sort(key=lambda each: (-abs(each.change.point), each.name))
    return Movements(total=moved, named=tuple(named), every=every)


def _movement(name: str, pairs: PartPairs, change: Estimate) -> Movement:
    before, after = (median(flat(side)) for side in (pairs.reference, pairs.candidate))
    return Movement(name=name, before=before, after=after, change=change)


def _of_launches(differences: Grouped) -> Estimate:
    """The median of the launches' medians, and their range, which has it with probability 1 − 2^(1 − launches)."""
    # As in a sign test: each launch lies above the median or below it with the same probability.
    medians = [median(launch) for launch in differences if launch]
    return Estimate(
        point=median(medians),
        low=min(medians),
        high=max(medians),
        level=1 - 2.0 ** (1 - len(medians)),
        method="range of the launches' medians",
        n=len(flat(differences)),
        launches=len(medians),
    )


def _joined(parts: Iterable[PartPairs]) -> Grouped:
    """The differences of the sums, pair by pair."""
    differences = [pairs.differences for pairs in parts]
    return tuple(
        tuple(sum(values) for values in zip(*launches, strict=True)) for launches in zip(*differences, strict=True)
    )


FEWEST_OF_A_KIND = 3
"""`added` needs this many disturbed values and this many undisturbed values."""


def added(disturbed: Grouped, calm: Grouped) -> Estimate | None:
    """The contribution of disturbed values to the mean of all values, in their unit, with its interval at 99 %.

    Both sides are grouped by the same launches. The median of a launch's calm values is subtracted from each value
    (Welch's t). None if there are fewer than `FEWEST_OF_A_KIND` of either kind.
    """
    centred: tuple[list[float], list[float]] = ([], [])
    for slow, still in zip(disturbed, calm, strict=True):
        if still:
            centre = median(still)
            for found, values in zip(centred, (slow, still), strict=True):
                found.extend(value - centre for value in values)
    if min(map(len, centred)) < FEWEST_OF_A_KIND:
        return None
    share = len(centred[0]) / sum(map(len, centred))
    point = fmean(centred[0]) - fmean(centred[1])
    half = _welch(*centred)
    return Estimate(
        point=share * point,
        low=share * (point - half),
        high=share * (point + half),
        level=1 - FAMILY_ALPHA,
        method="Welch's t, disturbed against undisturbed",
        n=sum(map(len, centred)),
        launches=len(calm),
    )


def _welch(first: Sequence[float], second: Sequence[float]) -> float:
    """The half-width of the interval of a difference of means with unequal variances (Welch 1947)."""
    squares = [variance(values) / len(values) for values in (first, second)]
    whole = sum(squares)
    if not whole:
        return 0.0
    freedom = whole**2 / sum(
        square**2 / (len(values) - 1) for square, values in zip(squares, (first, second), strict=True)
    )
    return quantile(FAMILY_ALPHA / 2, freedom) * math.sqrt(whole)
