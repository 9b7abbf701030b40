"""Metrics as Prometheus reads them: the text exposition format 0.0.4."""

from collections.abc import Iterable, Mapping

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"

Sample = tuple[Mapping[str, str], float]
"""The labels of a sample, and its value."""


def metric_lines(name: str, kind: str, samples: Iterable[Sample], *, meaning: str = "") -> list[str]:
    """A metric of one `kind` (counter, gauge), with its samples; a value that is unknown has no sample."""
    return [*_head(name, kind, meaning), *(_sample(name, labels, value) for labels, value in samples)]


def histogram_lines(name: str, labels: Mapping[str, str], counts: Mapping[float, int], *, total: float) -> list[str]:
    """One series of a histogram, to stand below `type_line`.

    `counts` is upper bound → observations up to it, ascending, with infinity last; `total` is the sum of all values.
    """
    buckets = ((dict(labels, le="+Inf" if bound == float("inf") else f"{bound:g}"), n) for bound, n in counts.items())
    return [
        *(_sample(f"{name}_bucket", each, n) for each, n in buckets),
        _sample(f"{name}_sum", labels, total),
        _sample(f"{name}_count", labels, counts[float("inf")]),
    ]


def type_line(name: str, kind: str) -> str:
    """The line that says of which kind a metric is."""
    return f"# TYPE {name} {kind}"


def _head(name: str, kind: str, meaning: str) -> list[str]:
    return [*([f"# HELP {name} {meaning}"] if meaning else []), type_line(name, kind)]


def _sample(name: str, labels: Mapping[str, str], value: float) -> str:
    text = ",".join(f'{label}="{_escaped(each)}"' for label, each in labels.items())
    return f"{name}{{{text}}} {value!r}" if text else f"{name} {value!r}"


def _escaped(value: str) -> str:
    return value.replace("\\", r"\\").replace('"', r"\"").replace("\n", r"\n")
