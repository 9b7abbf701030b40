"""The matrix of a run, scenario × metric: every verdict and every figure, as finished strings."""

from collections.abc import Mapping
from dataclasses import dataclass

from harness.records.run import RunData
from harness.records.verdict import Summary, Verdict
from reports.naming import Key, Label, names_of
from reports.words import (
    VERDICT_WORDS,
    Scale,
    in_order,
    metric_of,
    percent,
    scale,
    value_change,
)

COLUMNS = 8
"""Metrics side by side in one matrix; a ninth opens another."""


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
