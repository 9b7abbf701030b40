"""Medians and a robust scale over the last axis of an array; NaN marks a missing value."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from harness.analysis.stats.grouped import FloatArray

MOST_PAIRED = 1_000
"""Up to this many values of a launch all distances are computed: half a million pairs."""


SHAMOS = 1.0483
"""1 / (√2 Φ⁻¹(3/4)): converts the median distance of two Gaussian values into their standard deviation."""


def median(values: FloatArray) -> FloatArray:
    """Median over the last axis without the NaNs, as `numpy.nanmedian` gives it, but fast on many short rows."""
    ordered = np.sort(values, axis=-1)
    sizes = (~np.isnan(values)).sum(-1)
    low = np.maximum((sizes - 1) // 2, 0)[..., None]
    high = np.minimum(sizes // 2, values.shape[-1] - 1)[..., None]
    middle: FloatArray = (np.take_along_axis(ordered, low, -1) + np.take_along_axis(ordered, high, -1))[..., 0] / 2
    return middle


def scale(values: FloatArray) -> FloatArray:
    """Robust standard deviation within launches: the median distance of two blocks of one launch (Shamos 1976).

    It needs no centre, so launches of three or four blocks do not bias it. It is 0 if no launch has two values. For
    more than `MOST_PAIRED` values a fixed random sample is used, because the number of distances grows quadratically.
    """
    if values.shape[-1] > MOST_PAIRED:
        chosen = np.random.default_rng(0).permutation(values.shape[-1])[:MOST_PAIRED]
        values = values[..., np.sort(chosen)]
    first, second = np.triu_indices(values.shape[-1], 1)
    if first.size == 0:
        return np.zeros(values.shape[:-2])
    distances = np.abs(values[..., first] - values[..., second])
    found: FloatArray = SHAMOS * np.nan_to_num(median(distances.reshape(*distances.shape[:-2], -1)))
    return found
