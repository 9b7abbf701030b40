"""Answers per unit of time: throughput and goodput. Pure functions of repetitions.

Repetitions are placed in time by `started_at` (the intended start, seconds since the epoch) and `end_ns`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from harness.core.records.repetition import Repetition
from harness.core.records.value import Reading, known, unknown
from harness.metrics.per_request import audio_seconds, repetition_figures, total_ns
from harness.metrics.playback import NS
from harness.metrics.registry import Direction, metric

TOO_SHORT = "the window has no length"


@dataclass(frozen=True, slots=True, kw_only=True)
class Window:
    """The time after `start` and up to `end`, in seconds since the epoch."""

    start: float
    end: float

    @property
    def seconds(self) -> float:
        """Its length in seconds; 0 if it ends before it starts."""
        return max(0.0, self.end - self.start)


@dataclass(frozen=True, slots=True, kw_only=True)
class Level:
    """One load of a sweep: the requested rate (1/s) or the number of users, and whether every target was met."""

    load: float
    targets_met: bool


def ended_at(repetition: Repetition) -> float:
    """When the repetition's answer was complete, in seconds since the epoch."""
    return repetition.started_at + total_ns(repetition) / NS


def span(repetitions: Sequence[Repetition]) -> Window:
    """From the first start to the last end: right for a block whose requests all start at once. Empty for none."""
    return Window(
        start=min((each.started_at for each in repetitions), default=0.0),
        end=max((ended_at(each) for each in repetitions), default=0.0),
    )


def within(repetitions: Sequence[Repetition], window: Window) -> tuple[Repetition, ...]:
    """The repetitions whose answers, valid or not, were complete within the window.

    Each answer belongs to exactly one of adjacent windows. Under a steady load, answers that began before the window
    balance those that are unfinished at its end.
    """
    return tuple(each for each in repetitions if window.start < ended_at(each) <= window.end)


def throughput(repetitions: Sequence[Repetition], window: Window) -> Reading:
    """Seconds of valid audio for each second of the window."""
    if not window.seconds:
        return unknown(TOO_SHORT)
    delivered = sum(audio_seconds(each) for each in within(repetitions, window) if each.outcome.valid)
    return known(delivered / window.seconds)


def goodput(repetitions: Sequence[Repetition], window: Window, *, targets: Mapping[str, float]) -> Reading:
    """Answers per second that meet every one of `targets`: metric → limit, in the metric's unit.

    Raises UsageError if a target is not a metric. Without targets there is no goodput.
    """
    if not targets:
        return unknown("no targets to meet")
    if not window.seconds:
        return unknown(TOO_SHORT)
    good = sum(meets(each, targets=targets) for each in within(repetitions, window))
    return known(good / window.seconds)


def meets(repetition: Repetition, *, targets: Mapping[str, float]) -> bool:
    """Whether a repetition is valid and within every limit on single repetitions. An unknown value misses its limit.

    A limit on a whole scenario (success_rate) does not apply to single repetitions.
    """
    if not repetition.outcome.valid:
        return False
    figures = repetition_figures(repetition)
    return all(
        _within_limit(figures[name], limit=limit, direction=metric(name).direction)
        for name, limit in targets.items()
        if metric(name).name in figures
    )


def highest_sustained(levels: Sequence[Level]) -> Reading:
    """The highest load at which all targets were met, at it and at every lower load."""
    held = None
    for level in sorted(levels, key=lambda each: each.load):
        if not level.targets_met:
            break
        held = level.load
    if held is None:
        return unknown("the targets were not all met at the lowest load" if levels else "no load was tried")
    return known(held)


def _within_limit(reading: Reading, *, limit: float, direction: Direction) -> bool:
    if reading.value is None:
        return False
    return reading.value > limit if direction is Direction.HIGHER else reading.value < limit
