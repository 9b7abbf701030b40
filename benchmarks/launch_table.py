"""Two tables of the simulations: the interval of a median if launches differ, and the cost of ending launches early."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
from scipy.special import stdtrit

from benchmarks.judge_tables import EFFECT, row
from benchmarks.noise import ACCEPTED, DAY_SD, FAMILIES, log_times
from benchmarks.rules import gate_baselines
from harness.analysis.stats import anova, robust
from harness.analysis.stats.launch_prior import EarlierLaunches, LaunchPrior, launch_prior
from harness.analysis.stats.launch_variance import median_spread
from harness.analysis.stats.power import tolerance_for
from harness.analysis.stats.precision import EARLIEST, LEVEL, Precision
from harness.metrics.metric import LAUNCH_SD

if TYPE_CHECKING:
    from harness.analysis.stats.grouped import FloatArray


CASES = (
    *(("Gaussian", within, launch_sd) for within in (0.05, 0.10) for launch_sd in (0.0, 0.008, 0.03, 0.10)),
    *((family, 0.05, launch_sd) for family in list(FAMILIES)[1:] for launch_sd in (0.0, 0.03)),
)
"""(noise inside a launch, its standard deviation, the standard deviation that launches add)."""

SHAPES = ((3, 1), (3, 2), (3, 3), (3, 8), (4, 2), (5, 3))
"""(launches, repetitions per launch)."""

HISTORIES = 20
"""The number of such sets of accepted runs; each serves an equal part of the runs."""

AGREE = math.log(1.10)
"""Launches agree if their medians lie within this range, as logarithms."""

READABLE = math.log(1.25)
"""The half-width that no interval should exceed if launches agree."""


def launch_scatter(rng: np.random.Generator, *, count: int) -> str:
    """The table of coverage and half-widths, with the assumed launch variation and with that of ten accepted runs."""
    lines = [
        f"The median of a few repetitions in a few launches, and its interval at {LEVEL:.0%}; {count} runs a line.",
        "Covered: the true median. Half: the median half-width, and that of the widest run in twenty. Presumed:",
        f"launches differ by {LAUNCH_SD:.0%}. Known: and those of {ACCEPTED} accepted runs. Alone: neither.",
        "Wide: of the runs whose launches agree within 10 %, the share with a presumed interval beyond ±25 %.",
        "",
        row("noise", "within", "launches", "shape", "presumed", "half", "wide", "known", "half", "alone", "half"),
    ]
    for family, within, launch_sd in CASES:
        for shape in SHAPES:
            values = _drawn(rng, family, (count, *shape), within=within, launch_sd=launch_sd)
            accepted = _drawn(rng, family, (HISTORIES * ACCEPTED, *shape), within=within, launch_sd=launch_sd)
            presumed, alone = coverage(values, launch_prior(LAUNCH_SD, ())), coverage(values, None)
            known = _known(values, accepted)
            cells = (*_cells(presumed), f"{wide(values, presumed[1]):.1%}", *_cells(known), *_cells(alone))
            lines.append(row(family, f"{within:.0%}", f"{launch_sd:.1%}", f"{shape[0]} × {shape[1]}", *cells))
    return "\n".join(lines) + "\n"


def coverage(values: FloatArray, prior: LaunchPrior | None) -> tuple[float, FloatArray]:
    """The share of intervals of log `values` that contain the true median, 0; and the half-width of each run."""
    spread = median_spread(anova.fit(values), prior)
    half = -stdtrit(spread.freedom, (1 - LEVEL) / 2) * spread.error
    medians = robust.median(values.reshape(len(values), -1))
    return float(np.mean(np.abs(medians) <= half)), half


def _drawn(
    rng: np.random.Generator, family: str, shape: tuple[int, int, int], *, within: float, launch_sd: float
) -> FloatArray:
    between = launch_sd * rng.standard_normal((*shape[:-1], 1))
    return np.asarray(between + log_times(rng, family, shape, cv=within))


def _known(values: FloatArray, accepted: FloatArray) -> tuple[float, FloatArray]:
    """`coverage` with what accepted runs show as the prior: each history of accepted runs serves a part of the runs."""
    found = [
        coverage(part, launch_prior(LAUNCH_SD, _earlier(history)))
        for part, history in zip(np.array_split(values, HISTORIES), np.array_split(accepted, HISTORIES), strict=True)
    ]
    return float(np.mean([covered for covered, _ in found])), np.concatenate([half for _, half in found])


def _earlier(accepted: FloatArray) -> list[EarlierLaunches]:
    """The records of the accepted runs' launches, as a promotion stores them."""
    _, launches, repetitions = accepted.shape
    spreads = robust.median(accepted).std(-1, ddof=1)
    return [EarlierLaunches(spread=float(each), launches=launches, values=repetitions) for each in spreads]


def wide(values: FloatArray, half: FloatArray) -> float:
    """Of the runs whose launches agree, the share whose interval is too wide to read."""
    medians = robust.median(values)
    agree = np.ptp(medians, axis=-1) <= AGREE
    return float(np.mean(half[agree] > READABLE)) if agree.any() else 0.0


def _cells(found: tuple[float, FloatArray]) -> tuple[str, str]:
    covered, half = found
    return f"{covered:.1%}", f"±{np.median(half):.1%}, {np.quantile(half, 0.95):.1%}"


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
