"""Values grouped by launch: one inner tuple per launch, in block order."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, TypeAlias

from harness.core.errors import MeasurementError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    FloatArray: TypeAlias = NDArray[np.float64]
    BoolArray: TypeAlias = NDArray[np.bool_]
    IntArray: TypeAlias = NDArray[np.intp]

Grouped: TypeAlias = tuple[tuple[float, ...], ...]
"""Values of one metric (or log-ratios of one pair of arms): a tuple per launch, each in block order."""


def occupied(values: Grouped) -> Grouped:
    """The launches that have at least one value.

    Raises MeasurementError if a value is not finite: the caller must leave unknown values out, with their reasons.
    """
    for launch in values:
        for value in launch:
            if not math.isfinite(value):
                raise MeasurementError(
                    f"{value} among the values to analyse",
                    remedy="leave unknown readings out before the analysis; this is a fault of the caller",
                )
    return tuple(launch for launch in values if launch)


def count(values: Grouped) -> int:
    """The number of values over all launches."""
    return sum(len(launch) for launch in values)


def flat(values: Grouped) -> tuple[float, ...]:
    """All values, launch after launch."""
    return tuple(value for launch in values for value in launch)


def logs(values: Grouped) -> Grouped | None:
    """Natural logarithms, or None if a value is zero or negative, because it has no ratio."""
    if any(value <= 0 for launch in values for value in launch):
        return None
    return tuple(tuple(math.log(value) for value in launch) for launch in values)


def padded(values: Grouped) -> FloatArray:
    """An array of shape (launches, longest launch), padded with NaN: the input of `anova`."""
    import numpy as np

    table = np.full((len(values), max(len(launch) for launch in values)), np.nan)
    for row, launch in zip(table, values, strict=True):
        row[: len(launch)] = launch
    return table
