"""Trends: every metric over all runs of a machine, as formatted strings."""

import math
from bisect import bisect_left
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from markupsafe import Markup

from harness.analysis.changepoints.detect import WINDOW
from harness.core.records.verdict import Shown
from reports.charts.svg import spark
from reports.charts.timelines import Event, stretch_starts, trend
from reports.history.index import PastRun, RunIndex, subject_changes
from reports.history.steps import NO_MARKS, Marks, ReportedStep, Step
from reports.text.format import (
    UNJUDGED,
    VERDICT_WORDS,
    Scale,
    VerdictWord,
    better,
    change_of,
    count,
    day,
    finer,
    in_order,
    metric_of,
    percent,
    scale,
)
from reports.text.naming import Key, Label, Names
from reports.views.pair_trends import NO_PAIRS, PairTrend, pair_trend

if TYPE_CHECKING:
    from harness.analysis.stats.grouped import FloatArray

SPARK_RUNS = 30
"""The number of runs in a sparkline."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Trend:
    """One metric of one scenario over all runs."""

    label: Label
    metric: str
    title: str
    now: str
    before: str
    """The last known value, if the latest run has none; else ""."""
    range: str
    words: VerdictWord
    chart: Markup
    finding: str
    days: str
    """The days of the line's points, joined by spaces; "" without a line."""
    pairs: PairTrend = NO_PAIRS
    """The ratio to the accepted reference."""

    @property
    def first(self) -> str:
        """The day of the first point."""
        return self.days.partition(" ")[0]

    @property
    def last(self) -> str:
        """The day of the last point."""
        return self.days.rpartition(" ")[2]


@dataclass(frozen=True, slots=True, kw_only=True)
class TrendPage:
    """All trends of one metric."""

    metric: str
    title: str
    meaning: str
    better: str
    span: str
    events: tuple[str, ...]
    trends: tuple[Trend, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Lines:
    """The trends of one machine. Each is drawn once for all pages that show it."""

    trends: Mapping[Key, Trend]
    sparks: Mapping[Key, Markup]
    names: Names
    events: tuple[str, ...]
    span: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ScenarioTrends:
    """All trends of one scenario, in the registry's order."""

    label: Label
    trends: tuple[Trend, ...]
    events: tuple[str, ...]
    span: str


def lines(
    run_index: RunIndex, machine: str, names: Names, *, found: Sequence[Step] = (), marks: Marks = NO_MARKS
) -> Lines:
    """Draw every trend of a machine with its `marks` and the detected steps (`found`)."""
    import numpy as np

    from reports.history.columns import Columns

    runs = run_index.of_machine(machine)
    shared = [
        Event(index=index, what=f"{day(runs[index].started_at)}: {what}", css="subject")
        for index, what in subject_changes(runs)
    ]
    shared += [
        Event(index=index, what=f"{day(run.started_at)}: promoted to the baseline", css="promoted")
        for index, run in enumerate(runs)
        if run.id in marks.promoted
    ]
    steps = _steps(found, marks.reported, runs)
    trends: dict[Key, Trend] = {}
    sparks: dict[Key, Markup] = {}
    columns = Columns(run_index, runs)
    having = columns.having()
    every_day = _days(runs)
    paired = {place for run in runs for place in run.ratios}
    for place, ((scenario_id, metric), medians) in enumerate(zip(run_index.keys, columns.medians, strict=True)):
        if scenario_id not in names.labels or np.isnan(medians).all():
            continue
        key = (scenario_id, metric)
        own = sorted([*shared, *steps.get(key, ())], key=lambda event: event.index)
        kept = having[scenario_id].tolist()
        its, days = medians, every_day
        if len(kept) < len(runs):
            its, own, days = medians[kept], _moved(own, kept), _days([runs[index] for index in kept])
        drawn = _trend(names.of(scenario_id), metric, its, own, days, runs[kept[-1]].kind(place))
        own_runs = [runs[index] for index in kept] if place in paired else []
        trends[key] = replace(drawn, pairs=pair_trend(own_runs, place, title=drawn.title, events=own))
        sparks[key] = _spark(metric, its[-SPARK_RUNS:])
    return Lines(
        trends=trends, sparks=sparks, names=names, events=tuple(event.what for event in shared), span=_span(runs)
    )


def _steps(found: Sequence[Step], reported: Sequence[ReportedStep], runs: Sequence[PastRun]) -> dict[Key, list[Event]]:
    """The marks of each line: its steps, and the alerts that belong to no step."""
    places = {run.id: index for index, run in enumerate(runs)}
    events: dict[Key, list[Event]] = {}
    shown: set[tuple[Key, int, str]] = set()
    for step in found:
        if step.run_id in places:
            index = places[step.run_id]
            what = f"{day(runs[index].started_at)}: a step of {percent(change_of(step.size))}"
            events.setdefault((step.scenario_id, step.metric), []).append(Event(index=index, what=what, css="step"))
    for alert in reported:
        if alert.run_id in places:
            index = places[alert.run_id]
            key = (alert.scenario_id, alert.metric)
            own = events.setdefault(key, [])
            same = next((each for each in own if abs(each.index - index) <= WINDOW), None)
            at = (key, same.index if same else index, alert.sentence)
            if at in shown:
                continue
            shown.add(at)
            if same is None:
                own.append(Event(index=index, what=f"{day(runs[index].started_at)}: {alert.sentence}", css="reported"))
            else:
                own[own.index(same)] = replace(same, what=f"{same.what}; alert: {alert.sentence}")
    return events


def _days(runs: Sequence[PastRun]) -> str:
    """The day of each point of a line over `runs`."""
    return " ".join(day(runs[index].started_at) for index in stretch_starts(len(runs)))


def _moved(events: Iterable[Event], kept: Sequence[int]) -> list[Event]:
    """The events, indexed by the kept runs. An event of another run moves to the next kept run."""
    places = [(bisect_left(kept, event.index), event) for event in events]
    return [replace(event, index=place) for place, event in places if place < len(kept)]


def _trend(
    label: Label,
    metric: str,
    values: "FloatArray",
    events: list[Event],
    when: str,
    kind: Shown | None,
) -> Trend:
    import numpy as np

    known = values[~np.isnan(values)]
    first, last = float(known[0]), float(known[-1])
    on, span = _range(metric, known)
    title = metric_of(metric).title
    since = f", {percent(last / first - 1)} since the first" if len(known) > 1 and first > 0 else ""
    before = "" if values[-1] == last else on.full(last)
    now = f"not in the latest run; before {before}" if before else on.full(last)
    finding = f"{title}: {now}{since}; {count(len(known), 'run')}, {span}."
    most = 1.0 if metric_of(metric).share else math.inf
    return Trend(
        label=label,
        metric=metric,
        title=title,
        now=now,
        before=before,
        range=span if len(known) > 1 else "",
        words=VERDICT_WORDS[kind] if kind else UNJUDGED,
        chart=trend(values, label=on.full, events=events, finding=finding, on=on, most=most),
        finding=finding,
        days=when if len(known) > 1 else "",
    )


def _spark(metric: str, values: "FloatArray") -> Markup:
    """The line of the last runs. Its alternative text states the range and the last value."""
    import numpy as np

    known = values[~np.isnan(values)]
    reached = ""
    if len(known) > 1:
        on, span = _range(metric, known)
        reached = f": {span}" + (f", lastly {on.full(float(known[-1]))}" if known.min() < known.max() else "")
    runs = "the last run" if len(values) == 1 else f"the last {len(values)} runs"
    return spark([None if math.isnan(value) else value for value in values.tolist()], finding=f"{runs}{reached}")


def _range(metric: str, known: "FloatArray") -> tuple[Scale, str]:
    """The scale for `known` values, and their range as text."""
    low, high = float(known.min()), float(known.max())
    on = finer(scale(metric, (low, high)), (high - low) / 2)
    return on, f"{on.full(low)} to {on.full(high)}" if low < high else f"always {on.full(low)}"


def pages(drawn: Lines) -> tuple[TrendPage, ...]:
    """A page for each metric with any value."""
    return tuple(_page(metric, drawn) for metric in in_order({metric for _, metric in drawn.trends}))


def _page(metric: str, drawn: Lines) -> TrendPage:
    entry = metric_of(metric)
    return TrendPage(
        metric=metric,
        title=entry.title,
        meaning=entry.meaning,
        better=better(metric),
        span=drawn.span,
        events=drawn.events,
        trends=tuple(each for (_, name), each in drawn.trends.items() if name == metric),
    )


_COLUMNS = 7
"""The maximum number of texts in a table of the overview. More are split into tables of about equal width."""
HEADLINES = ("ttfa", "rtf", "rss_peak", "load_time", "success_rate")
"""The metrics in the overview of trends, for every model, provider and text."""

_ABSENT = Markup("not in the latest run")


@dataclass(frozen=True, slots=True, kw_only=True)
class TrendCell:
    """A value of the overview with the line of its last runs, and the scenario whose page has more.

    `now` is the last known value. The word says so if the latest run has none.
    """

    scenario_id: str
    now: str
    words: VerdictWord
    mark: Markup


@dataclass(frozen=True, slots=True, kw_only=True)
class TrendTable:
    """One metric: a row for each arm, a column for each text and mode. None for texts that an arm does not have.

    `follows` says that the previous table shows the same metric.
    """

    metric: str
    title: str
    better: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, tuple[TrendCell | None, ...]], ...]
    follows: bool


def overview(drawn: Lines) -> tuple[TrendTable, ...]:
    """The tables of the headline metrics of one machine. A metric without any value has no table."""
    known = {name for _, name in drawn.trends}
    return tuple(table for metric in HEADLINES if metric in known for table in _tables(metric, drawn))


def _tables(metric: str, drawn: Lines) -> Iterable[TrendTable]:
    found = {
        (each.label.arm, each.label.what): TrendCell(
            scenario_id=scenario_id,
            now=each.before or each.now,
            words=replace(each.words, word=_ABSENT) if each.before else each.words,
            mark=drawn.sparks[scenario_id, metric],
        )
        for (scenario_id, name), each in drawn.trends.items()
        if name == metric
    }
    every = list(dict.fromkeys(what for _, what in found))
    width = math.ceil(len(every) / math.ceil(len(every) / _COLUMNS))
    for start in range(0, len(every), width):
        columns = tuple(every[start : start + width])
        arms = dict.fromkeys(arm for arm, what in found if what in columns)
        yield TrendTable(
            metric=metric,
            title=metric_of(metric).title,
            better=better(metric),
            columns=columns,
            rows=tuple((arm or "every text", tuple(found.get((arm, what)) for what in columns)) for arm in arms),
            follows=start > 0,
        )


def _span(runs: Sequence[PastRun]) -> str:
    if not runs:
        return "no runs"
    first, last = day(runs[0].started_at), day(runs[-1].started_at)
    return f"one run, {first}" if len(runs) == 1 else f"{count(len(runs), 'run')}, {first} to {last}"


def of_scenarios(drawn: Lines) -> dict[str, ScenarioTrends]:
    """Scenario → its trends, for scenarios with any."""
    ours: dict[str, dict[str, Trend]] = {scenario_id: {} for scenario_id in drawn.names.labels}
    for (scenario_id, metric), each in drawn.trends.items():
        ours[scenario_id][metric] = each
    return {
        scenario_id: ScenarioTrends(
            label=drawn.names.of(scenario_id),
            trends=tuple(found[metric] for metric in in_order(found)),
            events=drawn.events,
            span=drawn.span,
        )
        for scenario_id, found in ours.items()
    }
