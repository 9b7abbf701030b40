"""Where the lines of the trends stepped to another level, and which of them were reported.

There is one search, the history's (`harness.analysis.changepoints.incremental`), whoever has the site written; what it
found of a line is not searched again. An alert is what the schedule reported after
a run, and is shown as such.
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
    """A change point of a line: `size` is a log-ratio, positive where the value rose."""

    run_id: str
    scenario_id: str
    metric: str
    size: float


@dataclass(frozen=True, slots=True, kw_only=True)
class ReportedStep:
    """An alert of a figure's regression, at the run that it names."""

    run_id: str
    scenario_id: str
    metric: str
    sentence: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Marks:
    """Marks on the lines besides the steps: alerts, and runs that were promoted to the baseline."""

    reported: tuple[ReportedStep, ...] = ()
    promoted: frozenset[str] = field(default_factory=frozenset)


NO_MARKS = Marks()


@dataclass(frozen=True, slots=True, kw_only=True)
class _Line:
    """A stretch of a figure's line, oldest first: what is searched, and the places of the runs that it is of."""

    key: Key
    runs: "Sequence[int] | IntArray"
    values: Sequence[float]


def find_steps(run_index: RunIndex) -> tuple[Step, ...]:
    """The steps of every gated line of every machine; the book keeps what was found for the next time."""
    kept: dict[str, Changes] = {}
    steps: list[Step] = []
    for machine in dict.fromkeys(run.machine for run in run_index.runs.values()):
        finished = [run for run in run_index.of_machine(machine) if RunStatus(run.status).is_finished]
        every = list(_lines(run_index, finished))
        alpha = share_of_alpha(len({line.key for line in every}))
        found = steps_of_lines([line.values for line in every], alpha=alpha, known=run_index.steps, kept=kept)
        steps += [
            Step(run_id=finished[line.runs[each.index]].id, scenario_id=line.key[0], metric=line.key[1], size=each.size)
            for line, changes in zip(every, found, strict=True)
            for each in changes
        ]
    run_index.steps = kept
    return tuple(steps)


def _lines(run_index: RunIndex, runs: Sequence[PastRun]) -> Iterator[_Line]:
    """Each gated figure's line over the runs, by its stretches where runs were measured with the accepted reference."""
    import numpy as np

    from reports.history.columns import Columns

    paired = {index for run in runs for index in run.ratios}
    for index, (key, medians) in enumerate(zip(run_index.keys, Columns(run_index, runs).medians, strict=True)):
        if key[1] not in METRICS or not METRICS[key[1]].gated:
            continue
        if index in paired:
            values = [median if median > 0 else None for median in medians.tolist()]
            points = [run.point(index, value) for run, value in zip(runs, values, strict=True)]
            yield from (_Line(key=key, runs=each.places, values=each.values) for each in stretches(points))
        elif len(known := np.flatnonzero(medians > 0)):
            yield _Line(key=key, runs=known, values=medians[known].tolist())
