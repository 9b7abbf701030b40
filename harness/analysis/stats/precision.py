"""When a launch has enough blocks: its values are as precise as requested, and only another launch would add more.

A run's interval has two parts: the part between launches shrinks only with more launches, the part within them with
more blocks. So a launch runs until its blocks' part of the run's interval is as narrow as requested. The rule depends
on how much the values scatter and not on their level, so a slower run is not stopped earlier. A bias remains: a launch
whose values happen to lie close together ends earlier, and its precision is overestimated (Anscombe 1953; Chow and
Robbins 1965). Few checks, and none of them early, keep that bias small; `docs/method.md` gives its size.
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
"""A launch needs at least this many blocks before its scatter is used."""

LEVEL = 0.95
"""Confidence level of the interval whose half-width is requested."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Precision:
    """The requested precision: a relative `half_width` (0.02 is ±2 %; 0 requests all blocks) over `launches`."""

    half_width: float
    launches: int

    def looks_at(self, blocks: int) -> bool:
        """Whether to check a launch after this many blocks: at `EARLIEST` and at each doubling of it."""
        doublings, rest = divmod(blocks, EARLIEST)
        return self.half_width > 0 and rest == 0 and doublings.bit_count() == 1

    def reached(self, launch: Sequence[float]) -> bool:
        """Whether one launch's values, in block order, are precise enough for the requested interval of the run.

        If all values are above zero, the width is that of their logarithms; else it is relative to their median. With
        fewer than two values the answer is True: the scenario fails elsewhere, and more blocks do not help.
        """
        values = (tuple(launch),)
        log_values = logs(values)
        deferred = deferred_median(values if log_values is None else log_values)
        if deferred is None:
            return True
        half = deferred.half_width(1 - LEVEL) / math.sqrt(self.launches)
        return half <= (math.log1p(self.half_width) if log_values else self.half_width * abs(deferred.point))
