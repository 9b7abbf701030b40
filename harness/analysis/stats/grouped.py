"""Values with their structure kept: one inner tuple per launch, in block order."""

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
    """The launches that have any value at all.

    Raises MeasurementError where a value is not finite: an unknown value must be left out, with its reason, before.
    """
    for launch in values:
        for value in launch:
            if not math.isfinite(value):
                raise MeasurementError(
                    f"{value} among the values to be judged",
                    remedy="leave unknown readings out before judging; this is a fault of the caller",
                )
    return tuple(launch for launch in values if launch)


def count(values: Grouped) -> int:
    """How many values there are over all launches."""
    return sum(len(launch) for launch in values)


def flat(values: Grouped) -> tuple[float, ...]:
    """All values, launch after launch."""
    return tuple(value for launch in values for value in launch)


def logs(values: Grouped) -> Grouped | None:
    """Natural logarithms, or None where a value is zero or negative, so that no ratio is defined."""
    if any(value <= 0 for launch in values for value in launch):
        return None
    return tuple(tuple(math.log(value) for value in launch) for launch in values)


def padded(values: Grouped) -> FloatArray:
    """Shape (launches, longest launch), NaN where a launch is shorter: the form that `nested` computes on."""
    import numpy as np

    table = np.full((len(values), max(len(launch) for launch in values)), np.nan)
    for row, launch in zip(table, values, strict=True):
        row[: len(launch)] = launch
    return table
