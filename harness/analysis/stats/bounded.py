"""The scale on which a median's interval is computed, so that it stays within the metric's bounds."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

from harness.analysis.stats.grouped import flat, logs

if TYPE_CHECKING:
    from collections.abc import Callable

    from harness.analysis.stats.grouped import Grouped

Bounds: TypeAlias = tuple[float, float]
"""The least and the greatest value that a metric can have, in its unit; infinite where it has no bound."""

ANY: Bounds = (-math.inf, math.inf)

LOG_RANGE = (-300.0, 300.0)
"""Limits of a logarithm or logit, so that its exponential stays finite."""

MOST_OF_THE_RANGE = 0.9
"""An interval that covers at least this fraction of the range between two finite bounds is useless."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Scaled:
    """Values on the scale of their interval. `back` inverts the transformation; `name` is "" without one."""

    values: Grouped
    back: Callable[[float], float]
    name: str


def scaled(values: Grouped, bounds: Bounds) -> Scaled:
    """The scale for `values`, which must not be empty.

    Values strictly between two finite bounds become logits; values above zero become logarithms. An interval of
    Student's t on either scale cannot leave the bounds, and it is as narrow as on the plain scale if the values lie
    close together. If a value lies on a bound, the plain values are used.
    """
    low, high = bounds
    everything = flat(values)
    if math.isfinite(low) and math.isfinite(high):
        if low < min(everything) and max(everything) < high:
            width = high - low
            return Scaled(
                values=tuple(tuple(math.log((each - low) / (high - each)) for each in launch) for launch in values),
                back=lambda place: low + width / (1 + math.exp(-held(place))),
                name="logits",
            )
    elif (log_values := logs(values)) is not None:
        return Scaled(values=log_values, back=lambda place: math.exp(held(place)), name="logarithms")
    return Scaled(values=values, back=lambda place: place, name="")


def held(place: float) -> float:
    """Clip a logarithm to `LOG_RANGE`, so that its exponential is finite."""
    return min(max(place, LOG_RANGE[0]), LOG_RANGE[1])


def says_nothing(point: float, low: float, high: float, *, bounds: Bounds, scale: str) -> bool:
    """Whether an interval is as wide as the value itself, or nearly as wide as the metric's range."""
    least, most = bounds
    if math.isfinite(least) and math.isfinite(most):
        return high - low >= MOST_OF_THE_RANGE * (most - least)
    return scale == "logarithms" and (high - low) / 2 >= point
