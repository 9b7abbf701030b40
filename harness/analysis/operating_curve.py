"""The operating curve of the gate on one machine: its false-alarm rate, its power, and the duration of its duels.

It is built from trials with a known truth: an arm against itself, or against itself with a planted slowdown.
"""

from __future__ import annotations

from dataclasses import dataclass
from statistics import median
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

RATE_LEVEL = 0.95
"""Level of the exact (Clopper and Pearson 1934) interval of a rate."""

UNCALIBRATED = "the gate's error rates on this machine are unknown: `kokoro-bench calibrate` measures them"


@dataclass(frozen=True, slots=True, kw_only=True)
class Trial:
    """One duel with a known truth.

    `planted` is the slowdown as a ratio, 0 for an arm against itself. `regressed` and `improved` say whether any gated
    metric had that verdict. `seconds` is the duration of the duel, including launches. `pairs` are the log-ratios of
    the latency of an arm against itself, launch by launch; they show how much launches differ. `in_slices` says that
    both sides of a pair ran in alternating slices, a method with its own errors.
    """

    scenario_id: str
    planted: float
    regressed: bool
    improved: bool
    seconds: float
    pairs: tuple[tuple[float, ...], ...] = ()
    in_slices: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Rate:
    """`count` of `trials`, with the bounds of its interval (probabilities)."""

    count: int
    trials: int
    low: float
    high: float


@dataclass(frozen=True, slots=True, kw_only=True)
class PowerPoint:
    """How often a planted slowdown of `size` (a ratio) was found, and the median seconds of such a duel."""

    size: float
    found: Rate
    seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class OperatingCurve:
    """What the gate does on one machine with one scenario.

    The two kinds of false alarm are kept apart: a gate without bias gives as many of each. `seconds` is the median
    duel of an arm against itself. Either is None where no such duel was played. `in_slices` says how the duels were
    played.
    """

    scenario_id: str
    false_regressions: Rate | None
    false_improvements: Rate | None
    false_alarms: Rate | None
    power: tuple[PowerPoint, ...]
    seconds: float | None
    in_slices: bool = False

    def sentence(self) -> str:
        """The sentence that a verdict quotes."""
        parts = []
        if self.false_alarms is not None:
            alarms, duels = self.false_alarms.count, self.false_alarms.trials
            parts.append(
                f"{alarms} false alarm{'' if alarms == 1 else 's'} in {duels} duels of an arm against itself "
                f"(at most {self.false_alarms.high * 100:.2g} % with 95 % confidence)"
            )
        parts += [
            f"a slowdown of {point.size * 100:g} % found in {point.found.count} of {point.found.trials}, "
            f"{point.seconds:.0f} s each"
            for point in self.power
        ]
        how = "calibrated here, both arms at the same time: " if self.in_slices else "calibrated here: "
        return how + "; ".join(parts) if parts else UNCALIBRATED


def rate(count: int, trials: int) -> Rate:
    """`count` of `trials` (at least one) with its exact interval."""
    from scipy.special import betaincinv

    tail = (1 - RATE_LEVEL) / 2
    low = float(betaincinv(count, trials - count + 1, tail)) if count else 0.0
    high = float(betaincinv(count + 1, trials - count, 1 - tail)) if count < trials else 1.0
    return Rate(count=count, trials=trials, low=low, high=high)


def operating_curves(trials: Sequence[Trial]) -> tuple[OperatingCurve, ...]:
    """One curve per scenario, in the order of their first trial; sizes ascend."""
    scenarios = dict.fromkeys(trial.scenario_id for trial in trials)
    return tuple(_curve(name, [trial for trial in trials if trial.scenario_id == name]) for name in scenarios)


def _curve(scenario_id: str, trials: list[Trial]) -> OperatingCurve:
    equal = [trial for trial in trials if trial.planted == 0]
    sizes = sorted({trial.planted for trial in trials if trial.planted != 0})
    return OperatingCurve(
        scenario_id=scenario_id,
        false_regressions=rate(sum(t.regressed for t in equal), len(equal)) if equal else None,
        false_improvements=rate(sum(t.improved for t in equal), len(equal)) if equal else None,
        false_alarms=rate(sum(t.regressed or t.improved for t in equal), len(equal)) if equal else None,
        power=tuple(_point(size, [trial for trial in trials if trial.planted == size]) for size in sizes),
        seconds=median(t.seconds for t in equal) if equal else None,
        in_slices=any(t.in_slices for t in trials),
    )


def _point(size: float, trials: list[Trial]) -> PowerPoint:
    return PowerPoint(
        size=size,
        found=rate(sum(t.regressed for t in trials), len(trials)),
        seconds=median(t.seconds for t in trials),
    )
