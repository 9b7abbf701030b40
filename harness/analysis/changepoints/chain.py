"""A line's stretches: what is searched for steps where some runs were measured pair by pair with an accepted reference.

A ratio to a reference leaves the machine's speed out, but it starts anew with each acceptance. So the ratios are linked
to a chain: the level of an accepted run is the level of the reference before it plus the ratio that it was accepted
with. A run of the accepted subject has the level of its reference. Where there is a chain, its levels are searched and
the absolute values are not.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING

from harness.analysis.changepoints.detect import SHORTEST
from harness.analysis.changepoints.limits import BEFORE
from harness.core.records.verdict import Verdict, VerdictKind, is_against_reference
from harness.metrics.registry import METRICS

if TYPE_CHECKING:
    from collections.abc import Sequence


@dataclass(frozen=True, slots=True, kw_only=True)
class LinePoint:
    """A finished run on a line.

    `value` is its median, None if it is unknown or not positive. `ratio` is the log-ratio to the subject that was
    accepted with the run `accepted`, positive where the value rose, 0 for that subject itself; None without a
    comparison.
    """

    run_id: str
    value: float | None
    ratio: float | None = None
    accepted: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Stretch:
    """Values (positive) that can be compared with one another, and their places in the line, both oldest first."""

    places: tuple[int, ...]
    values: tuple[float, ...]


def ratio_to_reference(verdict: Verdict) -> float | None:
    """The log-ratio of a run to its accepted reference, positive where the value rose; None if the verdict has none."""
    if verdict.kind is VerdictKind.SAME_SUBJECT:
        return 0.0
    if not is_against_reference(verdict) or verdict.change is None or verdict.metric not in METRICS:
        return None
    return verdict.change.point if METRICS[verdict.metric].lower_is_better else -verdict.change.point


Chain = dict[int, float]
"""Place in the line → level, a log-ratio to the chain's first reference; oldest first."""


def chains(line: Sequence[LinePoint]) -> list[Chain]:
    """The chains of a line, oldest first. A reference that no run before it leads to begins a new one.

    The errors of the ratios add up along a chain, as those of differences do.
    """
    found: list[Chain] = []
    levels: dict[str, tuple[Chain, float]] = {}
    places = {point.run_id: place for place, point in enumerate(line)}
    for place, point in enumerate(line):
        if point.ratio is None or not point.accepted:
            continue
        if point.accepted not in levels:
            start = places.get(point.accepted, place)
            found.append({start: 0.0} if start < place else {})
            levels[point.accepted] = (found[-1], 0.0)
        chain, level = levels[point.accepted]
        chain[place] = level + point.ratio
        levels[point.run_id] = (chain, chain[place])
    return found


def stretches(line: Sequence[LinePoint]) -> list[Stretch]:
    """What to search of a line, oldest first.

    A chain counts if its ratios can show a step: at least `SHORTEST` runs, of which one was measured in pairs. The
    absolute values before and after it are stretches of their own, which reach `BEFORE` runs into the chain, because no
    search of the chain finds a step there.
    """
    some = sorted((chain for chain in chains(line) if len(chain) >= SHORTEST and any(chain.values())), key=min)
    if not some:
        return [each for each in [_absolute(line, 0, len(line))] if each.places]
    bounds = [(0, sorted(some[0])[BEFORE - 1] + 1)]
    bounds += [(sorted(one)[-BEFORE], sorted(other)[BEFORE - 1] + 1) for one, other in pairwise(some)]
    bounds.append((sorted(some[-1])[-BEFORE], len(line)))
    found: list[Stretch] = []
    for (start, stop), chain in zip(bounds, [*some, None], strict=True):
        outside = [place for place in range(start, stop) if not any(min(one) <= place <= max(one) for one in some)]
        if outside:
            found.append(_absolute(line, start, stop))
        if chain is not None:
            at = sorted(chain)
            found.append(Stretch(places=tuple(at), values=tuple(math.exp(chain[place]) for place in at)))
    return found


def _absolute(line: Sequence[LinePoint], start: int, stop: int) -> Stretch:
    known = [(place, line[place].value) for place in range(start, stop)]
    some = [(place, value) for place, value in known if value is not None]
    return Stretch(places=tuple(place for place, _ in some), values=tuple(value for _, value in some))
