"""Against a baseline: a run's median among the medians of accepted runs.

What two runs of different days differ by is mostly not noise within them, so the spread between accepted runs is what a
new run is held against, and repeating more within one run does not narrow it.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from harness.judge.estimate import median_interim
from harness.judge.grouped import count, flat, logs, occupied
from harness.judge.interim import Interim

if TYPE_CHECKING:
    from harness.judge.grouped import Grouped

ENOUGH_RUNS = 5
"""From this many runs on, the spread between them speaks for itself."""

PRIOR_SD = 0.02
"""Presumed standard deviation of a run's log-median until there are five runs.

Three launches on two shared cores had medians 6 % apart, which is a standard deviation of about 3.5 % a launch and of
2 % for a run of three.
"""

CANARY_RUNS = 8
"""Runs with a canary before its help can be shown at all."""

CANARY_PROOF = 0.05
"""One-sided level at which the canary must have been shown to shrink the spread between runs."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BaselineRun:
    """One accepted run of one metric of one scenario.

    `log_median` is the natural logarithm of its median; `canary_log` that of the canary's median, None where the run
    has none.
    """

    run_id: str
    log_median: float
    n: int
    launches: int
    canary_log: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Against:
    """The new run's log-ratio to the baseline's centre, and in a sentence the rule that was used."""

    interim: Interim
    rule: str


@dataclass(frozen=True, slots=True, kw_only=True)
class _Centre:
    """Centre and variance of the accepted runs' log-medians, with its degrees of freedom."""

    point: float
    variance: float
    freedom: float
    rule: str


def against_baseline(
    values: Grouped, runs: tuple[BaselineRun, ...], *, canary_log: float | None = None
) -> Against | None:
    """Compare a new run's `values` (grouped by launch, in the metric's unit, above zero) with the accepted `runs`.

    The interval is a prediction interval: how far a further run of an unchanged subject would fall from the centre,
    s² (1 + 1/N), plus what a shorter new run adds of its own. None where either side has nothing to go by: no runs,
    fewer than two values, or a value that is not above zero.
    """
    values = occupied(values)
    log_values = logs(values)
    own = median_interim(log_values) if log_values else None
    if own is None or not runs:
        return None
    helps = canary_helps(runs) and canary_log is not None
    shift = canary_log if helps and canary_log is not None else 0.0
    medians = [run.log_median - (run.canary_log or 0.0 if helps else 0.0) for run in runs]
    if _never_varies(values) and len(set(medians)) == 1:
        centre = _Centre(point=medians[0], variance=0.0, freedom=math.inf, rule="neither side varies at all")
        return Against(interim=_interim(own, centre, shift=shift, runs=runs), rule=centre.rule)
    centre = _centre(medians, own=own)
    rule = centre.rule + (", each corrected by its canary" if helps else "")
    return Against(interim=_interim(own, centre, shift=shift, runs=runs), rule=rule)


def canary_helps(runs: tuple[BaselineRun, ...]) -> bool:
    """Whether dividing by the canary was shown to shrink the spread between `runs`.

    The test of Pitman and Morgan (1939) for two variances of the same runs: y and y − c have equal variances exactly
    when c and 2y − c are uncorrelated. All runs must have a canary, and there must be `CANARY_RUNS` of them.
    """
    pairs = [(run.log_median, run.canary_log) for run in runs if run.canary_log is not None]
    if len(pairs) < max(CANARY_RUNS, len(runs)):
        return False
    canary = [c for _, c in pairs]
    sums = [2 * y - c for y, c in pairs]
    if len(set(canary)) == 1 or len(set(sums)) == 1:
        return False
    from scipy.stats import pearsonr

    return bool(pearsonr(canary, sums, alternative="greater").pvalue < CANARY_PROOF)


def _interim(own: Interim, centre: _Centre, *, shift: float, runs: tuple[BaselineRun, ...]) -> Interim:
    """The prediction: new run minus centre."""
    import numpy as np

    usual = float(np.median([run.n for run in runs]))
    shorter = own.error**2 * max(0.0, 1 - own.n / usual) if centre.variance else 0.0
    variance = centre.variance * (1 + 1 / len(runs)) + shorter
    return Interim(
        point=own.point - shift - centre.point,
        error=math.sqrt(variance),
        freedom=centre.freedom,
        method=f"prediction from {len(runs)} accepted run{'s' if len(runs) > 1 else ''}, t",
        n=own.n,
        launches=own.launches,
    )


def _centre(medians: list[float], *, own: Interim) -> _Centre:
    """Robust centre and variance of the runs; the stated prior stands in for runs missing to five."""
    import numpy as np

    from harness.judge import nested

    fit = nested.fit(np.array(medians)[None, None])
    point = float(fit.point[0])
    runs = len(medians)
    if runs >= ENOUGH_RUNS:
        return _Centre(
            point=point,
            variance=float(fit.within[0]),
            freedom=runs - 1.0,
            rule=f"spread between {runs} accepted runs",
        )
    missing = ENOUGH_RUNS - runs
    seen = float(fit.within[0]) * (runs - 1) if runs > 1 else 0.0
    variance = (missing * PRIOR_SD**2 + seen) / (ENOUGH_RUNS - 1)
    return _Centre(
        point=point,
        # A run whose own launches differ by more than the prior says is itself the better witness.
        variance=max(variance, own.error**2),
        freedom=ENOUGH_RUNS - 1.0,
        rule=(
            f"{runs} accepted run{'s' if runs > 1 else ''} of the {ENOUGH_RUNS} that tell the spread between runs; "
            f"the missing {missing} count as a presumed spread of {PRIOR_SD * 100:g} %"
        ),
    )


def _never_varies(values: Grouped) -> bool:
    """A figure that is the same every time (a file's size, a scripted clock) has no noise to presume."""
    return count(values) >= 3 and len(set(flat(values))) == 1
