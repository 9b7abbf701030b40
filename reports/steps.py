"""Where the lines of the trends stepped to another level.

The history's detector finds it; a line that is as it was the last time is not searched again.
"""

import hashlib
import math
from array import array
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice

from harness.judge.change_points import ALPHA, STRICTEST, change_points
from harness.metrics.registry import METRICS
from harness.records.run import RunStatus
from reports.history import Book, PastRun
from reports.naming import Key

SEARCHED = 200
"""The newest runs of a line that are searched."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """A change point of a line: `size` is a log-ratio, positive where the value rose."""

    run_id: str
    scenario_id: str
    metric: str
    size: float
    text: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Marks:
    """What is marked on the lines besides the figures: steps, and runs that were promoted to the baseline.

    Where `steps` is None the site looks for them itself.
    """

    steps: tuple[Step, ...] | None = None
    promoted: frozenset[str] = field(default_factory=frozenset)


NO_MARKS = Marks()


def find_steps(book: Book) -> tuple[Step, ...]:
    """The steps of every gated line of every machine; the book keeps what was found for the next time."""
    every = [
        (key, line)
        for machine in dict.fromkeys(run.machine for run in book.runs.values())
        for key, line in _lines(book, book.of_machine(machine))
    ]
    # One alpha for all of them together, as far as the detector can tell so small a share from nothing.
    alpha = max(STRICTEST, ALPHA / max(1, len(every)))
    found: dict[str, tuple[tuple[int, float], ...]] = {}
    steps = []
    for (scenario_id, metric), line in every:
        digest = _digest(line.values(), alpha)
        found[digest] = book.steps[digest] if digest in book.steps else _search(list(line.values()), alpha)
        run_ids = list(line)
        steps += [
            Step(run_id=run_ids[index], scenario_id=scenario_id, metric=metric, size=size)
            for index, size in found[digest]
        ]
    book.steps = found
    return tuple(steps)


def _lines(book: Book, runs: Sequence[PastRun]) -> Iterator[tuple[Key, Mapping[str, float]]]:
    """Each gated figure's line: run → value, oldest first, of runs that came to an end."""
    ended = [run for run in reversed(runs) if run.status in (RunStatus.COMPLETE, RunStatus.PARTIAL)]
    for place, key in enumerate(book.keys):
        if key[1] in METRICS and METRICS[key[1]].gated:
            newest = ((run.id, run.medians[place]) for run in ended if place < len(run.medians))
            known = list(islice(((run_id, value) for run_id, value in newest if value), SEARCHED))
            if known:
                yield key, dict(reversed(known))


def _digest(values: Iterable[float], alpha: float) -> str:
    return hashlib.sha256(array("d", [alpha, *values]).tobytes()).hexdigest()[:32]


def _search(values: Sequence[float], alpha: float) -> tuple[tuple[int, float], ...]:
    found = change_points([math.log(value) for value in values], alpha=alpha)
    return tuple((each.index, each.size) for each in found)
