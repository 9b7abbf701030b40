"""Medians with an interval that accounts for launches, and the summary of a metric."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from harness.analysis.stats.bounded import ANY, says_nothing, scaled
from harness.analysis.stats.grouped import count, flat, occupied, padded
from harness.analysis.stats.interval import DeferredEstimate
from harness.core.records.verdict import Summary

if TYPE_CHECKING:
    from harness.analysis.stats.bounded import Bounds
    from harness.analysis.stats.grouped import Grouped
    from harness.analysis.stats.launch_prior import LaunchPrior
    from harness.core.records.verdict import Estimate

PERCENTILE_NEEDS = {90: 20, 95: 40, 99: 200}
"""Percentile → the number of values that it needs; with fewer it is not computed."""

FEWEST_VALUES = 3
"""An interval needs this many values: two leave Student's t one degree of freedom, which is 12.7 standard errors."""


def deferred_median(values: Grouped, *, prior: LaunchPrior | None = None) -> DeferredEstimate | None:
    """The median of all values and its standard error; None for fewer than two values.

    `prior` is the known spread between launches (`launch_prior`), on the scale of the values.
    """
    values = occupied(values)
    n = count(values)
    if n < 2:
        return None
    import numpy as np

    from harness.analysis.stats import anova
    from harness.analysis.stats.launch_variance import median_spread

    spread = median_spread(anova.fit(padded(values)[None]), prior)
    return DeferredEstimate(
        point=float(np.median(flat(values))),
        error=float(spread.error[0]),
        freedom=float(spread.freedom[0]),
        method=_method(
            len(values), differ=bool(spread.differ[0]), shrunk=prior.source if prior and spread.shrunk[0] else ""
        ),
        n=n,
        launches=len(values),
    )


def median_estimate(
    values: Grouped, *, level: float, bounds: Bounds = ANY, prior: LaunchPrior | None = None
) -> Estimate | None:
    """The median with its hierarchical interval at `level`, in the values' unit.

    None for fewer than `FEWEST_VALUES` values, or if the interval would be uselessly wide. The values must lie within
    `bounds`, and so does the interval (see `bounded.scaled`). `prior` is the known spread of launches, as log-ratios.

    The interval is robust to heavy tails: values far from their launch's median are clipped at 2.5 robust standard
    deviations. It is robust to drift: the correlation of neighbouring blocks widens it.
    """
    values = occupied(values)
    if count(values) < FEWEST_VALUES:
        return None
    scale = scaled(values, bounds)
    deferred = deferred_median(scale.values, prior=prior if scale.name else None)
    if deferred is None:
        return None
    import numpy as np

    estimate = deferred.estimate(level)
    point = float(np.median(flat(values)))
    # For an even number of values the median of the logarithms differs from the values'; the interval holds both.
    low = min(max(scale.back(estimate.low), bounds[0]), point)
    high = max(min(scale.back(estimate.high), bounds[1]), point)
    if says_nothing(point, low, high, bounds=bounds, scale=scale.name):
        return None
    method = f"{estimate.method}, on {scale.name}" if scale.name == "logits" else estimate.method
    return replace(estimate, point=point, low=low, high=high, method=method)


def summarise(  # the record's own fields
    *,
    scenario_id: str,
    metric: str,
    definition: int,
    values: Grouped,
    level: float,
    bounds: Bounds = ANY,
    prior: LaunchPrior | None = None,
    reason: str = "",
) -> Summary:
    """A metric over the valid repetitions of a scenario, which lie within `bounds`.

    `prior` is the known spread between launches. `reason` is stored if there is no value at all.
    """
    values = occupied(values)
    everything = flat(values)
    n = len(everything)
    if n == 0:
        return Summary(
            scenario_id=scenario_id, metric=metric, definition=definition, n=0, reason=reason or "no valid repetition"
        )
    import numpy as np

    q1, median, q3 = (float(value) for value in np.quantile(everything, (0.25, 0.5, 0.75)))
    tails = {
        p: float(np.quantile(everything, p / 100)) if n >= least else None for p, least in PERCENTILE_NEEDS.items()
    }
    return Summary(
        scenario_id=scenario_id,
        metric=metric,
        definition=definition,
        n=n,
        median=median,
        q1=q1,
        q3=q3,
        p90=tails[90],
        p95=tails[95],
        p99=tails[99],
        minimum=min(everything),
        maximum=max(everything),
        interval=median_estimate(values, level=level, bounds=bounds, prior=prior),
    )


def _method(launches: int, *, differ: bool, shrunk: str) -> str:
    if shrunk:
        return f"median, t over launches, whose spread is shrunk towards {shrunk}"
    if differ:
        return "median, t over launches"
    if launches == 1:
        return "median, t over blocks of one launch: what differs between processes is not in it"
    return "median, t over blocks, launches agreeing"
