"""The line of a metric's ratio to the accepted reference over the runs. The machine's speed does not change it."""

from collections.abc import Sequence
from dataclasses import dataclass

from harness.analysis.changepoints.chain import chains
from reports.charts.timelines import Event, trend
from reports.history.index import PastRun
from reports.text.format import count, percent, ratio_of


@dataclass(frozen=True, slots=True, kw_only=True)
class PairTrend:
    """The newest ratio in words, and the line of all ratios; both "" if no run replayed the reference."""

    newest: str = ""
    chart: str = ""


NO_PAIRS = PairTrend()


def pair_trend(runs: Sequence[PastRun], place: int, *, title: str, events: Sequence[Event]) -> PairTrend:
    """The ratios of the key at `place` in `runs`, oldest first, with the same marks as the absolute line.

    A run of the accepted subject has the ratio 1 without a measurement. Over acceptances the ratios are linked to the
    first reference (`harness.analysis.changepoints.chain`).
    """
    replayed = sum(place in run.ratios for run in runs)
    if not replayed:
        return NO_PAIRS
    found = chains([run.point(place, None) for run in runs])
    levels = {at: level for chain in found for at, level in chain.items()}
    if not levels:
        return NO_PAIRS
    ratios = [ratio_of(levels[at]) if at in levels else None for at in range(len(runs))]
    low, high = (percent(ratio_of(level) - 1) for level in (min(levels.values()), max(levels.values())))
    references = {reference for run in runs if place in run.ratios for reference in [run.point(place, None).accepted]}
    linked = f", linked over {count(len(references), 'acceptance')}" if len(references) > 1 else ""
    finding = f"{title}, ratio to the accepted reference{linked}: {low} to {high} in {count(len(levels), 'run')}."
    newest = next(run for run in reversed(runs) if place in run.ratios)
    latest = "" if newest is runs[-1] else f", in run {newest.id}"
    return PairTrend(
        newest=f"{percent(ratio_of(newest.ratios[place]) - 1)} to the reference, pair by pair{latest} "
        f"({count(replayed, 'replay')})",
        chart=trend(ratios, label=lambda value: percent(value - 1), events=events, finding=finding),
    )
