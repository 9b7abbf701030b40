"""Duels: log-ratios of two arms, estimated from pairs."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, TypeVar

from harness.analysis.stats.grouped import count, flat, occupied, padded
from harness.analysis.stats.interval import DeferredEstimate

if TYPE_CHECKING:
    from collections.abc import Sequence

    from harness.analysis.stats.grouped import FloatArray, Grouped
    from harness.core.records.verdict import Estimate


_T = TypeVar("_T")

PEAK = "rss_peak"
FEWEST_PAIRS = 3
"""A duel needs at least this many pairs."""

SLICED_LAUNCH_SD = 0.008
"""Prior standard deviation of launches in sliced duels, until `launch_scatter` has measured it on the machine.

Two workers that run in the same time slices still differ as processes. Measured with 12 characters on two shared cores
and the full replica: pairs scatter by 1.2 to 2.1 %. The means of fourteen launches of seven pairs scatter by 1.15 %,
and the pairs explain 0.5 %. The means of fifteen launches of four pairs scatter by 1.05 %, which the pairs explain.
"""


def deferred_estimates(
    duels: Sequence[Grouped],
    *,
    scenarios: Sequence[str] | None = None,
    launch_inflation: float = 1.0,
    launch_sd: float = 0.0,
    pair_sds: Sequence[float] = (),
) -> list[DeferredEstimate | None]:
    """One estimate per duel; None for fewer than three pairs.

    All duels of a run are estimated together: they jointly show how much launches differ and how long disturbances last
    (`anova.common`). `launch_inflation` and `launch_sd` are the priors. `scenarios` names the scenario of each duel:
    metrics of one scenario come from the same repetitions and count once. `pair_sds` are presumed standard deviations,
    one a duel (0: nothing is presumed), of values of which a launch has one.
    """
    duels = [occupied(pairs) for pairs in duels]
    places = [place for place, pairs in enumerate(duels) if count(pairs) >= FEWEST_PAIRS]
    found: list[DeferredEstimate | None] = [None] * len(duels)
    if not places:
        return found
    import numpy as np

    from harness.analysis.stats import anova

    fit = anova.fit(_stacked([duels[place] for place in places]))
    names = [scenarios[place] if scenarios else str(place) for place in places]
    groups = np.array([names.index(name) for name in names])
    presumed = launch_inflation - 1 + anova.inflated(fit, launch_sd=launch_sd)
    spread = anova.spread(fit, anova.common(fit, presumed=presumed, groups=groups))
    alone = ~np.isfinite(fit.within)
    for index, place in enumerate(places):
        pairs = duels[place]
        if alone[index]:
            found[place] = _one_pair_a_launch(pairs, presumed=pair_sds[place] if pair_sds else 0.0)
            continue
        overruled = bool(spread.overruled[index])
        found[place] = DeferredEstimate(
            point=float(spread.point[index]),
            error=float(spread.error[index]),
            freedom=max(float(spread.freedom[index]), 1.0),
            method="paired log-ratio, t over launches, which disagree"
            if overruled
            else "paired log-ratio, t over pairs",
            n=count(pairs),
            launches=len(pairs),
        )
    return found


def alike(metric: str, launches: Sequence[_T]) -> tuple[_T, ...]:
    """The launches of a duel whose values of `metric` are of the same thing, in their order.

    In the first launch the workers have spoken once before their first warm-up, for the time of a first inference. So
    its peak memory is that of a later request; it does not count where there are enough other launches.
    """
    return tuple(launches[1:] if metric == PEAK and len(launches) > FEWEST_PAIRS else launches)


def log_ratio_estimate(pairs: Grouped, *, level: float) -> Estimate | None:
    """The log-ratio of a single duel with its interval at `level`; None for fewer than three pairs.

    The model is hierarchical: launches, then pairs in block order. One duel holds little information on launches, so
    the priors of `anova` fill in. The gate sees the whole run and depends less on the priors.
    """
    (deferred,) = deferred_estimates([pairs])
    return deferred.estimate(level) if deferred else None


def launch_inflation(duels: Sequence[Grouped]) -> float:
    """The variance ratio of these duels' launches to what their pairs explain; at least 1.

    Measured on duels of an arm against itself, it is the value for `Policy.launch_inflation`. Three launches cannot
    show that a machine's launches differ, but a hundred duels of three launches can.
    """
    duels = [pairs for pairs in map(occupied, duels) if count(pairs) > len(pairs) > 1]
    if not duels:
        return 1.0
    from harness.analysis.stats import anova

    return anova.whole_inflation(anova.fit(_stacked(duels)))


def launch_scatter(duels: Sequence[Grouped], *, presumed: float = SLICED_LAUNCH_SD) -> float:
    """The standard deviation that launches add in these sliced duels, as log-ratios.

    With slices both sides run at the same times. So the remaining difference between launches belongs to the processes,
    and does not depend on the machine's load. Measured on duels of an arm against itself, it is the value for
    `Policy.launch_sd`. `presumed` is the prior.
    """
    duels = [pairs for pairs in map(occupied, duels) if count(pairs) > len(pairs) > 1]
    if not duels:
        return presumed
    from harness.analysis.stats import anova

    return anova.own_scatter(anova.fit(_stacked(duels)), presumed=presumed)


def _stacked(duels: Sequence[Grouped]) -> FloatArray:
    """Shape (duels, launches, blocks), NaN where a duel is smaller."""
    import numpy as np

    rows = max(len(pairs) for pairs in duels)
    columns = max(len(launch) for pairs in duels for launch in pairs)
    table = np.full((len(duels), rows, columns), np.nan)
    for sheet, pairs in zip(table, duels, strict=True):
        part = padded(pairs)
        sheet[: part.shape[0], : part.shape[1]] = part
    return table


def _one_pair_a_launch(pairs: Grouped, *, presumed: float) -> DeferredEstimate:
    """One pair per launch (start-up times, memory): Student's t over the launches.

    The variance is the weighted mean of the launches' own and that of the standard deviation `presumed` with
    `PRIOR_FREEDOM` (Smyth 2004, eq. 4), unless chance explains such different launches with less than `CONTRADICTION`.
    """
    import numpy as np

    from harness.analysis.stats.anova import CONTRADICTION, PRIOR_FREEDOM

    values = flat(pairs)
    freedom, square = len(values) - 1.0, float(np.var(values, ddof=1))
    method = "paired log-ratio, t over launches"
    if presumed:
        from scipy.special import fdtrc

        if fdtrc(freedom, PRIOR_FREEDOM, square / presumed**2) < CONTRADICTION:
            method += ", which disagree"
        else:
            square = (PRIOR_FREEDOM * presumed**2 + freedom * square) / (PRIOR_FREEDOM + freedom)
            freedom += PRIOR_FREEDOM
    return DeferredEstimate(
        point=float(np.mean(values)),
        error=math.sqrt(square / len(values)),
        freedom=freedom,
        method=method,
        n=len(values),
        launches=len(pairs),
    )
