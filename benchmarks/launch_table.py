"""The coverage of the interval of a run's median if launches differ: a table of the simulations."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from scipy.special import stdtrit

from benchmarks.judge_tables import row
from harness.analysis.stats import anova, robust
from harness.analysis.stats.launch_prior import EarlierLaunches, LaunchPrior, launch_prior
from harness.analysis.stats.launch_variance import median_spread
from harness.analysis.stats.precision import LEVEL
from harness.metrics.metric import LAUNCH_SD

if TYPE_CHECKING:
    from harness.analysis.stats.grouped import FloatArray

WITHIN = (0.05, 0.10)
LAUNCH_SDS = (0.0, 0.008, 0.03, 0.10)
SHAPES = ((3, 2), (3, 3), (4, 2), (4, 3), (5, 2), (5, 3))
"""(launches, repetitions per launch)."""

ACCEPTED = 10
"""The number of accepted runs with the same design, whose launches are known."""


def launch_scatter(rng: np.random.Generator, *, count: int) -> str:
    """The table of coverage and half-widths, with the assumed launch variation and with that of ten accepted runs."""
    lines = [
        f"The median of a few repetitions in a few launches, and its interval at {LEVEL:.0%}; {count} runs a line.",
        "Covered: the true median. Half: the median half-width, and that of the widest run in twenty. Presumed:",
        f"launches differ by {LAUNCH_SD:.0%}. Known: and those of {ACCEPTED} accepted runs. Alone: neither.",
        "",
        row("within", "launches", "shape", "presumed", "half", "known", "half", "alone", "half"),
    ]
    for within in WITHIN:
        for launch_sd in LAUNCH_SDS:
            for launches, repetitions in SHAPES:
                shape = (launches, repetitions)
                values = _drawn(rng, (count, *shape), within=within, launch_sd=launch_sd)
                accepted = _drawn(rng, (ACCEPTED, *shape), within=within, launch_sd=launch_sd)
                priors = (launch_prior(LAUNCH_SD, ()), launch_prior(LAUNCH_SD, _earlier(accepted)), None)
                cells = [cell for prior in priors for cell in _covered(values, prior)]
                lines.append(row(f"{within:.0%}", f"{launch_sd:.1%}", f"{launches} × {repetitions}", *cells))
    return "\n".join(lines) + "\n"


def coverage(values: FloatArray, prior: LaunchPrior | None) -> tuple[float, FloatArray]:
    """The share of intervals of log `values` that contain the true median, 0; and the half-width of each run."""
    spread = median_spread(anova.fit(values), prior)
    half = -stdtrit(spread.freedom, (1 - LEVEL) / 2) * spread.error
    medians = robust.median(values.reshape(len(values), -1))
    return float(np.mean(np.abs(medians) <= half)), half


def _drawn(rng: np.random.Generator, shape: tuple[int, int, int], *, within: float, launch_sd: float) -> FloatArray:
    between = launch_sd * rng.standard_normal((*shape[:-1], 1))
    return np.asarray(between + within * rng.standard_normal(shape))


def _earlier(accepted: FloatArray) -> list[EarlierLaunches]:
    """The records of the accepted runs' launches, as a promotion stores them."""
    _, launches, repetitions = accepted.shape
    spreads = robust.median(accepted).std(-1, ddof=1)
    return [EarlierLaunches(spread=float(each), launches=launches, values=repetitions) for each in spreads]


def _covered(values: FloatArray, prior: LaunchPrior | None) -> tuple[str, str]:
    covered, half = coverage(values, prior)
    return f"{covered:.1%}", f"±{np.median(half):.1%}, {np.quantile(half, 0.95):.1%}"
