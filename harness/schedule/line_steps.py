"""The line of a figure over the runs of a machine, and its steps: those that the report marks."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Final

from harness.analysis.changepoints.chain import LinePoint, ratio_to_reference, stretches
from harness.analysis.changepoints.detect import WINDOW, ChangePoint
from harness.analysis.changepoints.incremental import steps_of
from harness.analysis.changepoints.limits import BEFORE
from harness.store.rows import SeriesPoint

FRESH: Final = 2 * WINDOW
"""An older step is not reported, so a schedule that starts on an old store sends no alerts for it."""


def line_of(points: Sequence[SeriesPoint]) -> list[LinePoint]:
    """A trend's complete runs, as in the report."""
    return [
        LinePoint(
            run_id=each.run_id,
            value=each.summary.median if each.summary.median and each.summary.median > 0 else None,
            ratio=ratio_to_reference(each.verdict) if each.verdict else None,
            accepted=each.verdict.accepted if each.verdict else "",
        )
        for each in points
        if each.status.is_finished
    ]


def steps_on(line: Sequence[LinePoint], *, alpha: float) -> list[ChangePoint]:
    """The steps of each stretch of a line, with their places in the line."""
    return sorted(
        (
            replace(step, index=stretch.places[step.index])
            for stretch in stretches(line)
            for step in steps_of(stretch.values, alpha=alpha)
        ),
        key=lambda step: step.index,
    )


def may_have_stepped(values: Sequence[float], tolerance: float) -> bool:
    """Whether any fresh split separates levels by the tolerance. If none does, the detector need not run."""
    import numpy as np

    count = len(values)
    sums = np.concatenate([[0.0], np.cumsum(values)])
    for split in range(max(BEFORE, count - FRESH), count):
        starts, ends = np.arange(split - BEFORE + 1), np.arange(split + 1, count + 1)
        before = (sums[split] - sums[starts]) / (split - starts)
        after = (sums[ends] - sums[split]) / (ends - split)
        if max(after.max() - before.min(), before.max() - after.min()) >= tolerance:
            return True
    return False
