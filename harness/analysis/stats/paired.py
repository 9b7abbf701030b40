"""Duels: the log-ratio of two arms, pair by pair."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from harness.analysis.stats.grouped import count, flat, occupied, padded
from harness.analysis.stats.interval import DeferredEstimate
from harness.core.errors import MeasurementError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from harness.analysis.stats.grouped import FloatArray, Grouped
    from harness.core.records.verdict import Estimate


FEWEST_PAIRS = 3
"""Pairs without which a duel says nothing."""

SLICED_LAUNCH_SD = 0.008
"""What is presumed of pairs in slices before a machine's own duels have told it (`launch_scatter`).

Two workers that meet the same moments of the machine differ as processes. Of 12 characters (two shared cores, full
replica) pairs scatter by 1.2 to 2.1 %, and the means of fourteen launches of seven pairs by 1.15 %, where pairs explain
0.5 %; those of fifteen launches of four by 1.05 %, which pairs explain.
"""


def log_ratios(candidate: Grouped, reference: Grouped) -> Grouped:
    """log(candidate / reference), launch by launch and block by block.

    Raises MeasurementError where the two do not pair up, or where a value is zero or negative and has no ratio.
    """
    if [len(launch) for launch in candidate] != [len(launch) for launch in reference]:
        raise MeasurementError("the two arms of a duel do not pair up block by block")
    if any(value <= 0 for launch in (*candidate, *reference) for value in launch):
        raise MeasurementError(
            "a duel needs figures above zero, for their ratio", remedy="gate this metric by a target instead"
        )
    return tuple(
        tuple(math.log(ours / theirs) for ours, theirs in zip(launch, other, strict=True))
        for launch, other in zip(candidate, reference, strict=True)
    )


def deferred_estimates(
    duels: Sequence[Grouped],
    *,
    scenarios: Sequence[str] | None = None,
    launch_inflation: float = 1.0,
    launch_sd: float = 0.0,
) -> list[DeferredEstimate | None]:
    """One estimate per duel; None where there are fewer than three pairs.

    All duels of a run are estimated together, because how much launches differ and how long a disturbance lasts is
    learned from all of them (`nested.common`), beside the `launch_inflation` and the `launch_sd` that are presumed.
    `scenarios` names the scenario of each duel: metrics of one scenario are read from the same repetitions and count as
    one witness.
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
            found[place] = _one_pair_a_launch(pairs)
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


def log_ratio_estimate(pairs: Grouped, *, level: float) -> Estimate | None:
    """The log-ratio of a duel judged alone, with its interval at `level`; None where there are fewer than three pairs.

    Hierarchical: launches, then pairs in block order. What one duel cannot tell (three launches say little) is
    presumed as `nested` states; the gate, which sees the whole run, presumes less.
    """
    (interim,) = deferred_estimates([pairs])
    return interim.estimate(level) if interim else None


def launch_inflation(duels: Sequence[Grouped]) -> float:
    """How many times more the launches of these duels differ than their pairs explain; at least 1.

    Measured on duels of a thing against itself, it is what `Policy.launch_inflation` presumes of later ones: three
    launches cannot tell that a machine's launches differ, but a hundred duels of three can.
    """
    duels = [pairs for pairs in map(occupied, duels) if count(pairs) > len(pairs) > 1]
    if not duels:
        return 1.0
    from harness.analysis.stats import anova

    return anova.whole_inflation(anova.fit(_stacked(duels)))


def launch_scatter(duels: Sequence[Grouped], *, presumed: float = SLICED_LAUNCH_SD) -> float:
    """By what standard deviation the launches of these duels in slices scatter of their own, as log-ratios.

    In slices both sides meet the same moments, so that what is left between launches belongs to the processes, and is
    the same in quiet minutes and in loud ones. Measured on duels of a thing against itself, it is what
    `Policy.launch_sd` presumes of later ones; `presumed` is what was believed before.
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


def _one_pair_a_launch(pairs: Grouped) -> DeferredEstimate:
    """One pair per launch (start-up times): Student's t over the launches."""
    import numpy as np

    values = flat(pairs)
    return DeferredEstimate(
        point=float(np.mean(values)),
        error=float(np.std(values, ddof=1)) / math.sqrt(len(values)),
        freedom=len(values) - 1.0,
        method="paired log-ratio, t over launches",
        n=len(values),
        launches=len(pairs),
    )
