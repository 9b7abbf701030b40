"""Metrics for Prometheus and OpenMetrics, written by prometheus-client. Its import takes time: it waits for its use."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from prometheus_client.metrics_core import Metric

CLASSIC = ""
"""The `Accept` header of a client that reads Prometheus' text format."""
OPENMETRICS = "application/openmetrics-text"
"""The `Accept` header of a client that reads OpenMetrics."""

Sample = tuple[Mapping[str, str], float]
"""The labels of a sample, and its value."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Exposition:
    """What an HTTP client gets."""

    content: bytes
    content_type: str


def gauge(name: str, meaning: str, samples: Iterable[Sample]) -> "Metric":
    """A gauge with its samples; a value that is unknown has no sample."""
    return _metric(name, "gauge", meaning, samples, sample_name=name)


def counter(name: str, meaning: str, samples: Iterable[Sample]) -> "Metric":
    """A counter with its samples. `name` has no `_total`: its samples get it."""
    return _metric(name, "counter", meaning, samples, sample_name=f"{name}_total")


def histogram(name: str, meaning: str, label: str, series: Mapping[str, tuple[Mapping[float, int], float]]) -> "Metric":
    """A histogram with one series for each value of `label`: counts, and the sum of all values.

    Counts are upper bound → observations up to it, in ascending order, with infinity last.
    """
    from prometheus_client.metrics_core import HistogramMetricFamily

    family = HistogramMetricFamily(name, meaning, labels=[label])
    for value, (counts, total) in series.items():
        buckets = [("+Inf" if bound == float("inf") else f"{bound:g}", n) for bound, n in counts.items()]
        family.add_metric([value], buckets=buckets, sum_value=total)
    return family


def exposed(metrics: Iterable["Metric"], *, accept: str = CLASSIC) -> Exposition:
    """The metrics in the format that an `Accept` header asks for; Prometheus' text format if it asks for neither."""
    from prometheus_client.exposition import choose_encoder

    encode, content_type = choose_encoder(accept)
    return Exposition(content=encode(_Collected(list(metrics))), content_type=content_type)


@dataclass(frozen=True, slots=True)
class _Collected:
    """What prometheus-client takes for a collector."""

    metrics: list["Metric"]

    def collect(self) -> list["Metric"]:
        return self.metrics


def _metric(name: str, kind: str, meaning: str, samples: Iterable[Sample], *, sample_name: str) -> "Metric":
    from prometheus_client.metrics_core import Metric

    metric = Metric(name, meaning, kind)
    for labels, value in samples:
        metric.add_sample(sample_name, dict(labels), float(value))
    return metric
