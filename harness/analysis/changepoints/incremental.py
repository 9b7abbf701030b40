"""Change points of series that grow by one run a night, computed incrementally.

A history is searched in segments of `SEGMENT` runs. A step with at least `SETTLED` runs after it at the end of a
segment is final: later searches begin at it, and no later run moves or removes it. So for a new run only the runs since
the last settled step are searched, and a mark on a chart stays in its place. The result depends only on the values: a
search of the whole series from scratch gives the same steps.
"""

from __future__ import annotations

import hashlib
import math
from array import array
from dataclasses import replace
from typing import TYPE_CHECKING

from harness.analysis.changepoints.detect import ALPHA, STRICTEST, ChangePoint, change_points_of

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

SEGMENT = 50
"""The number of runs in a segment; steps settle at the end of each segment."""

SETTLED = 25
"""A step is final once it has this many runs at the new level."""

LONGEST = 200
"""A search covers at most this many runs: the level of a year ago is irrelevant tonight."""

LEAST = math.log(1.01)
"""The smallest step (a log-ratio) that is marked: a fifth of the smallest tolerance of any metric."""

REMEMBERED = 3
"""The number of final positions of a series that identify it in the cache: its end and the last two segment ends."""

Changes = tuple[ChangePoint, ...]


def share_of_alpha(lines: int) -> float:
    """`ALPHA` divided by the number of series, but at least `STRICTEST`."""
    return max(STRICTEST, ALPHA / max(1, lines))


def steps_of(medians: Sequence[float], *, alpha: float = ALPHA) -> Changes:
    """The steps of one series of positive medians, oldest run first: the settled steps and those found since."""
    (found,) = steps_of_lines([medians], alpha=alpha)
    return found


def steps_of_lines(
    lines: Sequence[Sequence[float]],
    *,
    alpha: float = ALPHA,
    known: Mapping[str, Changes] | None = None,
    kept: dict[str, Changes] | None = None,
) -> list[Changes]:
    """The steps of each of many series of medians, as `steps_of` finds them.

    `known` is the cache from an earlier call (its `kept`): digest of the searched values → steps. `kept` is filled with
    the entries that a later call with the same series, or with more runs, can use.
    """
    pending = [_Line(values, alpha=alpha, known=known or {}) for values in lines]
    while some := [line for line in pending if line.ends]:
        found = change_points_of([line.part() for line in some], alpha=alpha, least=LEAST)
        for line, changes in zip(some, found, strict=True):
            line.take(changes)
    if kept is not None:
        for line in pending:
            kept.update({line.digests[end]: changes for end, changes in line.found.items() if end in line.digests})
    return [line.changes for line in pending]


class _Line:
    """A series during its incremental search: `ends` are the segment ends still to search, `found` maps end → steps.

    `digests` maps its last ends to the digests that identify it in the cache.
    """

    def __init__(self, values: Sequence[float], *, alpha: float, known: Mapping[str, Changes]) -> None:
        self.ends: list[int] = [*range(SEGMENT, len(values), SEGMENT), *([len(values)] if values else [])]
        self.digests = _digests(values, self.ends[-REMEMBERED:], alpha=alpha)
        self.found = {end: known[digest] for end, digest in self.digests.items() if digest in known}
        self.ends = [end for end in self.ends if end > max(self.found, default=0)]
        self._values = values
        self._logs: list[float] = []
        """Logarithms of the values from the first one that this search needs."""

    @property
    def changes(self) -> Changes:
        """The steps up to the last searched end."""
        return self.found[max(self.found)] if self.found else ()

    def part(self) -> list[float]:
        """The logarithms of the values to search next."""
        start, stop = self._start(), self.ends[0]
        self._logs = self._logs or [math.log(value) for value in self._values[start:]]
        first = len(self._values) - len(self._logs)
        return self._logs[start - first : stop - first]

    def take(self, changes: Changes) -> None:
        """Store the steps found in the last `part`."""
        start = self._start()
        fresh = (replace(change, index=start + change.index) for change in changes)
        self.found[self.ends.pop(0)] = (*self._settled(), *fresh)

    def _settled(self) -> Changes:
        end = max(self.found, default=0)
        return tuple(change for change in self.changes if change.index <= end - SETTLED)

    def _start(self) -> int:
        settled = max((change.index for change in self._settled()), default=0)
        start: int = max(settled, self.ends[0] - LONGEST)
        return start


def _digests(values: Sequence[float], ends: Sequence[int], *, alpha: float) -> dict[int, str]:
    """End → digest of `alpha` and the values up to that end."""
    kept = memoryview(array("d", values).tobytes())
    running, found, start = hashlib.sha256(array("d", [alpha]).tobytes()), {}, 0
    for end in ends:
        running.update(kept[8 * start : 8 * end])
        found[end], start = running.copy().hexdigest()[:32], end
    return found
