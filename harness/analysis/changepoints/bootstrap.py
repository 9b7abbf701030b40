"""Whether the largest step of a series is one: how often its own noise, rebuilt without it, shows as large a one."""

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
"""Series rebuilt at a time: once too many show as large a statistic, the rest cannot change the answer."""

BURN_IN = 25
"""Values of a rebuilt series that are thrown away, so that it starts in its stationary state."""

AT_ONCE = 90_000
"""Values of rebuilt series that are worked on together: as many as a processor's cache holds."""

SEED = 0
"""Every series of one length is rebuilt from the same draws, whatever is searched beside it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """The best place of some shapes: it begins at the first of `edges` and, before the end, ends at the second."""

    edges: tuple[int, int]
    p_value: float


def against_bootstrap(
    series: FloatArray, shapes: Shapes, *, around: tuple[Noise, BoolArray], alpha: float
) -> list[Found]:
    """Where the best of `shapes` is in each series, and how often the same noise without it shows as large a statistic.

    `around` is the noise around several steps, and of which series it is the better one. Of a p-value above `alpha` no
    more is found out than that it is above.
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
    """The p-value where there are two levels and no noise beside them: how few arrangements are as orderly as that.

    So a figure that comes in a few sizes (of memory, say) is not found to step wherever two of a kind meet.
    """
    return 1 / math.comb(runs, inside) if steps else 1.0


def _larger(found: Scan, shapes: Shapes, *, portion: slice) -> IntArray:
    """Of each series: how many of a portion of its rebuilt ones show as large a statistic."""
    draws = _draws(shapes.runs)[portion]
    innovations = found.noise.innovations
    innovations -= innovations.mean(-1, keepdims=True)
    drawn = innovations[:, draws].reshape(-1, draws.shape[-1])
    rebuilt = _autoregressive(drawn, np.repeat(found.noise.rho, len(draws)))
    statistics = largest(rebuilt, shapes).reshape(len(innovations), len(draws))
    return np.asarray((statistics >= found.statistic[:, None]).sum(-1))


def _autoregressive(innovations: FloatArray, rho: FloatArray) -> FloatArray:
    """Each series' AR(1) of its correlation, from the end of the warm-up on."""
    if not rho.any():
        return innovations[:, BURN_IN:]
    across = np.ascontiguousarray(innovations.T)
    for run in range(1, len(across)):
        across[run] += rho * across[run - 1]
    return np.ascontiguousarray(across[BURN_IN:].T)


@lru_cache(maxsize=64)
def _draws(runs: int) -> IntArray:
    """Which innovations each rebuilt series of a length is made of: shape (rebuilt, warm-up + runs)."""
    rng = np.random.default_rng([SEED, runs])
    return rng.integers(0, runs - 1, size=(RESAMPLES, BURN_IN + runs), dtype=np.int32).astype(np.intp)
