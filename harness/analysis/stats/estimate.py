"""Medians with an interval that accounts for launches and stays within the bounds of its metric, and their summary."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, TypeAlias

from harness.analysis.stats.grouped import count, flat, logs, occupied, padded
from harness.analysis.stats.interval import DeferredEstimate
from harness.core.records.verdict import Summary

if TYPE_CHECKING:
    from collections.abc import Callable

    from harness.analysis.stats.grouped import Grouped
    from harness.analysis.stats.launch_prior import LaunchPrior
    from harness.core.records.verdict import Estimate


Bounds: TypeAlias = tuple[float, float]
"""The least and the greatest value that a metric can have, in its unit; infinite where it has no bound."""

ANY: Bounds = (-math.inf, math.inf)

LOG_RANGE = (-300.0, 300.0)
"""Limits of a logarithm or logit, so that its exponential stays finite."""

MOST_OF_THE_RANGE = 0.9
"""An interval that covers at least this fraction of the range between two finite bounds is useless."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Scaled:
    """Values on the scale of their interval. `back` inverts the transformation; `name` is "" without one."""

    values: Grouped
    back: Callable[[float], float]
    name: str


def scaled(values: Grouped, bounds: Bounds) -> Scaled:
    """The scale for `values`, which must not be empty.

    Values strictly between two finite bounds become logits; values above zero become logarithms. An interval of
    Student's t on either scale cannot leave the bounds, and it is as narrow as on the plain scale if the values lie
    close together. If a value lies on a bound, the plain values are used.
    """
    low, high = bounds
    everything = flat(values)
    if math.isfinite(low) and math.isfinite(high):
        if low < min(everything) and max(everything) < high:
            width = high - low
            return Scaled(
                values=tuple(tuple(math.log((each - low) / (high - each)) for each in launch) for launch in values),
                back=lambda place: low + width / (1 + math.exp(-held(place))),
                name="logits",
            )
    elif (log_values := logs(values)) is not None:
        return Scaled(values=log_values, back=lambda place: math.exp(held(place)), name="logarithms")
    return Scaled(values=values, back=lambda place: place, name="")


def held(place: float) -> float:
    """Clip a logarithm to `LOG_RANGE`, so that its exponential is finite."""
    return min(max(place, LOG_RANGE[0]), LOG_RANGE[1])


def says_nothing(point: float, low: float, high: float, *, bounds: Bounds, scale: str) -> bool:
    """Whether an interval is as wide as the value itself, or nearly as wide as the metric's range."""
    least, most = bounds
    if math.isfinite(least) and math.isfinite(most):
        return high - low >= MOST_OF_THE_RANGE * (most - least)
    return scale == "logarithms" and (high - low) / 2 >= point


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
    `bounds`, and so does the interval (see `scaled`). `prior` is the known spread of launches, as log-ratios.

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
