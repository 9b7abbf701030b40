"""The one registry of metrics."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING

from harness.core.errors import UsageError, nearest
from harness.metrics.definitions.audio import NOISE, SIMILARITY
from harness.metrics.definitions.resources import FIRST, LOADING, MEMORY
from harness.metrics.definitions.service import SERVICE
from harness.metrics.definitions.speech import SPEECH, WORDS
from harness.metrics.definitions.speed import SPEED, STAGES
from harness.metrics.definitions.streaming import STREAMING
from harness.metrics.metric import Direction, Metric, Per, Scale

if TYPE_CHECKING:
    from harness.core.records.verdict import Summary

__all__ = ["METRICS", "Direction", "Metric", "Per", "Scale", "lacks_interval", "metric", "unit_of"]

METRICS: Mapping[str, Metric] = MappingProxyType(
    {
        each.name: each
        for each in (
            *SPEED,
            *STREAMING,
            *STAGES,
            *LOADING,
            *FIRST,
            *MEMORY,
            *SERVICE,
            *SIMILARITY,
            *NOISE,
            *SPEECH,
            *WORDS,
        )
    }
)
"""Every metric by its name, in the order in which tables show them."""


def metric(name: str) -> Metric:
    """The metric of that name, or UsageError with the nearest one."""
    found = METRICS.get(name)
    if found is None:
        raise UsageError(f"unknown metric {name!r}", where="metric", remedy=nearest(name, list(METRICS)))
    return found


def unit_of(name: str) -> str:
    """The unit of a metric; "" for one that this version does not know."""
    found = METRICS.get(name)
    return found.unit if found else ""


def lacks_interval(summary: "Summary") -> bool:
    """Whether the values are too few, or scatter too much, for an interval. False for a metric with a single value."""
    found = METRICS.get(summary.metric)
    return summary.n > 0 and summary.interval is None and found is not None and found.per is not Per.SCENARIO
