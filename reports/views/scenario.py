"""One scenario on one machine: its latest run and its history, as formatted strings."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from statistics import median
from typing import TYPE_CHECKING

from markupsafe import Markup

from harness.core.records.repetition import Phase, Repetition
from harness.core.records.run import RunData
from reports.charts.timelines import Event, Timeline, timeline, trend
from reports.text.format import count, finer, scale
from reports.text.naming import Label
from reports.views.trends import ScenarioTrends, Trend

if TYPE_CHECKING:
    from reports.charts.distributions import OwnStrips
    from reports.charts.sound import Sound

_URGENT = ("worse", "failed", "better", "unclear")


@dataclass(frozen=True, slots=True, kw_only=True)
class ScenarioPage:
    """The contents of a scenario's page."""

    label: Label
    machine: str
    run: str
    sentence: str
    css: str
    glyph: str
    strips: "tuple[OwnStrips, ...]"
    sound: "Sound | None"
    timeline: Timeline | None
    timeline_of: str
    memory: Markup
    memory_finding: str
    trends: tuple[Trend, ...]
    events: tuple[str, ...]
    span: str


def scenario_page(
    data: RunData, over_time: ScenarioTrends, *, strips: "tuple[OwnStrips, ...]", sound: "Sound | None" = None
) -> ScenarioPage:
    """The page of a scenario. `strips` and `sound` are those of `data`, the latest run with the scenario."""
    label, trends = over_time.label, over_time.trends
    ours = [
        each
        for each in data.counted.repetitions
        if each.scenario_id == label.id and each.phase is Phase.MEASURED and each.outcome.valid
    ]
    typical = _typical(ours)
    memory, memory_finding = _memory(ours)
    urgent = next((each for css in _URGENT for each in trends if each.words.css == css), None)
    return ScenarioPage(
        label=label,
        machine=data.run.machine.key,
        run=data.run.id,
        sentence=_sentence(trends),
        css=urgent.words.css if urgent else "none",
        glyph=urgent.words.glyph if urgent else "",
        strips=strips,
        sound=sound,
        timeline=timeline(typical) if typical else None,
        timeline_of=f"launch {typical.launch + 1}, block {typical.block + 1}" if typical else "",
        memory=memory,
        memory_finding=memory_finding,
        trends=trends,
        events=over_time.events,
        span=over_time.span,
    )


def _sentence(trends: Sequence[Trend]) -> str:
    words = [(css, sum(each.words.css == css for each in trends)) for css in _URGENT]
    numbers = [f"{number} {css}" for css, number in words if number]
    if not numbers:
        return f"Nothing stands out among {count(len(trends), 'figure')} in the latest run."
    return f"In the latest run, of {count(len(trends), 'figure')}: {', '.join(numbers)}."


def _typical(ours: Sequence[Repetition]) -> Repetition | None:
    """The repetition with the median latency, or the one next to it."""
    if not ours:
        return None
    middle = median(each.end_ns for each in ours)
    return min(ours, key=lambda each: (abs(each.end_ns - middle), each.launch, each.block))


def _memory(ours: Sequence[Repetition]) -> tuple[Markup, str]:
    """A chart of the resident memory after each repetition, in their order, and its description."""
    ordered = sorted(ours, key=lambda each: (each.launch, each.block))
    sizes = [None if each.memory.rss_after is None else float(each.memory.rss_after) for each in ordered]
    known = [size for size in sizes if size is not None]
    if not known:
        return Markup(""), ""
    on = finer(scale("rss_peak", known), (max(known) - min(known)) / 2)
    launches = count(len({each.launch for each in ordered}), "launch", "launches")
    finding = f"Resident size from {on.full(min(known))} to {on.full(max(known))} over {launches}."
    starts = [
        Event(index=index, what=f"launch {now.launch + 1} begins", css="subject")
        for index, (before, now) in enumerate(pairwise(ordered), 1)
        if now.launch != before.launch
    ]
    return trend(sizes, label=on.full, events=starts, finding=finding), finding
