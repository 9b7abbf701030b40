"""The line of a metric's ratio to the accepted reference, over the runs: what the machine's speed leaves alone."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from harness.core.records.verdict import VerdictKind
from reports.charts.timelines import Event, trend
from reports.history.index import PastRun
from reports.text.format import count, percent


@dataclass(frozen=True, slots=True, kw_only=True)
class PairTrend:
    """The newest ratio in words, and the line of all ratios; both "" if no run replayed the reference."""

    newest: str = ""
    chart: str = ""


NO_PAIRS = PairTrend()


def pair_trend(runs: Sequence[PastRun], place: int, *, title: str, events: Sequence[Event]) -> PairTrend:
    """The ratios of the key at `place` in `runs`, oldest first, with the same marks as the absolute line.

    A run of the accepted subject has the ratio 1 without a measurement.
    """
    if not any(place in run.ratios for run in runs):
        return NO_PAIRS
    ratios = [_ratio(run, place) for run in runs]
    known = [ratio for ratio in ratios if ratio is not None]
    replayed = sum(place in run.ratios for run in runs)
    low, high = percent(min(known) - 1), percent(max(known) - 1)
    finding = f"{title}, ratio to the accepted reference: {low} to {high} in {count(len(known), 'run')}."
    newest = next(run for run in reversed(runs) if place in run.ratios)
    latest = "" if newest is runs[-1] else f", in run {newest.id}"
    return PairTrend(
        newest=f"{percent(math.exp(newest.ratios[place]) - 1)} to the reference, pair by pair{latest} "
        f"({count(replayed, 'replay')})",
        chart=trend(ratios, label=lambda value: percent(value - 1), events=events, finding=finding),
    )


def _ratio(run: PastRun, place: int) -> float | None:
    if place in run.ratios:
        return math.exp(run.ratios[place])
    return 1.0 if run.kind(place) is VerdictKind.SAME_SUBJECT else None
