"""The cost of ending launches early: a table of the simulations."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from scipy.special import stdtrit

from benchmarks.judge_tables import EFFECT, row
from benchmarks.noise import ACCEPTED, DAY_SD, FAMILIES, log_times
from benchmarks.rules import gate_baselines
from harness.analysis.stats import anova, robust
from harness.analysis.stats.launch_variance import median_spread
from harness.analysis.stats.power import tolerance_for
from harness.analysis.stats.precision import EARLIEST, LEVEL, Precision

if TYPE_CHECKING:
    from harness.analysis.stats.grouped import FloatArray

ASKED = Precision(half_width=0.02, launches=3)
BLOCKS = 4 * EARLIEST


def early_ends(rng: np.random.Generator, *, count: int) -> str:
    """The table for one metric that ends launches alone. This is the worst case: with many, the noisiest decides."""
    lines = [
        f"One figure in {ASKED.launches} launches of at most {BLOCKS} blocks, each ended once ±{ASKED.half_width:.0%}",
        f"is known; {count} runs a line. Covered: the true median by its {LEVEL:.0%} interval. Alarm: an unchanged run",
        f"called worse or better against {ACCEPTED} accepted ones, ended early too (days differ by {DAY_SD:.0%}).",
        "All: the same values without ending early.",
        "",
        row("noise", "CV", "blocks", "covered", "all: covered", "alarm", "all: alarm"),
    ]
    for family in FAMILIES:
        for cv in (0.01, 0.02, 0.04, 0.06):
            # Shape (runs, the accepted ones and the new one, launches, blocks).
            noise = log_times(rng, family, (count, ACCEPTED + 1, ASKED.launches, BLOCKS), cv=cv)
            seen = ended_early(noise)
            days = DAY_SD * rng.standard_normal((count, ACCEPTED + 1, 1, 1))
            lines.append(
                row(
                    family,
                    f"{cv:.0%}",
                    f"{(~np.isnan(seen)).sum(-1).mean():.1f}",
                    f"{_covered(seen):.1%}",
                    f"{_covered(noise):.1%}",
                    f"{_alarms(seen + days):.2%}",
                    f"{_alarms(noise + days):.2%}",
                )
            )
    return "\n".join(lines) + "\n"


def ended_early(values: FloatArray) -> FloatArray:
    """`values`, shape (..., launches, blocks), with NaN after `Precision.reached` ends a launch. A test checks this."""
    ended = values.copy()
    going = np.ones(values.shape[:-1], dtype=bool)
    for look in (blocks for blocks in range(values.shape[-1]) if ASKED.looks_at(blocks)):
        error, freedom = _median_error(values[..., None, None, :look])
        half = -stdtrit(freedom, (1 - LEVEL) / 2) * error / np.sqrt(ASKED.launches)
        stop = going & (half[..., 0] <= np.log1p(ASKED.half_width))
        ended[..., look:] = np.where(stop[..., None], np.nan, ended[..., look:])
        going &= ~stop
    return ended


def _median_error(values: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Standard error and degrees of freedom as in `deferred_median`, of values of shape (..., 1, launches, blocks)."""
    spread = median_spread(anova.fit(values))
    return spread.error, spread.freedom


def _covered(noise: FloatArray) -> float:
    """The share of runs whose interval of the median contains the true median, which is 0."""
    error, freedom = _median_error(noise[..., None, :, :])
    half = -stdtrit(freedom, (1 - LEVEL) / 2) * error
    return float(np.mean(np.abs(_medians(noise)) <= half[..., 0]))


def _alarms(values: FloatArray) -> float:
    medians = _medians(values)[:, None]
    return gate_baselines(medians[..., -1], medians[..., :-1], tolerance=tolerance_for(EFFECT)).calls() / len(values)


def _medians(values: FloatArray) -> FloatArray:
    return robust.median(values.reshape(*values.shape[:-2], -1))
