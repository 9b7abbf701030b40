"""Arrival schedules of open loops: intended starts in ns since the load's beginning, in ascending order."""

import math
import random

from harness.core.errors import UsageError
from harness.core.records.scenario import Arrivals, Traffic

NS = 1_000_000_000


def starts_of(traffic: Traffic, *, seed: int) -> tuple[int, ...]:
    """The intended starts of an open loop, in ns since the load's beginning."""
    if traffic.arrivals is Arrivals.POISSON:
        return poisson(traffic.level, traffic.total_s, seed=seed)
    if traffic.arrivals is Arrivals.RAMP:
        return ramp(traffic.first, traffic.level, traffic.total_s)
    return constant(traffic.level, traffic.total_s)


def constant(rate: float, seconds: float) -> tuple[int, ...]:
    """`rate` starts per second, evenly spaced, the first at 0."""
    _check(seconds=seconds, rate=rate)
    return tuple(round(number * NS / rate) for number in range(math.ceil(rate * seconds - 1e-9)))


def poisson(rate: float, seconds: float, *, seed: int) -> tuple[int, ...]:
    """A Poisson process of `rate` starts per second: the gaps are independent and exponential."""
    _check(seconds=seconds, rate=rate)
    generator = random.Random(f"poisson/{seed}")  # noqa: S311 - arrivals, no secret
    starts, now = [], generator.expovariate(rate)
    while now < seconds:
        starts.append(round(now * NS))
        now += generator.expovariate(rate)
    return tuple(starts)


def ramp(first_rate: float, last_rate: float, seconds: float) -> tuple[int, ...]:
    """A linear ramp between two rates: start k comes when the integral of the rate reaches k.

    Solves r₀·t + (r₁ − r₀)·t² / 2T = k for t, in the form that loses no digits where r₁ is near r₀.
    """
    _check(seconds=seconds, rate=max(first_rate, last_rate))
    _check(seconds=seconds, rate=min(first_rate, last_rate), zero_allowed=True)
    slope = (last_rate - first_rate) / seconds
    starts, number = [], 0
    while number < (first_rate + last_rate) / 2 * seconds - 1e-9:
        root = math.sqrt(max(0.0, first_rate**2 + 2 * slope * number))
        starts.append(round(2 * number / (first_rate + root) * NS) if number else 0)
        number += 1
    return tuple(starts)


def _check(*, seconds: float, rate: float, zero_allowed: bool = False) -> None:
    if not 0 < seconds < math.inf:
        raise UsageError(f"a load of {seconds:g} s", where="duration", remedy="give a positive number of seconds")
    if not (0 < rate < math.inf or (zero_allowed and rate == 0)):
        raise UsageError(f"a rate of {rate:g} requests per second", where="rate", remedy="give a positive number")
