"""The statistic of the change points: the largest difference of means over many places, on many series at once."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING

import numpy as np

from harness.judge.step_noise import beside

if TYPE_CHECKING:
    from harness.judge.grouped import FloatArray, IntArray
    from harness.judge.step_noise import Noise

BEFORE = 5
"""Runs that must stand before a step, so that there is a level to leave."""

AFTER_INSIDE = 3
"""Runs that must follow a step inside the history; at its end one is enough, for an alert the next morning."""

GRID = 25
"""Bumps begin and end on a grid of about so many places: a shift of a run or two hardly changes their statistic."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Shapes:
    """Places where a series of `runs` may differ from the rest: the runs starts[i] … stops[i] − 1 for each i.

    A single step stops where the series does.
    """

    starts: IntArray
    stops: IntArray
    runs: int

    def differences(self, series: FloatArray) -> FloatArray:
        """Mean inside less mean outside, for series of shape (series, runs): shape (series, shapes)."""
        sums = np.concatenate([np.zeros((len(series), 1)), np.cumsum(series, -1)], -1)
        inside = sums[:, self.stops] - sums[:, self.starts]
        length = self.stops - self.starts
        difference: FloatArray = inside / length - (sums[:, -1:] - inside) / (self.runs - length)
        return difference

    def variance(self, rho: FloatArray) -> FloatArray:
        """Variance of each difference for an AR(1) of unit variance and correlation `rho`, shape (series, 1).

        A sum of k runs has the variance k + 2ρ (k / (1 − ρ) − (1 − ρᵏ) / (1 − ρ)²); sums of k and m runs with g runs
        between them have the covariance ρ¹⁺ᵍ (1 − ρᵏ)(1 − ρᵐ) / (1 − ρ)².
        """
        before, inside, after = self.starts, self.stops - self.starts, self.runs - self.stops
        outside = before + after
        fade = 1 - rho
        # As many powers as there are lengths; there are many more shapes.
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

    @property
    def independent(self) -> FloatArray:
        """Variance of each difference where runs are independent, shape (shapes,)."""
        inside = self.stops - self.starts
        total: FloatArray = 1 / inside + 1 / (self.runs - inside)
        return total


@dataclass(frozen=True, slots=True, kw_only=True)
class Scan:
    """Of each series: the largest statistic, its place, and the noise that it was measured in."""

    statistic: FloatArray
    start: IntArray
    stop: IntArray
    noise: Noise


@cache
def steps(runs: int, *, last: int) -> Shapes:
    """Every single step with at least `BEFORE` runs before it and `last` from it on."""
    starts = np.arange(BEFORE, runs - last + 1)
    return Shapes(starts=starts, stops=np.full(len(starts), runs), runs=runs)


@cache
def bumps(runs: int) -> Shapes:
    """Steps that return, each part long enough, on a grid."""
    pitch = max(1, runs // GRID)
    starts, stops = np.meshgrid(np.arange(BEFORE, runs, pitch), np.arange(BEFORE, runs, pitch), indexing="ij")
    long = (stops - starts >= AFTER_INSIDE) & (stops <= runs - AFTER_INSIDE)
    return Shapes(starts=starts[long], stops=stops[long], runs=runs)


def scan(series: FloatArray, shapes: Shapes, *, noise: Noise | None = None) -> Scan:
    """The largest of `shapes` in each series, shape (series, runs).

    Without `noise`: first as if runs were independent, to know where it is to be measured; then with it as it is.
    """
    differences = np.abs(shapes.differences(series))
    if noise is None:
        first = (differences / np.sqrt(shapes.independent)).argmax(-1)
        noise = beside(series, shapes.starts[first], shapes.stops[first])
    scores = differences / np.sqrt(shapes.variance(noise.rho[:, None]))
    best = scores.argmax(-1)
    largest = np.take_along_axis(scores, best[:, None], -1)[:, 0]
    with np.errstate(divide="ignore", invalid="ignore"):
        statistic = np.where(largest > 0, largest / noise.sd, 0.0)
    return Scan(statistic=statistic, start=shapes.starts[best], stop=shapes.stops[best], noise=noise)
