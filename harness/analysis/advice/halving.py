"""Successive halving (K. Jamieson and A. Talwalkar, AISTATS 2016): every round the worse half goes, the rest get more.

The measure is the log-ratio against the reference, which is measured in every round and never goes.
"""

import math
from collections.abc import Mapping, Sequence


def budgets(candidates: int, *, budget_s: float) -> tuple[float, ...]:
    """Seconds for each round and, last, for the duel that decides: equal parts, so that fewer candidates get more each.

    As many rounds as halvings leave one candidate.
    """
    rounds = max(1, math.ceil(math.log2(max(1, candidates))))
    return (budget_s / (rounds + 1),) * (rounds + 1)


def survivors(found: Mapping[str, float | None]) -> tuple[str, ...]:
    """The better half, best first, by their log-ratios to the reference (negative is better); without one, none.

    Half is rounded up, and at least one of two or more goes.
    """
    known = {name: value for name, value in found.items() if value is not None}
    ordered = sorted(known, key=lambda name: (known[name], name))
    return tuple(ordered[: max(1, len(found) // 2)])


def combined(changes: Sequence[str], settings: Mapping[str, frozenset[str]]) -> str:
    """The best changes as one, as far as they are about different settings; "" where nothing is left to combine."""
    taken: list[str] = []
    used: frozenset[str] = frozenset()
    for change in changes:
        if not used & settings[change]:
            taken.append(change)
            used |= settings[change]
    return ",".join(taken) if len(taken) > 1 else ""
