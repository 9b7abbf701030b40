"""Rules that decide "slower" for many comparisons at once: the gate's rules, and those of three other tools.

Arrays have the shape (runs, pairs, launches, blocks). The comparisons of a run are decided together. The gate's two
functions repeat no statistics: they call the functions of `gate.run_gate` on arrays, and a test compares the results.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy.special import stdtr
from scipy.stats import mannwhitneyu, ttest_ind

from harness.analysis.stats import anova, shrinkage
from harness.analysis.stats.fdr import harmonic
from harness.analysis.stats.run_spread import between_runs
from harness.metrics.metric import RUN_SPREAD

if TYPE_CHECKING:
    from collections.abc import Sequence

    from harness.analysis.stats.grouped import BoolArray, FloatArray
    from harness.metrics.metric import RunSpread

FDR = 0.01


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """The comparisons that were called worse and those called better, both of shape (runs, pairs)."""

    worse: BoolArray
    better: BoolArray

    def alarms(self) -> int:
        """The number of runs in which any pair was called worse."""
        return int(np.count_nonzero(self.worse.any(-1)))

    def calls(self) -> int:
        """The number of runs in which any pair was called worse or better."""
        return int(np.count_nonzero((self.worse | self.better).any(-1)))


def gate_duels(
    log_ratios: FloatArray,
    *,
    tolerance: float,
    share: float = 1.0,
    one_scenario: bool = False,
    launch_sd: float = 0.0,
) -> Found:
    """The gate for duels (`paired.deferred_estimates`, then `gate.run_gate`). Blocks not yet measured are NaN.

    Each pair belongs to another scenario, or all belong to one.
    """
    fit = anova.fit(log_ratios)
    pairs = log_ratios.shape[1]
    groups = np.zeros(pairs, int) if one_scenario else np.arange(pairs)
    presumed = anova.inflated(fit, launch_sd=launch_sd)
    spread = anova.spread(fit, anova.common(fit, presumed=presumed, groups=groups))
    found = _decide(spread.point, spread.error, np.maximum(spread.freedom, 1.0), tolerance=tolerance, share=share)
    enough = fit.launches > 1
    return Found(worse=found.worse & enough, better=found.better & enough)


def gate_baselines(
    medians: FloatArray,
    accepted: FloatArray,
    *,
    tolerance: float | FloatArray,
    pool: bool = True,
    priors: Sequence[RunSpread] = (),
) -> Found:
    """The gate for baselines (`baseline.against_baselines`, then `gate.run_gate`).

    `medians` are the new run's log-medians, shape (runs, pairs). `accepted` are those of the accepted runs, shape
    (runs, pairs, accepted). `priors` has one prior per pair;
    without it, nothing is known of any pair.
    """
    runs = accepted.shape[-1]
    fit = anova.fit(accepted[..., None, :])
    spread = fit.within if runs > 1 else np.zeros_like(fit.point)
    columns = [
        between_runs(prior, spread=spread[:, pair], accepted=runs)
        for pair, prior in enumerate(priors or [RUN_SPREAD] * medians.shape[1])
    ]
    variance, freedom, weight = (
        np.stack([getattr(column, name) for column in columns], -1) for name in ("variance", "freedom", "weight")
    )
    alone = (weight == 0) & ~np.stack([column.contradict for column in columns], -1)
    for row in range(len(variance)) if pool else ():
        own = alone[row]
        prior = shrinkage.learn(list(variance[row, own]), list(freedom[row, own]))
        if prior is not None:
            variance[row, own], freedom[row, own] = prior.shrink(variance[row, own], freedom[row, own])
    error = np.sqrt(variance * (1 + 1 / runs))
    return _decide(medians - fit.point, error, freedom, tolerance=tolerance)


def pytest_benchmark(new: FloatArray, old: FloatArray) -> BoolArray:
    """`--benchmark-compare-fail=median:5%`: the new median is more than 5 % above the old one."""
    return np.asarray(np.median(_flat(new), -1) > np.median(_flat(old), -1) * 1.05)


def asv(new: FloatArray, old: FloatArray) -> BoolArray:
    """The rule of asv at a factor of 1.05: the medians differ by more, and a two-sided Mann–Whitney test has p < 0.002.

    Like asv for more than 20 values, it uses the normal approximation without continuity correction.
    """
    new, old = _flat(new), _flat(old)
    test = mannwhitneyu(new, old, axis=-1, method="asymptotic", use_continuity=False)
    return np.asarray((test.pvalue < 0.002) & (np.median(new, -1) > 1.05 * np.median(old, -1)))


def pyperf(new: FloatArray, old: FloatArray) -> BoolArray:
    """The rule of pyperf's `compare_to`: Student's t-test with a pooled variance, two-sided at 95 %, and slower."""
    test = ttest_ind(_flat(new), _flat(old), axis=-1)
    return np.asarray((test.pvalue < 0.05) & (test.statistic > 0))


PEERS = {"pytest-benchmark": pytest_benchmark, "asv": asv, "pyperf": pyperf}


def _decide(
    point: FloatArray,
    error: FloatArray,
    freedom: FloatArray,
    *,
    tolerance: float | FloatArray,
    share: float = 1.0,
) -> Found:
    """Benjamini–Yekutieli over the last axis among the estimates at or beyond the tolerance, as `fdr.cut`."""
    beyond = np.abs(point) >= np.log1p(tolerance)
    p_values = np.where(beyond, 2 * stdtr(freedom, -np.abs(point) / error), 1.0)
    pairs = point.shape[-1]
    unit = FDR * share / (pairs * harmonic(pairs))
    ranks = np.arange(1, pairs + 1)
    rejected = np.where(np.sort(p_values, -1) <= ranks * unit, ranks, 0).max(-1, keepdims=True)
    speaks = p_values <= rejected * unit
    return Found(worse=speaks & (point > 0), better=speaks & (point < 0))


def _flat(values: FloatArray) -> FloatArray:
    return values.reshape(*values.shape[:-2], -1)
