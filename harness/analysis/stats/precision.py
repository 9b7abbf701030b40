"""When a launch has said what it can: its figures are as narrow as asked, and only a further launch would tell more.

A run's interval has two parts. That between launches shrinks with their number alone; that within shrinks with blocks.
So a launch is played until the share of its blocks in the run's interval is as narrow as asked. Whether it is depends
on how much the values scatter, never on where they lie: a run that is slower is not stopped sooner for it. What is left
of looking is that a launch whose values happen to lie close ends first and is believed a little too much (Anscombe
1953; Chow and Robbins 1965), which few looks, none of them early, keep small. `docs/method.md` has what it comes to.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from harness.analysis.stats.estimate import deferred_median
from harness.analysis.stats.grouped import logs

if TYPE_CHECKING:
    from collections.abc import Sequence

EARLIEST = 6
"""Blocks of a launch before which its scatter is not believed."""

LEVEL = 0.95
"""Level of the interval whose half-width is asked for."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Precision:
    """What is asked of every figure: a relative `half_width` (0.02 is ±2 %; 0 asks for all blocks), in `launches`."""

    half_width: float
    launches: int

    def looks_at(self, blocks: int) -> bool:
        """Whether a launch is looked at after so many of its blocks: at the earliest, and when they have doubled."""
        doublings, rest = divmod(blocks, EARLIEST)
        return self.half_width > 0 and rest == 0 and doublings.bit_count() == 1

    def reached(self, launch: Sequence[float]) -> bool:
        """Whether the values of one launch, in block order, leave the run's median no wider than asked, on their part.

        Values that are all above zero are taken as ratios of one another; else the width is relative to their median.
        Fewer than two values cannot be narrowed by waiting: their scenario fails, and says so elsewhere.
        """
        values = (tuple(launch),)
        log_values = logs(values)
        interim = deferred_median(values if log_values is None else log_values)
        if interim is None:
            return True
        half = interim.half_width(1 - LEVEL) / math.sqrt(self.launches)
        return half <= (math.log1p(self.half_width) if log_values else self.half_width * abs(interim.point))
