"""The matrix of a run, scenario × metric, with every verdict and value as formatted strings."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache

from markupsafe import Markup

from harness.analysis.messages import leniency
from harness.core.records.run import Concluded
from harness.core.records.verdict import Shown, Verdict
from harness.metrics.metric import Direction
from reports.charts.svg import escape
from reports.text.format import UNJUDGED, VERDICT_WORDS, Scale, change_of, in_order, metric_of, percent, scale
from reports.text.naming import Key, Label, Names

COLUMNS = 8
"""The maximum number of metrics in one matrix; further ones get another matrix."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MatrixRow:
    """A scenario. Its cells are one string of HTML, because a site has half a million cells."""

    label: Label
    cells: Markup


@dataclass(frozen=True, slots=True, kw_only=True)
class Column:
    """A metric in the head of a matrix."""

    title: str
    unit: str
    label: Markup
    """Title and unit, for screens that are too narrow for the head."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Matrix:
    """Scenario × metric. `name` distinguishes several matrices; a `folded` one opens on demand."""

    name: str
    folded: bool
    columns: tuple[Column, ...]
    rows: tuple[MatrixRow, ...]


def matrices(data: Concluded, named: Names, *, marks: Mapping[Key, Markup] | None = None) -> tuple[Matrix, ...]:
    """Scenario × metric, in groups that fit a laptop's width: metrics with verdicts, then (folded) the others.

    A metric without any value or verdict has no column; the page lists it as not measured. `marks` are small
    drawings for the cells. `named` are the run's names.
    """
    cells = _Cells(
        verdicts={(each.scenario_id, each.metric): each for each in data.verdicts},
        medians={(each.scenario_id, each.metric): each.median for each in data.summaries if each.median is not None},
        marks=marks or {},
        references=_references(data),
    )
    tables = []
    for kind, members in _by_kind(data, named):
        ours = set(members)
        judged = in_order({metric for scenario_id, metric in cells.verdicts if scenario_id in ours})
        others = {metric for scenario_id, metric in cells.medians if scenario_id in ours}.difference(judged)
        rows = [named.of(scenario_id) for scenario_id in members]
        for metrics, folded in ((judged, False), (in_order(others), True)):
            for start in range(0, len(metrics), COLUMNS):
                some = metrics[start : start + COLUMNS]
                tables.append(_matrix(kind, some, rows, cells, folded=folded))
    return tuple(tables)


def _references(data: Concluded) -> frozenset[Key]:
    """The (scenario, metric) keys that are references of other arms, as in a duel, and have no verdict."""
    held_against = {each.reference for each in data.verdicts}
    sides = [each for each in data.run.scenarios if each.arm.id in held_against]
    if not sides:  # most runs are compared with a baseline
        return frozenset()
    against = {(each.reference, each.metric) for each in data.verdicts}
    judged = {(each.scenario_id, each.metric) for each in data.verdicts}
    return frozenset((side.id, metric) for side in sides for arm, metric in against if arm == side.arm.id) - judged


def _by_kind(data: Concluded, named: Names) -> list[tuple[str, list[str]]]:
    """Table name → scenario ids. Start-up scenarios have other metrics, so they have another table.

    Scenarios that only a verdict names come last.
    """
    every = dict.fromkeys([*named.labels, *(each.scenario_id for each in data.verdicts)])
    starts = named.starts
    kinds = [("Synthesis", [i for i in every if i not in starts]), ("Start-up", [i for i in every if i in starts])]
    return [(name, members) for name, members in kinds if members]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Cells:
    """The data of the cells of a run's matrices."""

    verdicts: Mapping[Key, Verdict]
    medians: Mapping[Key, float]
    marks: Mapping[Key, Markup]
    references: frozenset[Key]

    def scale(self, metric: str, members: Sequence[Label]) -> Scale:
        return scale(metric, [self.medians.get((each.id, metric)) for each in members])

    def column(self, metric: str, members: Sequence[Label], *, on: Scale, head: Markup) -> Iterator[str]:
        """The cells of a metric under `head`, one per scenario. The script sorts and filters by their attributes."""
        sign = -1.0 if metric_of(metric).direction is Direction.HIGHER else 1.0
        frames = _frames(head)
        for each in members:
            key = (each.id, metric)
            verdict, value, mark = self.verdicts.get(key), self.medians.get(key), self.marks.get(key, "")
            frame = frames[verdict.shown_as if verdict else None]
            sort = "" if value is None else f"{value:.9g}"
            reason = "; ".join(filter(None, (verdict.reason, leniency(verdict)))) if verdict else ""
            title = f' title="{escape(reason)}"' if reason else ""
            shown_change = _REFERENCE if key in self.references else frame.shown_change
            if verdict and verdict.change:
                shown_change = f"{frame.glyph}{percent(change_of(sign * verdict.change.point))}</span>"
            yield f"{frame.start}{sort}{frame.verdict}{title}><b>{on.bare(value)}</b>{shown_change}{mark}</td>"


@dataclass(frozen=True, slots=True, kw_only=True)
class _Frame:
    """The common HTML of all cells with one metric and one kind of verdict, in its order."""

    start: str
    verdict: str
    glyph: str
    shown_change: str


@lru_cache(maxsize=256)  # successive runs have the same metrics
def _frames(head: Markup) -> Mapping[Shown | None, _Frame]:
    return {kind: _frame(kind, head) for kind in (None, *VERDICT_WORDS)}


def _frame(kind: Shown | None, head: Markup) -> _Frame:
    words = VERDICT_WORDS[kind] if kind else UNJUDGED
    glyph = f"<span>{words.glyph} "
    return _Frame(
        start=f'<td role="cell" class="v-{words.css}" data-label="{head}" data-sort="',
        verdict=f'" data-verdict="{words.word}"',
        glyph=glyph,
        shown_change=f"{glyph}{words.word}</span>" if kind else "",
    )


_REFERENCE = "<span>reference</span>"


def _matrix(name: str, metrics: list[str], members: list[Label], cells: _Cells, *, folded: bool) -> Matrix:
    scales = {metric: cells.scale(metric, members) for metric in metrics}
    heads = {metric: _column(metric, scales[metric]) for metric in metrics}
    columns = [cells.column(metric, members, on=scales[metric], head=column.label) for metric, column in heads.items()]
    return Matrix(
        name=name,
        folded=folded,
        columns=tuple(heads.values()),
        rows=tuple(
            MatrixRow(label=label, cells=Markup("".join(row)))  # noqa: S704 - numbers, words of ours, escaped texts
            for label, *row in zip(members, *columns, strict=True)
        ),
    )


def _column(metric: str, on: Scale) -> Column:
    title = metric_of(metric).title
    return Column(title=title, unit=on.unit, label=escape(f"{title}, {on.unit}" if on.unit else title))
