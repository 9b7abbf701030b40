"""A bootstrap test of a series' largest step: how often resampled noise without a step has as large a statistic."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np

from harness.analysis.changepoints.limits import RESAMPLES
from harness.analysis.changepoints.noise import NO_NOISE
from harness.analysis.changepoints.scan import Scan, Shapes, largest, scan

if TYPE_CHECKING:
    from harness.analysis.changepoints.noise import Noise
    from harness.analysis.stats.grouped import BoolArray, FloatArray, IntArray

PORTIONS = (9, 90, RESAMPLES - 99)
"""Sizes of the batches of resampled series. The test stops early once the p-value must exceed alpha."""

BURN_IN = 25
"""Initial values of a resampled series that are discarded, so that it starts in its stationary state."""

AT_ONCE = 90_000
"""Values of resampled series that are processed together: as many as a processor's cache holds."""

SEED = 0
"""Every series of one length uses the same draws, so its result does not depend on the other series."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """The best place among some shapes: the level changes at the first of `edges` and ends before the second."""

    edges: tuple[int, int]
    p_value: float


def against_bootstrap(
    series: FloatArray, shapes: Shapes, *, around: tuple[Noise, BoolArray], alpha: float
) -> list[Found]:
    """The best place of `shapes` in each series, with its bootstrap p-value.

    `around` is the noise around several steps, and a mask of the series whose noise it describes better. A p-value
    above `alpha` is not exact: only the fact that it exceeds `alpha` is known.
    """
    found = scan(series, shapes, around=around)
    silent = found.noise.sd <= NO_NOISE * np.abs(series).max(-1)
    larger = np.zeros(len(series), dtype=np.intp)
    judged = 0
    for count in PORTIONS:
        rows = np.flatnonzero(~silent & ((1 + larger) / (1 + RESAMPLES) <= alpha))
        if not len(rows):
            break
        each = max(1, AT_ONCE // (count * series.shape[-1]))
        for some in np.split(rows, range(each, len(rows), each)):
            larger[some] += _larger(found.at(some), shapes, portion=slice(judged, judged + count))
        judged += count
    p_values = np.where(silent, 0.0, (1 + larger) / (1 + RESAMPLES))
    return [
        Found(
            edges=(int(start), int(stop)),
            p_value=_of_an_arrangement(int(stop - start), shapes.runs, steps=statistic > 0)
            if quiet
            else float(p_value),
        )
        for start, stop, p_value, quiet, statistic in zip(
            found.start, found.stop, p_values, silent, found.statistic, strict=True
        )
    ]


def _of_an_arrangement(inside: int, runs: int, *, steps: bool) -> float:
    """The p-value for two levels without noise: the fraction of arrangements that are as orderly.

    So a metric with only a few distinct values (of memory, for example) does not step wherever two equal ones meet.
    """
    return 1 / math.comb(runs, inside) if steps else 1.0


def _larger(found: Scan, shapes: Shapes, *, portion: slice) -> IntArray:
    """For each series: how many resampled series of a batch have at least its statistic."""
    draws = _draws(shapes.runs)[portion]
    innovations = found.noise.innovations
    innovations -= innovations.mean(-1, keepdims=True)
    drawn = innovations[:, draws].reshape(-1, draws.shape[-1])
    resampled = _autoregressive(drawn, np.repeat(found.noise.rho, len(draws)))
    statistics = largest(resampled, shapes).reshape(len(innovations), len(draws))
    return np.asarray((statistics >= found.statistic[:, None]).sum(-1))


def _autoregressive(innovations: FloatArray, rho: FloatArray) -> FloatArray:
    """An AR(1) series from each row of innovations with its correlation, without the burn-in values."""
    if not rho.any():
        return innovations[:, BURN_IN:]
    across = np.ascontiguousarray(innovations.T)
    for run in range(1, len(across)):
        across[run] += rho * across[run - 1]
    return np.ascontiguousarray(across[BURN_IN:].T)


@lru_cache(maxsize=8)  # lines of one report are about as long; a history that grows would fill more with up to 40 MB
def _draws(runs: int) -> IntArray:
    """The indices of the innovations of each resampled series: shape (resamples, burn-in + runs)."""
    rng = np.random.default_rng([SEED, runs])
    return rng.integers(0, runs - 1, size=(RESAMPLES, BURN_IN + runs), dtype=np.int32).astype(np.intp)
