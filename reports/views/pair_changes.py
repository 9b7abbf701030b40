"""The change of a metric between two arms of one run, pair by pair: one estimator for every table and picture."""

from collections.abc import Sequence
from statistics import median

from harness.analysis.stats.paired import deferred_estimates
from harness.metrics.values import Grouped
from reports.charts.svg import Range
from reports.text.format import change_of

LEVEL = 0.95
"""Of each interval."""


def pair_changes(sheets: Sequence[Grouped]) -> list[Range | None]:
    """The change that each sheet of log-ratios shows, as a ratio to 1; None for an empty sheet.

    With too few pairs for an interval, both of its ends are the median.
    """
    found: list[Range | None] = []
    for pairs, deferred in zip(sheets, deferred_estimates(sheets), strict=True):
        flat = [pair for launch in pairs for pair in launch]
        if deferred is not None:
            estimate = deferred.estimate(LEVEL)
            ends = (change_of(end) for end in (estimate.point, estimate.low, estimate.high))
            found.append(Range(point=next(ends), low=next(ends), high=next(ends)))
        elif flat:
            middle = change_of(median(flat))
            found.append(Range(point=middle, low=middle, high=middle))
        else:
            found.append(None)
    return found
