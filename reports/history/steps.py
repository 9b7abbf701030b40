"""The change points of the trends, and the alerts that are shown on them.

The search is that of `harness.analysis.changepoints.incremental`. The index keeps its results, so that an unchanged
series is not searched again. Alerts are what the schedule reported after a run.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from harness.analysis.changepoints.chain import stretches
from harness.analysis.changepoints.incremental import Changes, share_of_alpha, steps_of_lines
from harness.core.records.run import RunStatus
from harness.metrics.registry import METRICS
from reports.history.index import PastRun, RunIndex
from reports.text.naming import Key

if TYPE_CHECKING:
    from harness.analysis.stats.grouped import IntArray


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """A change point of a series: `size` is a log-ratio, positive if the value rose."""

    run_id: str
    scenario_id: str
    metric: str
    size: float


@dataclass(frozen=True, slots=True, kw_only=True)
class ReportedStep:
    """An alert, at the run that it names."""

    run_id: str
    scenario_id: str
    metric: str
    sentence: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Marks:
    """Marks on the trends besides the steps: alerts, and runs that were promoted to the baseline."""

    reported: tuple[ReportedStep, ...] = ()
    promoted: frozenset[str] = field(default_factory=frozenset)


NO_MARKS = Marks()


@dataclass(frozen=True, slots=True, kw_only=True)
class _Series:
    """A part of a series that is searched, oldest first. `runs` are the indices of the runs of its values."""

    key: Key
    runs: "Sequence[int] | IntArray"
    values: Sequence[float]


def find_steps(run_index: RunIndex) -> tuple[Step, ...]:
    """The steps of every gated series of every machine. Keeps the results in the index."""
    kept: dict[str, Changes] = {}
    steps: list[Step] = []
    for machine in dict.fromkeys(run.machine for run in run_index.runs.values()):
        finished = [run for run in run_index.of_machine(machine) if RunStatus(run.status).is_finished]
        every = list(_all_series(run_index, finished))
        alpha = share_of_alpha(len({series.key for series in every}))
        found = steps_of_lines([series.values for series in every], alpha=alpha, known=run_index.steps, kept=kept)
        steps += [
            Step(
                run_id=finished[series.runs[each.index]].id,
                scenario_id=series.key[0],
                metric=series.key[1],
                size=each.size,
            )
            for series, changes in zip(every, found, strict=True)
            for each in changes
        ]
    run_index.steps = kept
    return tuple(steps)


def _all_series(run_index: RunIndex, runs: Sequence[PastRun]) -> Iterator[_Series]:
    """The series of every gated metric, split where runs were paired with different accepted references."""
    import numpy as np

    from reports.history.columns import Columns

    paired = {index for run in runs for index in run.ratios}
    for index, (key, medians) in enumerate(zip(run_index.keys, Columns(run_index, runs).medians, strict=True)):
        if key[1] not in METRICS or not METRICS[key[1]].gated:
            continue
        if index in paired:
            values = [median if median > 0 else None for median in medians.tolist()]
            points = [run.point(index, value) for run, value in zip(runs, values, strict=True)]
            yield from (_Series(key=key, runs=each.places, values=each.values) for each in stretches(points))
        elif len(known := np.flatnonzero(medians > 0)):
            yield _Series(key=key, runs=known, values=medians[known].tolist())
