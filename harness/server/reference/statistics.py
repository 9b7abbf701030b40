"""A server's account of itself: what became of every request, and the figures of what it spoke, as in the glossary."""

import math
import threading
from collections import Counter, defaultdict, deque
from collections.abc import Mapping
from enum import StrEnum
from statistics import median
from typing import TYPE_CHECKING

from harness.core.exposition import histogram_lines, metric_lines, type_line
from harness.metrics.per_request import repetition_figures
from harness.metrics.values import wilson

if TYPE_CHECKING:
    from harness.core.records.repetition import Repetition

FIGURES = ("ttfb", "ttfc", "ttfa", "latency", "rtf", "streaming_efficiency", "overlap", "stall")
KEPT = 1_000
"""Answers of each kind whose figures are kept; counts and sums are of all."""
BUCKETS: Mapping[str, tuple[float, ...]] = {
    "ttfa": (0.025, 0.05, 0.1, 0.2, 0.4, 0.8, 1.6, 3.2, 6.4, 12.8),
    "latency": (0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 20.0, 60.0),
    "rtf": (0.01, 0.02, 0.05, 0.1, 0.2, 0.4, 0.6, 0.8, 1.0, 2.0),
}
"""Upper bounds of the histograms, in the metric's unit."""


class Became(StrEnum):
    """What became of a request for speech."""

    VALID = "valid"
    INVALID_AUDIO = "invalid-audio"
    FAILED = "failed"
    """The engine raised, or took too long."""
    BUSY = "busy"
    """Refused for want of room: 429 or 503."""
    REFUSED = "refused"
    """The request's own fault: no answer was owed."""
    HUNG_UP = "hung-up"
    SLOW = "slow"
    """The listener did not take what was sent."""


OWED = (Became.VALID, Became.INVALID_AUDIO, Became.FAILED, Became.BUSY)
"""What the success rate counts: every request that could have been answered, and whose listener stayed."""


class Histogram:
    """Cumulative counts as Prometheus wants them. `bounds` ascend."""

    def __init__(self, bounds: tuple[float, ...]) -> None:
        self.counts = dict.fromkeys((*bounds, math.inf), 0)
        self.sum = 0.0

    def observe(self, value: float) -> None:
        """Count it in every bucket that it fits into."""
        self.sum += value
        for bound in self.counts:
            self.counts[bound] += value <= bound


class Statistics:
    """Takes answers in from any thread. Answers from the cache are kept apart: they say nothing of the model."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._became = Counter[Became]()
        self._figures: dict[tuple[bool, str], deque[float]] = defaultdict(lambda: deque(maxlen=KEPT))
        self._histograms: dict[tuple[bool, str], Histogram] = {}
        self._audio_s = {False: 0.0, True: 0.0}

    def count(self, became: Became) -> None:
        """A request that came to no whole answer."""
        with self._lock:
            self._became[became] += 1

    def record(self, repetition: "Repetition", *, cached: bool) -> None:
        """An answer that was sent to its end. What is not valid counts, and has no figures."""
        figures = repetition_figures(repetition)
        audio = repetition.audio
        with self._lock:
            self._became[Became.VALID if repetition.outcome.valid else Became.INVALID_AUDIO] += 1
            if not repetition.outcome.valid or audio is None:
                return
            self._audio_s[cached] += audio.frames / audio.sample_rate
            for name in FIGURES:
                value = figures[name].value
                if value is None:
                    continue
                self._figures[cached, name].append(value)
                if name in BUCKETS:
                    self._histograms.setdefault((cached, name), Histogram(BUCKETS[name])).observe(value)

    def report(self) -> dict[str, object]:
        """For people: counts, the success rate with its interval, and the medians of the last answers."""
        with self._lock:
            return {
                "requests": {each.value: self._became[each] for each in Became},
                "success_rate": self._success(),
                "audio_seconds": {"computed": self._audio_s[False], "cached": self._audio_s[True]},
                "computed": self._medians(cached=False),
                "cached": self._medians(cached=True),
            }

    def exposition(self) -> list[str]:
        """For Prometheus: lines of its text format."""
        with self._lock:
            became = (({"became": each.value}, self._became[each]) for each in Became)
            spoken = (({"cached": _said(cached)}, self._audio_s[cached]) for cached in (False, True))
            lines = [
                *metric_lines("kokoro_requests_total", "counter", became),
                *metric_lines("kokoro_audio_seconds_total", "counter", spoken),
            ]
            for name, bounds in BUCKETS.items():
                full = f"kokoro_{_unit_name(name)}"
                lines.append(type_line(full, "histogram"))
                for cached in (False, True):
                    found = self._histograms.get((cached, name)) or Histogram(bounds)
                    lines += histogram_lines(full, {"cached": _said(cached)}, found.counts, total=found.sum)
            return lines

    def _success(self) -> dict[str, float | int] | None:
        owed = sum(self._became[each] for each in OWED)
        if not owed:
            return None
        rate = wilson(self._became[Became.VALID], owed, launches=1)
        return {"rate": rate.point, "low": rate.low, "high": rate.high, "level": rate.level, "n": owed}

    def _medians(self, *, cached: bool) -> dict[str, object]:
        found = {name: self._figures[cached, name] for name in FIGURES if self._figures.get((cached, name))}
        return {name: {"median": median(values), "n": len(values)} for name, values in found.items()}


def _unit_name(name: str) -> str:
    return "rtf" if name == "rtf" else f"{name}_seconds"


def _said(cached: bool) -> str:  # noqa: FBT001 - a label's value
    return "yes" if cached else "no"
