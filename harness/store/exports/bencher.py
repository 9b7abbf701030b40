"""A run in Bencher's metric format (BMF JSON), for `bencher run --adapter json --file FILE`."""

import json
from typing import Any, Final

from harness.core.records.run import RunData
from harness.core.records.verdict import Summary
from harness.store.exports.openmetrics import UnitOf, named_with_unit

NS_PER_S: Final = 1e9


def to_bencher(data: RunData, unit_of: UnitOf) -> bytes:
    """Scenario → measure → the median, with the ends of its interval where it has one.

    A measure is named after its metric and unit (`ttfa-seconds`), because a project of Bencher's has its own measures
    `latency`, in nanoseconds, and `throughput`, in operations per second. `latency` is written as that one is defined.
    """
    benchmarks: dict[str, dict[str, Any]] = {}
    for summary in data.summaries:
        if summary.median is None:
            continue
        unit = unit_of(summary.metric)
        benchmarks.setdefault(summary.scenario_id, {})[_measure(summary.metric, unit)] = _values(summary)
    return json.dumps(benchmarks, indent=2).encode() + b"\n"


def _measure(metric: str, unit: str) -> str:
    if metric == "latency":
        return metric
    name = f"audio_{metric}" if metric == "throughput" else metric
    return named_with_unit(name, unit).replace("_", "-")


def _values(summary: Summary) -> dict[str, float | None]:
    factor = NS_PER_S if summary.metric == "latency" else 1.0
    found = {"value": summary.median}
    if summary.interval is not None:
        found |= {"lower_value": summary.interval.low, "upper_value": summary.interval.high}
    return {name: value * factor for name, value in found.items() if value is not None}
