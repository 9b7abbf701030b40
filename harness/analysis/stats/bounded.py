"""The scale on which the interval of a median is made, so that it stays within what its metric can be."""

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
"""Where a bound on a logarithm or a logit that says nothing is held, so that it stays a finite number."""

MOST_OF_THE_RANGE = 0.9
"""An interval that covers this part of the values between two finite bounds says nothing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Scaled:
    """Values on the scale of their interval. `back` turns a place on it into a value; `name` is "" for no change."""

    values: Grouped
    back: Callable[[float], float]
    name: str


def scaled(values: Grouped, bounds: Bounds) -> Scaled:
    """The scale for `values`, which must not be empty.

    Logits for values strictly between two finite bounds, and logarithms for values above zero: Student's t on either
    has an interval that cannot leave the bounds, and is as narrow as that of the plain values where these lie close
    together. Where a value lies on a bound it has neither, and the plain values are taken.
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
    """A place on a logarithmic scale whose exponential is a finite number."""
    return min(max(place, LOG_RANGE[0]), LOG_RANGE[1])


def says_nothing(point: float, low: float, high: float, *, bounds: Bounds, scale: str) -> bool:
    """Whether an interval is as wide as the figure itself, or as what its metric can be."""
    least, most = bounds
    if math.isfinite(least) and math.isfinite(most):
        return high - low >= MOST_OF_THE_RANGE * (most - least)
    return scale == "logarithms" and (high - low) / 2 >= point
