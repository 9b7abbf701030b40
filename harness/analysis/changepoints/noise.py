"""The noise of histories without their steps: its standard deviation and the correlation of neighbouring runs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from harness.analysis.stats.grouped import FloatArray

if TYPE_CHECKING:
    from harness.analysis.stats.grouped import BoolArray, FloatArray, IntArray

HIGHEST_CORRELATION = 0.95

MOST_STEPS = 6
"""At most this many steps are removed before the noise is measured."""

STEP_PRICE = 3.0
"""The penalty of a further step, in units of log n: one for its size and two for its place."""

SHORTEST_LEVEL = 3
"""The smallest number of runs in a level when the noise is measured."""

NO_NOISE = 1e-12
"""Noise below this fraction of the series' largest value is rounding error and counts as none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Noise:
    """Per series: residuals, shape (series, runs), and their lag-1 correlation and standard deviation, (series,)."""

    residuals: FloatArray
    rho: FloatArray
    sd: FloatArray

    def at(self, rows: IntArray | list[int]) -> Noise:
        return Noise(residuals=self.residuals[rows], rho=self.rho[rows], sd=self.sd[rows])

    def where(self, chosen: BoolArray, other: Noise) -> Noise:
        """This noise for the `chosen` series, a mask of shape (series,), and `other` for the rest."""
        return Noise(
            residuals=np.where(chosen[:, None], self.residuals, other.residuals),
            rho=np.where(chosen, self.rho, other.rho),
            sd=np.where(chosen, self.sd, other.sd),
        )

    @property
    def innovations(self) -> FloatArray:
        """The innovations of the AR(1): shape (series, runs − 1)."""
        found: FloatArray = self.residuals[:, 1:] - self.rho[:, None] * self.residuals[:, :-1]
        return found


def beside(series: FloatArray, start: IntArray, stop: IntArray) -> Noise:
    """The noise of each series around two levels: one in `start` … `stop` − 1, one elsewhere."""
    runs = series.shape[-1]
    place = np.arange(runs)
    inside = (place >= start[:, None]) & (place < stop[:, None])
    length = stop - start
    within = np.where(inside, series, 0.0).sum(-1) / length
    outside = np.where(inside, 0.0, series).sum(-1) / (runs - length)
    return _of_residuals(series - np.where(inside, within[:, None], outside[:, None]), levels=2)


def around_steps(series: FloatArray) -> tuple[Noise, BoolArray]:
    """The noise of each series after removing the best number of steps, and whether that number exceeds one.

    A staircase with only one step removed looks like an autocorrelation near one, which hides the other steps. So steps
    are removed greedily, and their number minimises n log(innovation variance) + penalty. It uses the innovations of an
    AR(1), because autocorrelation is the alternative explanation.
    """
    runs = series.shape[-1]
    levels = _Levels(series)
    noise = _of_residuals(levels.residuals(), levels=1)
    several = np.zeros(len(series), dtype=bool)
    best = np.full(len(series), np.inf)
    open_ = np.ones(len(series), dtype=bool)
    least = (NO_NOISE * np.abs(series).max(-1)) ** 2
    for count in range(1, MOST_STEPS + 1):
        open_ &= levels.split()
        if not open_.any():
            break
        found = _of_residuals(levels.residuals(), levels=count + 1)
        variance = (found.innovations**2).mean(-1)
        explained = variance <= least
        score = runs * np.log(np.where(explained, 1.0, variance)) + STEP_PRICE * count * np.log(runs)
        better = open_ & (explained | (score < best))
        noise = found.where(better, noise)
        several = np.where(better, count > 1, several)
        best = np.where(better, score, best)
        open_ &= ~explained  # more steps cannot explain more
    return noise, several


def correlation(squares: FloatArray, products: FloatArray, *, runs: int, levels: int) -> FloatArray:
    """The correlation at lag 1 from the sums of squares and of neighbours' products of residuals.

    `levels` fitted means were subtracted. Each adds about the bias of one mean:
    E[r] ≈ ρ − levels (1 + 2ρ) / runs.
    """
    raw = products / np.where(squares > 0, squares, 1.0)
    return np.clip((runs * raw + levels) / max(runs - 2 * levels, 1), 0.0, HIGHEST_CORRELATION)


def deviation(squares: FloatArray, *, runs: int, levels: int) -> FloatArray:
    """The standard deviation from the sum of squares of residuals after subtracting `levels` means."""
    found: FloatArray = np.sqrt(squares / max(runs - levels, 1))
    return found


def _of_residuals(residuals: FloatArray, *, levels: int) -> Noise:
    runs = residuals.shape[-1]
    squares = (residuals**2).sum(-1)
    products = (residuals[:, 1:] * residuals[:, :-1]).sum(-1)
    return Noise(
        residuals=residuals,
        rho=correlation(squares, products, runs=runs, levels=levels),
        sd=deviation(squares, runs=runs, levels=levels),
    )


class _Levels:
    """Series divided into levels, one more with each `split`: for each run, the start and end of its level."""

    def __init__(self, series: FloatArray) -> None:
        self._series = series
        count, runs = series.shape
        self._place = np.arange(runs)
        self._sums = np.concatenate([np.zeros((count, 1)), np.cumsum(series - series[:, :1], -1)], -1)
        self._start = np.zeros((count, runs), dtype=np.intp)
        self._stop = np.full((count, runs), runs, dtype=np.intp)
        self._below = np.zeros((count, runs))
        """Sum of all runs before a run's level; `_up_to` includes the level."""
        self._up_to = np.repeat(self._sums[:, -1:], runs, -1)

    def split(self) -> BoolArray:
        """Split each series where its sum of squares falls most; False for a series that no split improves."""
        before, after = self._place - self._start, self._stop - self._place
        here = self._sums[:, :-1]
        left, right = np.maximum(before, 1), np.maximum(after, 1)
        difference = (here - self._below) / left - (self._up_to - here) / right
        gains = difference**2 * left * right / (left + right)
        gains[(before < SHORTEST_LEVEL) | (after < SHORTEST_LEVEL)] = 0.0
        split = gains.argmax(-1)[:, None]
        found = np.take_along_axis(gains, split, -1) > 0
        level_start = np.take_along_axis(self._start, split, -1)
        level_stop = np.take_along_axis(self._stop, split, -1)
        sum_here = np.take_along_axis(here, split, -1)
        earlier = found & (self._place >= level_start) & (self._place < split)
        later = found & (self._place >= split) & (self._place < level_stop)
        self._stop = np.where(earlier, split, self._stop)
        self._up_to = np.where(earlier, sum_here, self._up_to)
        self._start = np.where(later, split, self._start)
        self._below = np.where(later, sum_here, self._below)
        return np.asarray(found[:, 0])

    def residuals(self) -> FloatArray:
        """Each run minus the mean of its level."""
        means = (self._up_to - self._below) / (self._stop - self._start)
        return np.asarray(self._series - self._series[:, :1] - means)
