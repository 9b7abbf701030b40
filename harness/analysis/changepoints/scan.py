"""The statistic of the change points: the largest difference of means over many places, on many series at once."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np

from harness.analysis.changepoints.limits import BEFORE
from harness.analysis.changepoints.noise import NO_NOISE, beside, correlation, deviation

if TYPE_CHECKING:
    from harness.analysis.changepoints.noise import Noise
    from harness.analysis.stats.grouped import BoolArray, FloatArray, IntArray

AFTER_INSIDE = 3
"""Runs that must follow a step within the history. At its end one is enough, so that an alert comes the next day."""

GRID = 25
"""Bumps begin and end on a grid of about this many places: a shift of a run or two hardly changes the statistic."""

RHO_GRID = 200
"""Correlations are rounded to a grid of this many steps, so that the variance is computed once per grid value."""

LENGTHS = 256
"""The number of series lengths whose shapes are cached."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Shapes:
    """Places where a series of `runs` may differ from the rest: the runs starts[i] … stops[i] − 1 for each i.

    A single step stops where the series does.
    """

    starts: IntArray
    stops: IntArray
    runs: int

    def differences(self, sums: FloatArray) -> FloatArray:
        """Mean inside minus mean outside, from `running_sums`: shape (series, shapes)."""
        length = self.stops - self.starts
        first, last = self.starts[0], self.starts[-1]
        if self.stops.min() == self.runs and np.array_equal(self.starts, np.arange(first, last + 1)):
            inside = sums[:, -1:] - sums[:, first : last + 1]  # a slice is cheaper than fancy indexing
        else:
            inside = sums[:, self.stops] - sums[:, self.starts]
        return np.asarray(inside * (1 / length + 1 / (self.runs - length)) - sums[:, -1:] / (self.runs - length))

    def variance(self, rho: FloatArray) -> FloatArray:
        """Variance of each difference for an AR(1) of unit variance and correlation `rho`, shape (series, 1).

        A sum of k runs has the variance k + 2ρ (k / (1 − ρ) − (1 − ρᵏ) / (1 − ρ)²); sums of k and m runs with g runs
        between them have the covariance ρ¹⁺ᵍ (1 − ρᵏ)(1 − ρᵐ) / (1 − ρ)².
        """
        before, inside, after = self.starts, self.stops - self.starts, self.runs - self.stops
        outside = before + after
        fade = 1 - rho
        # Compute each power once per length: there are many more shapes than lengths.
        powers = rho ** np.arange(self.runs + 2)
        gone = {
            name: 1 - powers[:, count] for name, count in (("before", before), ("inside", inside), ("after", after))
        }

        def of_sum(count: IntArray, left: FloatArray) -> FloatArray:
            variance: FloatArray = count + 2 * rho * (count / fade - left / fade**2)
            return variance

        neighbours = rho * gone["inside"] * (gone["before"] + gone["after"]) / fade**2
        across = powers[:, 1 + inside] * gone["before"] * gone["after"] / fade**2
        total: FloatArray = (
            of_sum(inside, gone["inside"]) / inside**2
            + (of_sum(before, gone["before"]) + of_sum(after, gone["after"]) + 2 * across) / outside**2
            - 2 * neighbours / (inside * outside)
        )
        return total

    def errors(self, rho: FloatArray) -> FloatArray:
        """Standard error of each difference in units of the noise, for correlations on the grid: (series, shapes)."""
        grid, rows = np.unique(np.rint(rho * RHO_GRID), return_inverse=True)
        return np.asarray(np.sqrt(self.variance(grid[:, None] / RHO_GRID))[rows])

    @property
    def independent(self) -> FloatArray:
        """Standard error of each difference where runs are independent, shape (shapes,)."""
        inside = self.stops - self.starts
        return np.asarray(np.sqrt(1 / inside + 1 / (self.runs - inside)))


@dataclass(frozen=True, slots=True, kw_only=True)
class Scan:
    """Per series: the largest statistic, its place, and the noise used for it."""

    statistic: FloatArray
    start: IntArray
    stop: IntArray
    noise: Noise

    def at(self, rows: IntArray) -> Scan:
        return Scan(
            statistic=self.statistic[rows], start=self.start[rows], stop=self.stop[rows], noise=self.noise.at(rows)
        )


@lru_cache(LENGTHS)
def steps(runs: int, *, last: int) -> Shapes:
    """Every single step with at least `BEFORE` runs before it and `last` from it on."""
    starts = np.arange(BEFORE, runs - last + 1)
    return Shapes(starts=starts, stops=np.full(len(starts), runs), runs=runs)


@lru_cache(LENGTHS)
def bumps(runs: int) -> Shapes:
    """Steps with their return (bumps) on a grid; each part is long enough."""
    pitch = max(1, runs // GRID)
    starts, stops = np.meshgrid(np.arange(BEFORE, runs, pitch), np.arange(BEFORE, runs, pitch), indexing="ij")
    long = (stops - starts >= AFTER_INSIDE) & (stops <= runs - AFTER_INSIDE)
    return Shapes(starts=starts[long], stops=stops[long], runs=runs)


def scan(series: FloatArray, shapes: Shapes, *, around: tuple[Noise, BoolArray] | None = None) -> Scan:
    """The shape with the largest statistic in each series, shape (series, runs).

    The first pass assumes independent runs, to find where to measure the noise. The second pass uses that noise.
    `around` provides a better noise for some of the series.
    """
    differences = np.abs(shapes.differences(running_sums(series)))
    differences[differences <= NO_NOISE * np.abs(series).max(-1, keepdims=True)] = 0.0
    first = (differences / shapes.independent).argmax(-1)
    noise = beside(series, shapes.starts[first], shapes.stops[first])
    if around is not None:
        known, better = around
        noise = known.where(better, noise)
    scores = differences / shapes.errors(noise.rho)
    best = scores.argmax(-1)
    largest = np.take_along_axis(scores, best[:, None], -1)[:, 0]
    with np.errstate(divide="ignore", invalid="ignore"):
        statistic = np.where(largest > 0, largest / noise.sd, 0.0)
    return Scan(statistic=statistic, start=shapes.starts[best], stop=shapes.stops[best], noise=noise)


def largest(series: FloatArray, shapes: Shapes) -> FloatArray:
    """Only the statistic of `scan`, shape (series,), computed from sums over each series without residuals.

    With y the series minus the mean outside and d the difference, the residuals are y − d inside and y outside. So
    their squares and the products of neighbours are sums over y and its parts.
    """
    runs = shapes.runs
    sums = running_sums(series)
    differences = shapes.differences(sums)
    np.abs(differences, out=differences)
    first = (differences / shapes.independent).argmax(-1)
    start, stop = shapes.starts[first], shapes.stops[first]
    row = np.arange(len(series))
    length = stop - start
    inside, total = sums[row, stop] - sums[row, start], sums[:, -1]
    outside = (total - inside) / (runs - length)
    difference = inside / length - outside

    def part(begin: IntArray, end: IntArray) -> FloatArray:
        """The sum of y over the runs from `begin` to before `end`."""
        found: FloatArray = sums[row, end] - sums[row, begin] - (end - begin) * outside
        return found

    squares = (series**2).sum(-1) - 2 * outside * total + runs * outside**2
    squares += length * difference**2 - 2 * difference * part(start, stop)
    products = (series[:, 1:] * series[:, :-1]).sum(-1)
    products -= outside * (2 * total - series[:, 0] - series[:, -1]) - (runs - 1) * outside**2
    left, right = part(start - 1, stop - 1), part(start + 1, np.minimum(stop + 1, runs))
    products += (length - 1) * difference**2 - difference * (left + right)
    differences /= shapes.errors(correlation(squares, products, runs=runs, levels=2))
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.asarray(differences.max(-1) / deviation(np.maximum(squares, 0.0), runs=runs, levels=2))


def running_sums(series: FloatArray) -> FloatArray:
    """The sum of the first 0, 1, … runs: shape (series, runs + 1)."""
    sums = np.zeros((len(series), series.shape[-1] + 1))
    np.cumsum(series, -1, out=sums[:, 1:])
    return sums
