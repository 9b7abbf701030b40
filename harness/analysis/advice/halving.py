"""Successive halving (K. Jamieson and A. Talwalkar, AISTATS 2016): every round the worse half goes, the rest get more.

The measure is the mean paired log-ratio against the reference, which is played in every round and never goes.
"""

import math
from collections.abc import Mapping, Sequence
from statistics import fmean

from harness.analysis.stats.anova import fit
from harness.analysis.stats.grouped import padded

Grouped = tuple[tuple[float, ...], ...]


def budgets(candidates: int, *, budget_s: float) -> tuple[float, ...]:
    """Seconds for each round and, last, for the duel that decides: equal parts, so that fewer candidates get more each.

    As many rounds as halvings leave one candidate.
    """
    rounds = max(1, math.ceil(math.log2(max(1, candidates))))
    return (budget_s / (rounds + 1),) * (rounds + 1)


def survivors(pairs: Mapping[str, Grouped]) -> tuple[str, ...]:
    """The better half, best first, by their log-ratios against the reference (negative is better); without pairs, none.

    Half is rounded up, and at least one of two or more goes.
    """
    locations = {name: location(each) for name, each in pairs.items() if any(each)}
    ordered = sorted(locations, key=lambda name: (locations[name], name))
    return tuple(ordered[: max(1, len(pairs) // 2)])


def location(pairs: Grouped) -> float:
    """The gate's own robust location of a duel's pairs; their mean where one pair is all there is."""
    filled = tuple(launch for launch in pairs if launch)
    if sum(map(len, filled)) < 2:
        return fmean(filled[0])
    return float(fit(padded(filled)[None]).point[0])


def combined(changes: Sequence[str], settings: Mapping[str, frozenset[str]]) -> str:
    """The best changes as one, as far as they are about different settings; "" where nothing is left to combine."""
    taken: list[str] = []
    used: frozenset[str] = frozenset()
    for change in changes:
        if not used & settings[change]:
            taken.append(change)
            used |= settings[change]
    return ",".join(taken) if len(taken) > 1 else ""
