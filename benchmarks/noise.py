"""Synthetic noise of the kinds that occur in benchmarks, as logarithms of times: shape (..., launches, blocks)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from scipy.signal import lfilter

if TYPE_CHECKING:
    from collections.abc import Callable

    from harness.analysis.stats.grouped import FloatArray

AR_RHO = 0.5
LAUNCH_PART = 0.8
"""Share of the variance between launches in the family `launch_dominated`."""

ACCEPTED = 10
"""The number of accepted runs of a synthetic baseline."""

DAY_SD = 0.01
"""Standard deviation of a synthetic run's level from day to day."""

SLOWED_PART = 0.03
"""Share of the blocks that run at half speed on a disturbed machine."""


def gaussian(rng: np.random.Generator, shape: tuple[int, ...]) -> FloatArray:
    """Independent and normal."""
    return rng.standard_normal(shape)


def heavy_tailed(rng: np.random.Generator, shape: tuple[int, ...]) -> FloatArray:
    """Student's t with three degrees of freedom, scaled to unit variance."""
    return np.asarray(rng.standard_t(3, shape) / np.sqrt(3))


def autoregressive(rng: np.random.Generator, shape: tuple[int, ...]) -> FloatArray:
    """AR(1) with ρ = 0.5 over the whole run, across launches."""
    length = shape[-1] * shape[-2]
    steps = rng.standard_normal((*shape[:-2], length)) * np.sqrt(1 - AR_RHO**2)
    # The first value is drawn from the stationary distribution, so that no burn-in is needed.
    steps[..., 0] /= np.sqrt(1 - AR_RHO**2)
    return np.asarray(lfilter([1.0], [1.0, -AR_RHO], steps, axis=-1)).reshape(shape)


def launch_dominated(rng: np.random.Generator, shape: tuple[int, ...]) -> FloatArray:
    """Four fifths of the variance lie between launches."""
    between = rng.standard_normal((*shape[:-1], 1))
    within = rng.standard_normal(shape)
    return np.asarray(np.sqrt(LAUNCH_PART) * between + np.sqrt(1 - LAUNCH_PART) * within)


FAMILIES: dict[str, Callable[[np.random.Generator, tuple[int, ...]], FloatArray]] = {
    "Gaussian": gaussian,
    "heavy-tailed (t₃)": heavy_tailed,
    "AR(1), ρ = 0.5": autoregressive,
    "launch-dominated": launch_dominated,
}


def log_times(rng: np.random.Generator, family: str, shape: tuple[int, ...], *, cv: float) -> FloatArray:
    """Logarithms of times whose coefficient of variation is `cv`."""
    return np.asarray(cv * FAMILIES[family](rng, shape))


def half_speed(rng: np.random.Generator, log_values: FloatArray) -> FloatArray:
    """The log values with some blocks at half speed."""
    return np.where(rng.random(log_values.shape) < SLOWED_PART, log_values + np.log(2), log_values)
