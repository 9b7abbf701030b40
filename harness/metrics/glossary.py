"""The glossary: every metric of the registry in finished sentences, so that no page writes its own."""

from dataclasses import dataclass

from harness.metrics.registry import METRICS, Direction, Metric, Per

_DIRECTIONS = {
    Direction.LOWER: "Lower is better.",
    Direction.HIGHER: "Higher is better.",
    Direction.ONE: "The nearer to 1, the better.",
    Direction.NEITHER: "Neither lower nor higher is better.",
}
_UNITS = {
    "s": "seconds",
    "B": "bytes",
    "B/repetition": "bytes per repetition",
    "ratio": "a ratio, without unit",
    "count": "a count",
    "s/s": "seconds per second",
    "1/s": "per second",
    "dB": "decibels",
    "LUFS": "loudness units relative to full scale",
    "MOS": "mean opinion score, 1 to 5",
    "MOS-LQO": "mean opinion score, listening quality, objective",
}
_SOURCES = {
    Per.REPETITION: "One value per repetition.",
    Per.CHUNK: "One value per pair of neighbouring chunks.",
    Per.LAUNCH: "One value per launch of the engine.",
    Per.WINDOW: "One value per window of concurrent requests.",
    Per.SCENARIO: "One value per scenario.",
    Per.BEAT: "One value per request, and one per beat of the client's timer (every 5 ms).",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class GlossaryEntry:
    """One metric's page. Every field is text to be shown as it is; "" where there is nothing to say."""

    name: str
    title: str
    unit: str
    direction: str
    formula: str
    meaning: str
    moved_by: str
    fooled_by: str
    source: str
    gate: str
    beside: str
    needs: str
    definition: str


def glossary() -> tuple[GlossaryEntry, ...]:
    """An entry for each metric, in the registry's order."""
    return tuple(_entry(metric) for metric in METRICS.values())


def _entry(metric: Metric) -> GlossaryEntry:
    return GlossaryEntry(
        name=metric.name,
        title=metric.title,
        unit=_UNITS[metric.unit],
        direction=_DIRECTIONS[metric.direction],
        formula=metric.formula,
        meaning=metric.meaning,
        moved_by=metric.moved_by,
        fooled_by=metric.fooled_by,
        source=_SOURCES[metric.per],
        gate=_gate(metric),
        beside=f"Shown beside {METRICS[metric.beside].title.lower()} ({metric.beside})." if metric.beside else "",
        needs=_needs(metric),
        definition=f"Definition {metric.definition}; figures of different definitions are not comparable.",
    )


def _gate(metric: Metric) -> str:
    if metric.tolerance is None:
        return "Shown, not gated."
    return f"Gated: a change of {100 * metric.tolerance:g} % or more counts, once the interval excludes 0."


def _needs(metric: Metric) -> str:
    if not metric.optional_package:
        return ""
    return f"Needs the package {metric.optional_package}: pip install 'kokoro-bench[similarity]'."
