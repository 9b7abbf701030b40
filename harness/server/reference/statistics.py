"""A server's statistics: the outcome of every request, and metrics of its answers as in the glossary."""

import math
import threading
from collections import Counter, defaultdict, deque
from collections.abc import Mapping
from enum import StrEnum
from statistics import median
from typing import TYPE_CHECKING

from harness.core.exposition import counter, histogram
from harness.metrics.per_request import repetition_figures
from harness.metrics.values import wilson

if TYPE_CHECKING:
    from prometheus_client.metrics_core import Metric

    from harness.core.records.repetition import Repetition

METRICS = ("ttfb", "ttfc", "ttfa", "latency", "rtf", "streaming_efficiency", "overlap", "stall")
KEPT_ANSWERS = 1_000
"""The last answers of each kind whose values are kept. Counts and sums include all answers."""
BUCKETS: Mapping[str, tuple[float, ...]] = {
    "ttfa": (0.025, 0.05, 0.1, 0.2, 0.4, 0.8, 1.6, 3.2, 6.4, 12.8),
    "latency": (0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 20.0, 60.0),
    "rtf": (0.01, 0.02, 0.05, 0.1, 0.2, 0.4, 0.6, 0.8, 1.0, 2.0),
}
"""Upper bounds of the histograms, in the metric's unit."""


class RequestOutcome(StrEnum):
    """The outcome of a speech request."""

    VALID = "valid"
    INVALID_AUDIO = "invalid-audio"
    FAILED = "failed"
    """The engine raised, or took too long."""
    BUSY = "busy"
    """Refused at full capacity: 429 or 503."""
    REFUSED = "refused"
    """An invalid request."""
    HUNG_UP = "hung-up"
    SLOW = "slow"
    """The client did not read the answer in time."""


COUNTED_OUTCOMES = (RequestOutcome.VALID, RequestOutcome.INVALID_AUDIO, RequestOutcome.FAILED, RequestOutcome.BUSY)
"""Outcomes in the success rate: all valid requests whose client stayed connected."""


class Histogram:
    """A cumulative histogram as in Prometheus. `bounds` are in ascending order."""

    def __init__(self, bounds: tuple[float, ...]) -> None:
        self.counts = dict.fromkeys((*bounds, math.inf), 0)
        self.sum = 0.0

    def observe(self, value: float) -> None:
        """Count `value` in every bucket whose bound it does not exceed."""
        self.sum += value
        for bound in self.counts:
            self.counts[bound] += value <= bound


class Statistics:
    """Collects answers from any thread. Cached answers are separate, because they do not measure the model."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._became = Counter[RequestOutcome]()
        self._figures: dict[tuple[bool, str], deque[float]] = defaultdict(lambda: deque(maxlen=KEPT_ANSWERS))
        self._histograms: dict[tuple[bool, str], Histogram] = {}
        self._audio_s = {False: 0.0, True: 0.0}

    def count(self, became: RequestOutcome) -> None:
        """Count a request without a complete answer."""
        with self._lock:
            self._became[became] += 1

    def record(self, repetition: "Repetition", *, cached: bool) -> None:
        """Record a complete answer. An invalid one is counted without values."""
        figures = repetition_figures(repetition)
        audio = repetition.audio
        with self._lock:
            self._became[RequestOutcome.VALID if repetition.outcome.valid else RequestOutcome.INVALID_AUDIO] += 1
            if not repetition.outcome.valid or audio is None:
                return
            self._audio_s[cached] += audio.frames / audio.sample_rate
            for name in METRICS:
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
                "requests": {each.value: self._became[each] for each in RequestOutcome},
                "success_rate": self._success(),
                "audio_seconds": {"computed": self._audio_s[False], "cached": self._audio_s[True]},
                "computed": self._medians(cached=False),
                "cached": self._medians(cached=True),
            }

    def exposition(self) -> "list[Metric]":
        """For Prometheus."""
        with self._lock:
            became = [({"became": each.value}, self._became[each]) for each in RequestOutcome]
            spoken = [({"cached": _cached_label(cached)}, self._audio_s[cached]) for cached in (False, True)]
            metrics = [
                counter("kokoro_requests", "requests, by what they became", became),
                counter("kokoro_audio_seconds", "audio of valid answers, in seconds", spoken),
            ]
            for name, bounds in BUCKETS.items():
                series = {}
                for cached in (False, True):
                    found = self._histograms.get((cached, name)) or Histogram(bounds)
                    series[_cached_label(cached)] = (dict(found.counts), found.sum)
                metrics.append(histogram(f"kokoro_{_unit_name(name)}", f"{name} of valid answers", "cached", series))
            return metrics

    def _success(self) -> dict[str, float | int] | None:
        owed = sum(self._became[each] for each in COUNTED_OUTCOMES)
        if not owed:
            return None
        rate = wilson(self._became[RequestOutcome.VALID], owed, launches=1)
        return {"rate": rate.point, "low": rate.low, "high": rate.high, "level": rate.level, "n": owed}

    def _medians(self, *, cached: bool) -> dict[str, object]:
        found = {name: self._figures[cached, name] for name in METRICS if self._figures.get((cached, name))}
        return {name: {"median": median(values), "n": len(values)} for name, values in found.items()}


def _unit_name(name: str) -> str:
    return "rtf" if name == "rtf" else f"{name}_seconds"


def _cached_label(cached: bool) -> str:  # noqa: FBT001 - a label's value
    return "yes" if cached else "no"
