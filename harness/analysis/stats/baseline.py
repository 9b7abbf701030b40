"""Comparison with a baseline: a run's median among the medians of accepted runs.

Runs of different days differ mostly for reasons other than the noise within them. So a new run is compared with the
spread between accepted runs, and more repetitions within one run do not narrow the interval. While a machine has few
accepted runs, the metric's prior stands in for them (`run_spread`).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from harness.analysis.stats import shrinkage
from harness.analysis.stats.estimate import deferred_median
from harness.analysis.stats.grouped import count, flat, logs, occupied
from harness.analysis.stats.interval import DeferredEstimate
from harness.analysis.stats.run_spread import between_runs

if TYPE_CHECKING:
    from collections.abc import Sequence

    from harness.analysis.stats.comparison import AgainstBaseline, BaselineRun
    from harness.analysis.stats.grouped import Grouped

IMPLAUSIBLE = 0.01
"""A spread between runs is rejected as too small if it is less probable than this, given a run's own repetitions."""

CANARY_RUNS = 8
"""The canary correction needs at least this many runs with a canary."""

CANARY_PROOF = 0.05
"""One-sided level of the test that the canary reduces the spread between runs."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Against:
    """The new run's log-ratio to the baseline's centre, and the rule that was used, as a sentence.

    `too_alike`: the accepted runs lie too close together to estimate the spread between runs. `exact`: the metric
    repeats exactly, so that one launch is as good as many.
    """

    deferred: DeferredEstimate
    rule: str
    too_alike: bool = False
    exact: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class _Standing:
    """A new run and its accepted runs, before the variances of all baselines are pooled.

    `variance` is that of one run's log-median, with `freedom` degrees of freedom. `poolable` is True if the variance
    comes from the accepted runs alone, without a prior; `too_alike` is True if they cannot provide it. `exact` is
    as in `Against`.
    """

    own: DeferredEstimate
    point: float
    runs: tuple[BaselineRun, ...]
    variance: float
    freedom: float
    rule: str
    poolable: bool
    too_alike: bool = False
    exact: bool = False


def against_baselines(cases: Sequence[AgainstBaseline], *, pool: bool) -> list[Against | None]:
    """Compare new runs with their accepted runs. A case without accepted runs or with too few values gives None.

    The interval is a prediction interval for a further run of an unchanged subject. Its variance is s² (1 + 1/N), plus
    a term for a new run that is shorter than the accepted ones.

    With `pool`, the variances of at least `shrinkage.ENOUGH` baselines are shrunk towards a common value. Ten runs give
    a variance with nine degrees of freedom, which is little at the levels of a large run. Sixty such variances together
    show what a variance on this machine is like (`shrinkage`).
    """
    standings = [_standing(case) for case in cases]
    own = [s for s in standings if s is not None and s.poolable]
    prior = shrinkage.learn([s.variance for s in own], [s.freedom for s in own]) if pool else None
    return [None if standing is None else _against(standing, prior) for standing in standings]


def canary_helps(runs: tuple[BaselineRun, ...]) -> bool:
    """Whether a test shows that dividing by the canary reduces the spread between `runs`.

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
    import numpy as np
    from scipy.special import betainc

    correlation = np.corrcoef(canary, sums)[0, 1]
    freedom = len(pairs) / 2 - 1
    # Of what is not correlated, (1 − r) / 2 has this beta distribution.
    return bool(betainc(freedom, freedom, (1 - correlation) / 2) < CANARY_PROOF)


def _standing(case: AgainstBaseline) -> _Standing | None:
    """Robust centre and spread of the accepted runs, and the new run's distance from the centre."""
    import numpy as np

    from harness.analysis.stats import anova

    values = occupied(case.values)
    log_values = logs(values)
    own = _own(log_values, exact=case.prior.exact) if log_values else None
    if own is None or not case.runs:
        return None
    helps = case.canary_log is not None and canary_helps(case.runs)
    shift = (case.canary_log or 0.0) if helps else 0.0
    medians = [run.log_median - ((run.canary_log or 0.0) if helps else 0.0) for run in case.runs]
    if case.prior.exact or (_never_varies(values) and len(set(medians)) == 1):
        return _Standing(
            own=own,
            point=own.point - medians[-1],
            runs=case.runs,
            variance=0.0,
            freedom=math.inf,
            rule="it repeats exactly" if case.prior.exact else "neither side varies at all",
            poolable=False,
            exact=case.prior.exact,
        )
    fit = anova.fit(np.array(medians)[None, None])
    spread = float(fit.within[0]) if len(medians) > 1 else 0.0
    return _shrunk(own, case, point=own.point - shift - float(fit.point[0]), spread=spread, canary=helps)


def _own(log_values: Grouped, *, exact: bool) -> DeferredEstimate | None:
    """The new run's log-median. A metric that repeats exactly needs one value, and has no error."""
    if not exact:
        return deferred_median(log_values)
    import numpy as np

    everything = flat(log_values)
    return DeferredEstimate(
        point=float(np.median(everything)),
        error=0.0,
        freedom=math.inf,
        method="median of values that repeat exactly",
        n=len(everything),
        launches=len(log_values),
    )


def _shrunk(own: DeferredEstimate, case: AgainstBaseline, *, point: float, spread: float, canary: bool) -> _Standing:
    """The spread between accepted runs, shrunk towards the metric's prior as far as they are few."""
    import numpy as np

    accepted = len(case.runs)
    found = between_runs(case.prior, spread=np.asarray(spread), accepted=accepted)
    weight = float(found.weight)
    variance, freedom = float(found.variance), float(found.freedom)
    if not weight and not found.contradict and _implausible(spread, accepted - 1.0, own):
        return _with_floor(own, case, point=point)
    if weight and own.error**2 > variance:
        # The run's own launches differ by more than runs are known to: they are the better witness.
        variance, freedom = own.error**2, min(freedom, own.freedom)
    runs = f"{accepted} accepted run{'s' if accepted > 1 else ''}"
    presumed = f"an assumed {percent_sd(case.prior.sd)}"
    if not weight:
        rule = f"spread between {runs}" + (f", which contradicts {presumed}" if found.contradict else "")
    elif accepted == 1:
        rule = f"{runs}; runs are assumed to differ by {percent_sd(case.prior.sd)}"
    else:
        rule = f"spread between {runs}, shrunk towards {presumed}"
    return _Standing(
        own=own,
        point=point,
        runs=case.runs,
        variance=variance,
        freedom=freedom,
        rule=rule + (", each corrected by its canary" if canary else ""),
        poolable=not weight and not found.contradict,
    )


def percent_sd(sd: float) -> str:
    """A standard deviation of logarithms for a reader: "0.3 %"."""
    return f"{100 * sd:.2g} %"


def _implausible(spread: float, freedom: float, own: DeferredEstimate) -> bool:
    """Whether accepted runs lie closer together than the new run's own repetitions allow.

    A run's median varies at least as much as its repetitions make it vary. Runs that are equal to the last digit,
    because of a clock's resolution or because one run was accepted repeatedly, do not show how much runs differ.
    """
    if own.error == 0:
        return spread == 0
    from scipy.special import fdtr

    return bool(fdtr(freedom, own.freedom, spread / own.error**2) < IMPLAUSIBLE)


def _with_floor(own: DeferredEstimate, case: AgainstBaseline, *, point: float) -> _Standing:
    """For accepted runs that are too similar: use the error from the new run's repetitions, or else the prior."""
    explained, accepted, sd = own.error > 0, len(case.runs), case.prior.sd
    rule = (
        f"the {accepted} accepted runs differ by less than this run's own repetitions explain; their spread is used"
        if explained
        else f"the {accepted} accepted runs do not differ; an assumed spread of {percent_sd(sd)} is used instead"
    )
    return _Standing(
        own=own,
        point=point,
        runs=case.runs,
        variance=own.error**2 if explained else sd**2,
        freedom=own.freedom if explained else accepted - 1.0,
        rule=rule,
        poolable=False,
        too_alike=True,
    )


def _against(standing: _Standing, prior: shrinkage.Prior | None) -> Against:
    """The prediction interval of a further unchanged run."""
    import numpy as np

    variance, freedom, rule = standing.variance, standing.freedom, standing.rule
    if prior is not None and standing.poolable:
        variance, freedom = prior.shrink(variance, freedom)
        rule += f", shrunk towards that of the {prior.members} baselines of this run"
    elif prior is not None and standing.too_alike and prior.variance > variance:
        variance, freedom = prior.variance, prior.freedom
        rule = (
            f"the {len(standing.runs)} accepted runs differ by implausibly little; the spread of the {prior.members} "
            "other baselines of this run is used instead"
        )
    own, runs = standing.own, standing.runs
    usual = float(np.median([run.n for run in runs]))
    shorter = own.error**2 * max(0.0, 1 - own.n / usual)
    return Against(
        deferred=DeferredEstimate(
            point=standing.point,
            error=math.sqrt(variance * (1 + 1 / len(runs)) + shorter),
            freedom=freedom,
            method=f"prediction from {len(runs)} accepted run{'s' if len(runs) > 1 else ''}, t",
            n=own.n,
            launches=own.launches,
        ),
        rule=rule,
        too_alike=standing.too_alike,
        exact=standing.exact,
    )


def _never_varies(values: Grouped) -> bool:
    """Whether at least three values are all equal (a file's size, a scripted clock): then no noise is presumed."""
    return count(values) >= 3 and len(set(flat(values))) == 1
