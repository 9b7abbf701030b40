"""The steps of lines that grow by a run a night: what has settled is not sought again.

A history is searched in leaps of `LEAP` runs. A step that has `SETTLED` runs after it when a leap is complete is final:
from there on the search begins at it, and no later run moves or removes it. So of a line with one run more only the
runs since its last settled step are searched, and a mark that was on a chart stays there. What is found depends on the
values alone, not on what was known: whoever searches the whole line again finds the same.
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

LEAP = 50
"""Runs between two places at which steps settle."""

SETTLED = 25
"""Runs at the new level after which a step is final."""

LONGEST = 200
"""Runs that are searched at once at most: the level of a year ago says little of tonight's."""

LEAST = math.log(1.01)
"""The smallest step, as a log-ratio, that is marked: a fifth of the smallest change that any metric is judged by."""

REMEMBERED = 3
"""The last places of a line by which it is known: its end, and where steps settled last and before that."""

Changes = tuple[ChangePoint, ...]


def share_of_alpha(lines: int) -> float:
    """One alpha shared by `lines` lines, as far as the detector can tell so small a share from nothing."""
    return max(STRICTEST, ALPHA / max(1, lines))


def steps_of(medians: Sequence[float], *, alpha: float = ALPHA) -> Changes:
    """The steps of one line of positive medians, oldest run first: the settled ones, and those found since."""
    (found,) = steps_of_lines([medians], alpha=alpha)
    return found


def steps_of_lines(
    lines: Sequence[Sequence[float]],
    *,
    alpha: float = ALPHA,
    known: Mapping[str, Changes] | None = None,
    kept: dict[str, Changes] | None = None,
) -> list[Changes]:
    """The steps of each of many lines of medians, as `steps_of` finds them.

    `known` is what was `kept` of lines another time, under digests of what had been searched; `kept` is filled with
    what these lines, and the same with more runs, will be known by.
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
    """A line on its way through the leaps: `ends` are still to be searched up to, `found` is what there was by others.

    `digests` are those of its last places, by which it is known.
    """

    def __init__(self, values: Sequence[float], *, alpha: float, known: Mapping[str, Changes]) -> None:
        self.ends: list[int] = [*range(LEAP, len(values), LEAP), *([len(values)] if values else [])]
        self.digests = _digests(values, self.ends[-REMEMBERED:], alpha=alpha)
        self.found = {end: known[digest] for end, digest in self.digests.items() if digest in known}
        self.ends = [end for end in self.ends if end > max(self.found, default=0)]
        self._values = values
        self._logs: list[float] = []
        """Of the values from the first on that was searched here."""

    @property
    def changes(self) -> Changes:
        """The steps up to the last end that was searched."""
        return self.found[max(self.found)] if self.found else ()

    def part(self) -> list[float]:
        """What is to be searched next, as logarithms."""
        start, stop = self._start(), self.ends[0]
        self._logs = self._logs or [math.log(value) for value in self._values[start:]]
        first = len(self._values) - len(self._logs)
        return self._logs[start - first : stop - first]

    def take(self, changes: Changes) -> None:
        """Note what was found in it."""
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
    """End → the digest of the values up to it and of the alpha that they are searched with."""
    kept = memoryview(array("d", values).tobytes())
    running, found, start = hashlib.sha256(array("d", [alpha]).tobytes()), {}, 0
    for end in ends:
        running.update(kept[8 * start : 8 * end])
        found[end], start = running.copy().hexdigest()[:32], end
    return found
