"""The matrix of a run, scenario × metric: every verdict and every figure, as finished strings."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from markupsafe import Markup

from harness.records.run import RunData
from harness.records.verdict import Summary, Verdict
from reports.marks import escape
from reports.naming import Key, Label, Names
from reports.words import (
    VERDICT_WORDS,
    Scale,
    VerdictWord,
    in_order,
    metric_of,
    percent,
    scale,
    value_change,
)

COLUMNS = 8
"""Metrics side by side in one matrix; a ninth opens another."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MatrixRow:
    """A scenario. Its cells are one finished piece, because a site has half a million of them."""

    label: Label
    cells: Markup


@dataclass(frozen=True, slots=True, kw_only=True)
class Column:
    """A metric at the head of a matrix."""

    title: str
    unit: str
    label: Markup
    """Both, for a screen that has no room for the head."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Matrix:
    """Scenario × metric; `name` tells several apart, `folded` ones open on demand."""

    name: str
    folded: bool
    columns: tuple[Column, ...]
    rows: tuple[MatrixRow, ...]


def matrices(data: RunData, named: Names, *, marks: Mapping[Key, Markup] | None = None) -> tuple[Matrix, ...]:
    """Scenario × metric, in groups that fit a laptop's width: what was judged, then (folded) what is only known.

    A metric without any figure or verdict has no column; the page lists it under what was not measured. `marks` are
    small drawings for the cells.
    """
    verdicts = {(each.scenario_id, each.metric): each for each in data.verdicts}
    summaries = {(each.scenario_id, each.metric): each for each in data.summaries if each.median is not None}
    cells = _Cells(verdicts=verdicts, summaries=summaries, marks=marks or {})
    tables = []
    for kind, members in _by_kind(data):
        ours = set(members)
        judged = in_order({metric for scenario_id, metric in verdicts if scenario_id in ours})
        others = {metric for scenario_id, metric in summaries if scenario_id in ours}.difference(judged)
        rows = [named.of(scenario_id) for scenario_id in members]
        for metrics, folded in ((judged, False), (in_order(others), True)):
            for start in range(0, len(metrics), COLUMNS):
                some = metrics[start : start + COLUMNS]
                tables.append(_matrix(kind, some, rows, cells, folded=folded))
    return tuple(tables)


def _by_kind(data: RunData) -> list[tuple[str, list[str]]]:
    """Start-up scenarios have metrics of their own, and so a table of their own; what a verdict misses comes last."""
    loads = {scenario.id for scenario in data.run.scenarios if scenario.mode.is_load}
    every = dict.fromkeys([*(each.id for each in data.run.scenarios), *(each.scenario_id for each in data.verdicts)])
    kinds = [("Synthesis", [i for i in every if i not in loads]), ("Start-up", [i for i in every if i in loads])]
    return [(name, members) for name, members in kinds if members]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Cells:
    """What the cells of a run's matrices are made of."""

    verdicts: Mapping[Key, Verdict]
    summaries: Mapping[Key, Summary]
    marks: Mapping[Key, Markup]

    def scale(self, metric: str, members: list[Label]) -> Scale:
        """One scale for a column."""
        return scale(
            metric, [found.median for each in members if (found := self.summaries.get((each.id, metric))) is not None]
        )

    def row(self, scenario_id: str, columns: Sequence[tuple[str, Scale, Markup]]) -> Markup:
        """The cells of a scenario under `columns`: metric, scale, head."""
        cells = [self._cell((scenario_id, metric), on, head) for metric, on, head in columns]
        return Markup("".join(cells))  # noqa: S704 - numbers, words of ours and escaped texts

    def _cell(self, key: Key, on: Scale, head: Markup) -> str:
        """A table cell under `head` with whatever is known of it; the script sorts and filters by its attributes."""
        verdict, summary = self.verdicts.get(key), self.summaries.get(key)
        value = summary.median if summary else None
        words = VERDICT_WORDS[verdict.kind] if verdict else _UNJUDGED
        change = percent(value_change(key[1], verdict.change.point)) if verdict and verdict.change else words.word
        sort = "" if value is None else f"{value:.9g}"
        title = f' title="{escape(verdict.reason)}"' if verdict and verdict.reason else ""
        said = f"<span>{words.glyph} {change}</span>" if words.glyph else ""
        return (
            f'<td role="cell" class="v-{words.css}" data-label="{head}" data-sort="{sort}" data-verdict="{words.word}"'
            f"{title}><b>{on.bare(value)}</b>{said}{self.marks.get(key, _NO_MARK)}</td>"
        )


_NO_MARK = Markup("")
_UNJUDGED = VerdictWord(glyph=_NO_MARK, word=_NO_MARK, css=Markup("bare"), meaning=_NO_MARK)


def _matrix(name: str, metrics: list[str], members: list[Label], cells: _Cells, *, folded: bool) -> Matrix:
    scales = {metric: cells.scale(metric, members) for metric in metrics}
    columns = tuple(_column(metric, scales[metric]) for metric in metrics)
    heads = [(metric, scales[metric], column.label) for metric, column in zip(metrics, columns, strict=True)]
    return Matrix(
        name=name,
        folded=folded,
        columns=columns,
        rows=tuple(MatrixRow(label=each, cells=cells.row(each.id, heads)) for each in members),
    )


def _column(metric: str, on: Scale) -> Column:
    title = metric_of(metric).title
    return Column(title=title, unit=on.unit, label=escape(f"{title}, {on.unit}" if on.unit else title))
