"""The tables of a run: what changed, the matrix of all verdicts, and the targets, as finished strings."""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from markupsafe import Markup

from harness.records.run import RunData
from harness.records.verdict import Estimate, Summary, TargetKind, TargetResult, Verdict, VerdictKind
from reports.marks import Axis, Range, axis, forest, scale_line
from reports.naming import Label, names_of
from reports.words import (
    VERDICT_WORDS,
    Scale,
    change_words,
    in_order,
    metric_of,
    number,
    percent,
    scale,
    value_change,
)

Key = tuple[str, str]
"""Scenario id and metric."""
COLUMNS = 8
"""Metrics side by side in one matrix; a ninth opens another."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ChangeLine:
    """One changed figure."""

    metric: str
    css: str
    glyph: str
    word: str
    value: str
    change: str
    interval: str
    mark: Markup
    note: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ChangeGroup:
    """The changed figures of one scenario, largest first, with what may have caused them."""

    label: Label
    lines: tuple[ChangeLine, ...]
    suspects: tuple[str, ...]
    reference: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Changes:
    """Everything that got worse or better, and what stayed unclear."""

    worse: tuple[ChangeGroup, ...]
    better: tuple[ChangeGroup, ...]
    unclear: tuple[ChangeGroup, ...]
    axis: Markup


@dataclass(frozen=True, slots=True, kw_only=True)
class Cell:
    """One scenario's figure of one metric; `sort` is what the script sorts by."""

    css: str
    glyph: str
    word: str
    value: str
    change: str
    column: str
    title: str
    sort: str


@dataclass(frozen=True, slots=True, kw_only=True)
class MatrixRow:
    """A scenario."""

    label: Label
    cells: tuple[Cell, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Column:
    """A metric at the head of a matrix."""

    title: str
    unit: str
    anchor: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Matrix:
    """Scenario × metric; `name` tells several apart, `folded` ones open on demand."""

    name: str
    folded: bool
    columns: tuple[Column, ...]
    rows: tuple[MatrixRow, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class TargetLine:
    """A target of a scenario."""

    label: Label
    metric: str
    limit: str
    observed: str
    css: str
    glyph: str
    word: str
    reason: str


def changes(data: RunData) -> Changes:
    """What the gate called worse, better or unclear, by scenario, the largest change first."""
    named = names_of(data)
    summaries = {(each.scenario_id, each.metric): each for each in data.summaries}
    moved = (VerdictKind.REGRESSED, VerdictKind.IMPROVED, VerdictKind.INCONCLUSIVE)
    shown = [verdict for verdict in data.verdicts if verdict.kind in moved]
    on = change_axis(shown)

    def groups(kind: VerdictKind) -> tuple[ChangeGroup, ...]:
        by_scenario: dict[str, list[Verdict]] = {}
        for verdict in shown:
            if verdict.kind is kind:
                by_scenario.setdefault(verdict.scenario_id, []).append(verdict)
        ordered = sorted(by_scenario.items(), key=lambda item: (-max(map(_size, item[1])), item[0]))
        return tuple(_group(named.of(scenario_id), found, summaries, on) for scenario_id, found in ordered)

    return Changes(
        worse=groups(VerdictKind.REGRESSED),
        better=groups(VerdictKind.IMPROVED),
        unclear=groups(VerdictKind.INCONCLUSIVE),
        axis=scale_line(on),
    )


def change_axis(verdicts: Iterable[Verdict]) -> Axis:
    """One axis for the intervals of all changes, in ratios to 1; a change beyond −60 % or +150 % ends at the edge."""
    ends = [
        value_change(each.metric, end)
        for each in verdicts
        if each.change
        for end in (each.change.low, each.change.high)
    ]
    low, high = max(-0.6, min([-0.06, *ends])), min(1.5, max([0.06, *ends]))
    return axis(low - 0.01, high + 0.01, lambda value: percent(value, 0) if value else "0")


def _group(name: Label, verdicts: list[Verdict], summaries: Mapping[Key, Summary], on: Axis) -> ChangeGroup:
    ordered = sorted(verdicts, key=lambda verdict: (-_size(verdict), verdict.metric))
    return ChangeGroup(
        label=name,
        lines=tuple(_line(verdict, summaries.get((verdict.scenario_id, verdict.metric)), on) for verdict in ordered),
        suspects=tuple(dict.fromkeys(suspect for verdict in ordered for suspect in verdict.suspects)),
        reference=", ".join(dict.fromkeys(verdict.reference for verdict in ordered if verdict.reference)),
    )


def _line(verdict: Verdict, summary: Summary | None, on: Axis) -> ChangeLine:
    words = VERDICT_WORDS[verdict.kind]
    title = metric_of(verdict.metric).title
    value = summary.median if summary else None
    shown = scale(verdict.metric, [value]).full(value)
    notes = [part for part in (verdict.reason, verdict.advice) if part]
    if verdict.kind is VerdictKind.INCONCLUSIVE and verdict.detectable is not None:
        notes.insert(0, f"could have found a change of {percent(math.expm1(verdict.detectable)).lstrip('+')}")
    if verdict.change is None:
        mark, point, interval = Markup(""), "", ""
    else:
        change = change_words(verdict.metric, verdict.change)
        point, interval = change.point, change.interval
        mark = forest(
            change_range(verdict.metric, verdict.change),
            on=on,
            tolerance=None if verdict.tolerance is None else math.expm1(verdict.tolerance),
            css=words.css,
            finding=f"{title} {point}, interval {interval}",
        )
    return ChangeLine(
        metric=title,
        css=words.css,
        glyph=words.glyph,
        word=words.word,
        value=shown,
        change=point,
        interval=interval,
        mark=mark,
        note="; ".join(notes),
    )


def change_range(metric: str, change: Estimate) -> Range:
    """A change with its interval, as ratios to 1 of the metric's value."""
    ends = sorted((value_change(metric, change.low), value_change(metric, change.high)))
    return Range(point=value_change(metric, change.point), low=ends[0], high=ends[1])


def _size(verdict: Verdict) -> float:
    return abs(verdict.change.point) if verdict.change else 0.0


def matrices(data: RunData) -> tuple[Matrix, ...]:
    """Scenario × metric, in groups that fit a laptop's width: what was judged, then (folded) what is only known.

    A metric without any figure or verdict has no column; the page lists it under what was not measured.
    """
    named = names_of(data)
    verdicts = {(each.scenario_id, each.metric): each for each in data.verdicts}
    summaries = {(each.scenario_id, each.metric): each for each in data.summaries if each.median is not None}
    tables = []
    for kind, members in _by_kind(data):
        ours = set(members)
        judged = in_order({metric for scenario_id, metric in verdicts if scenario_id in ours})
        others = {metric for scenario_id, metric in summaries if scenario_id in ours}.difference(judged)
        rows = [named.of(scenario_id) for scenario_id in members]
        for metrics, folded in ((judged, False), (in_order(others), True)):
            for start in range(0, len(metrics), COLUMNS):
                some = metrics[start : start + COLUMNS]
                tables.append(_matrix(kind, some, rows, verdicts, summaries, folded=folded))
    return tuple(tables)


def _by_kind(data: RunData) -> list[tuple[str, list[str]]]:
    """Start-up scenarios have metrics of their own, and so a table of their own; what a verdict misses comes last."""
    loads = {scenario.id for scenario in data.run.scenarios if scenario.mode.is_load}
    every = dict.fromkeys([*(each.id for each in data.run.scenarios), *(each.scenario_id for each in data.verdicts)])
    kinds = [("Synthesis", [i for i in every if i not in loads]), ("Start-up", [i for i in every if i in loads])]
    return [(name, members) for name, members in kinds if members]


def _matrix(
    name: str,
    metrics: list[str],
    members: list[Label],
    verdicts: Mapping[Key, Verdict],
    summaries: Mapping[Key, Summary],
    *,
    folded: bool,
) -> Matrix:
    scales = {
        metric: scale(metric, [found.median for each in members if (found := summaries.get((each.id, metric)))])
        for metric in metrics
    }
    return Matrix(
        name=name,
        folded=folded,
        columns=tuple(
            Column(title=metric_of(metric).title, unit=scales[metric].unit, anchor=metric) for metric in metrics
        ),
        rows=tuple(
            MatrixRow(
                label=each,
                cells=tuple(
                    _cell(metric, verdicts.get((each.id, metric)), summaries.get((each.id, metric)), scales[metric])
                    for metric in metrics
                ),
            )
            for each in members
        ),
    )


def _cell(metric: str, verdict: Verdict | None, summary: Summary | None, on: Scale) -> Cell:
    value = summary.median if summary else None
    title = metric_of(metric).title
    if verdict is None:
        why = (summary.reason if summary else "") or ("not judged" if value is not None else "not measured here")
        return Cell(
            css="bare",
            glyph="",
            word="",
            value=on.bare(value),
            change="",
            column=f"{title}, {on.unit}" if on.unit else title,
            title=why,
            sort="" if value is None else f"{value:.9g}",
        )
    words = VERDICT_WORDS[verdict.kind]
    change = percent(value_change(metric, verdict.change.point)) if verdict.change else ""
    return Cell(
        css=words.css,
        glyph=words.glyph,
        word=words.word,
        value=on.bare(value),
        change=change,
        column=f"{title}, {on.unit}" if on.unit else title,
        title=verdict.reason or words.meaning,
        sort="" if value is None else f"{value:.9g}",
    )


_TARGET_WORDS = {
    TargetKind.MISSED: ("✕", "missed", "worse"),
    TargetKind.UNKNOWN: ("?", "unknown", "unclear"),
    TargetKind.MET: ("✓", "met", "better"),
}


def targets(data: RunData) -> tuple[TargetLine, ...]:
    """Missed ones first."""
    named = names_of(data)
    order = list(_TARGET_WORDS)
    return tuple(
        _target(target, named.of(target.scenario_id))
        for target in sorted(data.targets, key=lambda target: order.index(target.kind))
    )


def _target(target: TargetResult, name: Label) -> TargetLine:
    glyph, word, css = _TARGET_WORDS[target.kind]
    metric = metric_of(target.metric)
    on = scale(target.metric, [target.limit])
    return TargetLine(
        label=name,
        metric=metric.title,
        limit=f"{'under' if metric.lower_is_better else 'over'} {_trimmed(target.limit, on)}",
        observed=on.full(target.observed.value) if target.observed.known else "unknown",
        css=css,
        glyph=glyph,
        word=word,
        reason=target.reason or target.observed.reason,
    )


def _trimmed(limit: float, on: Scale) -> str:
    """A limit is somebody's round number, and is written like one."""
    text = number(limit * on.factor, 3).rstrip("0").rstrip(".")
    return f"{text}\u202f{on.unit}" if on.unit else text
