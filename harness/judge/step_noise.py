"""The noise of a history: its standard deviation and the correlation of neighbouring runs, with its steps taken out."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from harness.judge.grouped import FloatArray, IntArray

HIGHEST_CORRELATION = 0.95

MOST_STEPS = 6
"""Steps that are taken out at most before the noise is measured."""

STEP_PRICE = 3.0
"""What a further step must pay for, in units of log n: its size once, its place twice."""

SHORTEST_LEVEL = 3
"""Runs that a level has at least when the noise is measured."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Noise:
    """Of each series: residuals, shape (series, runs), their correlation at lag 1 and standard deviation, (series,)."""

    residuals: FloatArray
    rho: FloatArray
    sd: FloatArray


def beside(series: FloatArray, start: IntArray, stop: IntArray) -> Noise:
    """The noise of each series around two levels: one from `start` to before `stop`, one elsewhere."""
    runs = series.shape[-1]
    place = np.arange(runs)
    inside = (place >= start[:, None]) & (place < stop[:, None])
    length = stop - start
    within = np.where(inside, series, 0.0).sum(-1) / length
    outside = np.where(inside, 0.0, series).sum(-1) / (runs - length)
    return _of_residuals(series - np.where(inside, within[:, None], outside[:, None]), levels=2)


def around_steps(values: FloatArray) -> Noise | None:
    """The noise of one series around as many steps as it takes to explain it; None where one or none does.

    A staircase looks like an autocorrelation near one as long as only one of its steps is taken out, and then hides
    the others. So steps are taken out greedily, and their number is the one with the smallest n log(innovation
    variance) + price: the innovations of an AR(1), since it is that explanation which the steps have to beat.
    """
    runs = len(values)
    splits: list[int] = []
    known: dict[tuple[int, int], tuple[float, int]] = {}
    best: tuple[float, Noise | None] = (np.inf, None)
    for count in range(1, MOST_STEPS + 1):
        split = _next_split(values, splits, known)
        if split is None:
            break
        splits = sorted([*splits, split])
        edges = [0, *splits, runs]
        levels = np.concatenate([np.full(b - a, values[a:b].mean()) for a, b in pairwise(edges)])
        noise = _of_residuals((values - levels)[None], levels=count + 1)
        innovations = noise.residuals[0, 1:] - noise.rho[0] * noise.residuals[0, :-1]
        variance = float(np.mean(innovations**2))
        if variance == 0:
            return noise if count > 1 else None
        score = runs * np.log(variance) + STEP_PRICE * count * np.log(runs)
        if score < best[0]:
            best = (score, noise if count > 1 else None)
    return best[1]


def _of_residuals(residuals: FloatArray, *, levels: int) -> Noise:
    """Correlation and standard deviation of residuals from which `levels` means, placed where they fit, were taken out.

    Each costs about the bias of one mean: E[r] ≈ ρ − levels (1 + 2ρ) / runs.
    """
    runs = residuals.shape[-1]
    squares = (residuals**2).sum(-1)
    products = (residuals[:, 1:] * residuals[:, :-1]).sum(-1)
    raw = products / np.where(squares > 0, squares, 1.0)
    rho = np.clip((runs * raw + levels) / max(runs - 2 * levels, 1), 0.0, HIGHEST_CORRELATION)
    return Noise(residuals=residuals, rho=rho, sd=np.sqrt(squares / max(runs - levels, 1)))


def _next_split(values: FloatArray, splits: list[int], known: dict[tuple[int, int], tuple[float, int]]) -> int | None:
    """The further split that takes most off the sum of squares; None where every level is too short.

    `known` keeps what was found of each level: a further split leaves all levels but one as they are.
    """
    best_gain, best_split = 0.0, None
    for start, stop in pairwise([0, *splits, len(values)]):
        if stop - start < 2 * SHORTEST_LEVEL:
            continue
        if (start, stop) not in known:
            known[start, stop] = _best_split(values[start:stop])
        gain, place = known[start, stop]
        if gain > best_gain:
            best_gain, best_split = gain, start + place
    return best_split


def _best_split(level: FloatArray) -> tuple[float, int]:
    """What splitting a level takes off its sum of squares at best, and where."""
    length = len(level)
    before = np.arange(SHORTEST_LEVEL, length - SHORTEST_LEVEL + 1)
    sums = np.cumsum(level)
    difference = sums[before - 1] / before - (sums[-1] - sums[before - 1]) / (length - before)
    gains = difference**2 * before * (length - before) / length
    place = int(gains.argmax())
    return float(gains[place]), int(before[place])
