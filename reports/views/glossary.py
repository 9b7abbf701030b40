"""The glossary: every metric as the registry defines it."""

from dataclasses import dataclass

from harness.metrics.registry import METRICS
from reports.text.format import better, percent


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """The definition of a metric."""

    name: str
    title: str
    unit: str
    better: str
    formula: str
    meaning: str
    moved_by: str
    fooled_by: str
    gate: str
    beside: str
    definition: str


def glossary() -> tuple[Entry, ...]:
    """All metrics in the order of the tables."""
    return tuple(
        Entry(
            name=each.name,
            title=each.title,
            unit=f"A {each.unit}" if each.unit in ("ratio", "count") else f"In {each.unit}",
            better=better(each.name),
            formula=each.formula,
            meaning=each.meaning,
            moved_by=each.moved_by,
            fooled_by=each.fooled_by,
            gate="shown, not judged" if each.tolerance is None else f"tolerance {percent(each.tolerance).lstrip('+')}",
            beside=METRICS[each.beside].title if each.beside in METRICS else "",
            definition=f"version {each.definition} of this definition",
        )
        for each in METRICS.values()
    )
