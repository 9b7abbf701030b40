"""Which variants are worth a choice: those that no other beats in speed, sound and memory at once."""

from collections.abc import Mapping
from dataclasses import dataclass

LATENCY, QUALITY, MEMORY = 0.01, 0.05, 0.02
"""Differences up to these (of the original's latency, in MOS, of the original's memory) are none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """A variant beside its original: changes as ratios to 1 (0.1: 10 % more), `quality` as a difference in MOS.

    `low` and `high` are the interval of the latency. `memory` is None if it is unknown. A variant that is not `fit`
    has speech that is broken or different, so it is never chosen.
    """

    latency: float
    low: float
    high: float
    quality: float
    memory: float | None
    fit: bool = True


ORIGINAL = Standing(latency=0.0, low=0.0, high=0.0, quality=0.0, memory=0.0)


def dominated(standings: Mapping[str, Standing]) -> dict[str, str]:
    """Variant → a variant that is no worse in any respect and better in one; the one with the lowest latency."""
    found = {}
    for name, each in standings.items():
        above = [other for other, theirs in standings.items() if other != name and theirs.fit and _beats(theirs, each)]
        if above:
            found[name] = min(above, key=lambda other: (standings[other].latency, other))
    return found


def _beats(one: Standing, other: Standing) -> bool:
    """Whether `one` is no worse than `other` in latency, sound and memory, and clearly better in one of them."""
    memory = one.memory is not None and other.memory is not None
    less = (other.memory or 0.0) - (one.memory or 0.0) if memory else 0.0
    no_worse = one.latency <= other.latency + LATENCY and one.quality >= other.quality - QUALITY and less >= -MEMORY
    faster = one.high < other.low and one.latency < other.latency - LATENCY
    return no_worse and (faster or one.quality > other.quality + QUALITY or less > MEMORY)
