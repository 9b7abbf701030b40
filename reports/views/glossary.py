"""The glossary: every metric as the registry defines it."""

from dataclasses import dataclass

from harness.metrics.registry import METRICS, Metric
from reports.text.format import better, percent


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """A metric, and what of its definition the glossary puts into words."""

    metric: Metric
    unit: str
    better: str
    gate: str
    beside: str


def glossary() -> tuple[Entry, ...]:
    """All metrics in the order of the tables."""
    return tuple(
        Entry(
            metric=each,
            unit=f"A {each.unit}" if each.unit in ("ratio", "count") else f"In {each.unit}",
            better=better(each.name),
            gate="shown, not judged" if each.tolerance is None else f"tolerance {percent(each.tolerance).lstrip('+')}",
            beside=METRICS[each.beside].title if each.beside in METRICS else "",
        )
        for each in METRICS.values()
    )
