"""The figures of a run: for each metric, every repetition of every scenario and the reference, on one axis."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import accumulate
from statistics import median

from markupsafe import Markup

from harness.analysis.messages import no_interval
from harness.core.records.run import RunData
from harness.core.records.scenario import Scenario
from harness.core.records.verdict import Estimate, Summary, Verdict
from harness.metrics.derive import RunValues
from harness.metrics.registry import lacks_interval
from harness.metrics.values import NO_BLOCK, Values
from reports.charts.svg import Axis, Dot, Range, axis, scale_line, strip
from reports.text.format import (
    UNJUDGED,
    VERDICT_WORDS,
    Scale,
    VerdictWord,
    better,
    count,
    in_order,
    metric_of,
    number,
    percent,
    scale,
    value_change,
)
from reports.text.naming import Key, Label, Names

_LEAST_REACH = 0.05
_MOST_REACH = 0.6
"""A relative axis shows at least ±5 % and at most ±60 %. Values beyond are drawn at its end."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StripRow:
    """One scenario in a figure."""

    label: Label
    words: VerdictWord
    change: str
    value: str
    note: str
    mark: Markup


@dataclass(frozen=True, slots=True, kw_only=True)
class Figure:
    """One metric: its meaning, the finding, an axis, and a row per scenario."""

    anchor: str
    title: str
    meaning: str
    better: str
    finding: str
    axis_title: str
    axis: Markup
    rows: tuple[StripRow, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Row:
    """The values of a scenario, and what they are drawn with. Relative positions are relative to `origin`."""

    scenario: Scenario
    values: Values
    summary: Summary | None
    verdict: Verdict | None
    reference: Estimate | None
    disturbed: frozenset[tuple[int, int]]

    @property
    def origin(self) -> float:
        """The median of the reference; without one, that of the scenario."""
        return self.reference.point if self.reference else median(self.values.flat)


@dataclass(frozen=True, slots=True, kw_only=True)
class OwnStrips:
    """Metrics of one scenario on one axis, each with its title."""

    axis_title: str
    axis: Markup
    rows: tuple[tuple[str, StripRow], ...]


class Distributions:
    """Every repetition of a run with the estimates of the reference, drawn by metric or by scenario."""

    def __init__(self, known: RunValues, named: Names, *, reference: Mapping[Key, Estimate]) -> None:
        data = known.data
        self._known, self._named, self._reference = known, named, reference
        self._judged = {verdict.metric for verdict in data.verdicts}
        self._verdicts = {(each.scenario_id, each.metric): each for each in data.verdicts}
        self._summaries = {(each.scenario_id, each.metric): each for each in data.summaries}
        self._disturbed = _disturbed(data)

    def figures(self, *, most: int | None = None) -> tuple[tuple[Figure, ...], tuple[str, ...]]:
        """A figure for each metric with verdicts and values, in the order of the registry, of at most `most` values.

        Also the titles of the metrics that are left out for that.
        """
        rows: dict[str, list[_Row]] = {}
        for scenario in self._known.data.run.scenarios:
            for metric, row in self._rows(scenario).items():
                rows.setdefault(metric, []).append(row)
        metrics = in_order(rows)
        counts = accumulate(sum(row.values.n for row in rows[metric]) for metric in metrics)
        drawn = sum(most is None or count <= most for count in counts)
        figures = (_figure(metric, rows[metric], self._named) for metric in metrics[:drawn])
        return tuple(figures), tuple(metric_of(metric).title for metric in metrics[drawn:])

    def of_scenario(self, scenario: Scenario) -> tuple[OwnStrips, ...]:
        """The scenario's metrics on few axes: all with relative positions share one, and so do all shares."""
        rows = self._rows(scenario)
        metrics = in_order(rows)
        relative = [metric for metric in metrics if _is_relative(metric, [rows[metric]])]
        shares = [metric for metric in metrics if metric_of(metric).share]
        rest = [[metric] for metric in metrics if metric not in relative and metric not in shares]
        groups = [group for group in (relative, *rest, shares) if group]
        return tuple(self._strips([(metric, rows[metric]) for metric in group]) for group in groups)

    def _rows(self, scenario: Scenario) -> dict[str, _Row]:
        """Metric → its row, for metrics with verdicts and values."""
        scenario_id = scenario.id
        return {
            metric: _Row(
                scenario=scenario,
                values=values,
                summary=self._summaries.get((scenario_id, metric)),
                verdict=self._verdicts.get((scenario_id, metric)),
                reference=self._reference.get((scenario_id, metric)),
                disturbed=self._disturbed.get(scenario_id, frozenset()),
            )
            for metric, values in self._known.of(scenario).items()
            if metric in self._judged and values.n
        }

    def _strips(self, group: Sequence[tuple[str, _Row]]) -> OwnStrips:
        rows = [row for _, row in group]
        first = group[0][0]
        relative, share = _is_relative(first, rows[:1]), metric_of(first).share
        scales = {metric: scale(metric, row.values.flat) for metric, row in group}
        shared = _relative_axis(rows) if relative else _plain_axis(rows, scales[first], share=share)
        title = "Share" if share and len(group) > 1 else metric_of(first).title
        return OwnStrips(
            axis_title=_axis_title(title, rows, scales[first], relative=relative),
            axis=scale_line(shared),
            rows=tuple(
                (
                    metric_of(metric).title,
                    _row(metric, row, self._named.of(row.scenario.id), shared, scales[metric], relative=relative),
                )
                for metric, row in group
            ),
        )


def _disturbed(data: RunData) -> dict[str, frozenset[tuple[int, int]]]:
    found: dict[str, set[tuple[int, int]]] = {}
    for each in data.repetitions:
        if each.disturbance.marks:
            found.setdefault(each.scenario_id, set()).add((each.launch, each.block))
    return {scenario_id: frozenset(places) for scenario_id, places in found.items()}


def _figure(metric: str, rows: Sequence[_Row], named: Names) -> Figure:
    entry = metric_of(metric)
    relative = _is_relative(metric, rows)
    on = scale(metric, [value for row in rows for value in row.values.flat])
    shared = _relative_axis(rows) if relative else _plain_axis(rows, on, share=entry.share)
    return Figure(
        anchor=metric,
        title=entry.title,
        meaning=entry.meaning,
        better=better(metric),
        finding=_finding(metric, rows, named),
        axis_title=_axis_title(entry.title, rows, on, relative=relative),
        axis=scale_line(shared),
        rows=tuple(_row(metric, row, named.of(row.scenario.id), shared, on, relative=relative) for row in rows),
    )


def _is_relative(metric: str, rows: Sequence[_Row]) -> bool:
    """Whether to draw the values as ratios. Ratios of shares mean little, and 0 has none."""
    return not metric_of(metric).share and all(value > 0 for row in rows for value in row.values.flat)


def _axis_title(title: str, rows: Sequence[_Row], on: Scale, *, relative: bool) -> str:
    if relative:
        against = "its reference's median" if any(row.reference for row in rows) else "its own median"
        return f"Each repetition, relative to {against}"
    return f"{title}, {on.unit}" if on.unit else title


def _relative_axis(rows: Sequence[_Row]) -> Axis:
    """An axis of ratios minus 1, wide enough for every interval and for all but the rarest repetitions."""
    lows, highs = [-_LEAST_REACH], [_LEAST_REACH]
    for row in rows:
        places = sorted(value / row.origin - 1 for value in row.values.flat)
        rare = len(places) // 20
        lows.append(places[rare])
        highs.append(places[-1 - rare])
        for estimate in (row.reference, row.summary.interval if row.summary else None):
            if estimate:
                lows.append(estimate.low / row.origin - 1)
                highs.append(estimate.high / row.origin - 1)
    low, high = max(min(lows), -_MOST_REACH), min(max(highs), _MOST_REACH)
    room = 0.03 * (high - low)
    return axis(low - room, high + room, lambda place: percent(place, 0) if place else "0")


def _plain_axis(rows: Sequence[_Row], on: Scale, *, share: bool) -> Axis:
    values = [value for row in rows for value in row.values.flat]
    low = min(0.0, *values)
    high = max(1.0 if share else 0.0, *values)
    room = 0.03 * ((high - low) or 1.0)
    places = 0 if (high - low) * on.factor >= 5 else 2
    return axis(low - room, high + room, lambda place: number(place * on.factor, places))


def _row(metric: str, row: _Row, label: Label, shared: Axis, on: Scale, *, relative: bool) -> StripRow:
    def at(value: float) -> float:
        return value / row.origin - 1 if relative else value

    middle = row.summary.median if row.summary and row.summary.median is not None else median(row.values.flat)
    change = ""
    if row.verdict and row.verdict.change:
        change = percent(value_change(metric, row.verdict.change.point))
    own = row.summary.interval if row.summary else None
    return StripRow(
        label=label,
        words=VERDICT_WORDS[row.verdict.shown_as] if row.verdict else UNJUDGED,
        change=change,
        value=on.full(middle),
        note=_note(row, on),
        mark=strip(
            _dots(row, on, at),
            on=shared,
            lanes=len(row.values.grouped),
            reference=_range(row.reference, at),
            own=_range(own, at),
            finding=_row_finding(row, on, middle),
        ),
    )


def _dots(row: _Row, on: Scale, at: Callable[[float], float]) -> list[Dot]:
    values = row.values
    dots = []
    for lane, (launch, blocks, inner) in enumerate(zip(values.launches, values.blocks, values.grouped, strict=True)):
        for block, value in zip(blocks, inner, strict=True):
            marked = (launch, block) in row.disturbed
            title = f"{on.full(value)} · {_where(launch, block)}{', machine disturbed' if marked else ''}"
            dots.append(Dot(at(value), lane, title, marked))
    return dots


@lru_cache(maxsize=1024)  # every row has the same few dozen
def _where(launch: int, block: int) -> str:
    return f"launch {launch + 1}" if block == NO_BLOCK else f"launch {launch + 1}, block {block + 1}"


def _range(estimate: Estimate | None, at: Callable[[float], float]) -> Range | None:
    if estimate is None:
        return None
    return Range(point=at(estimate.point), low=at(estimate.low), high=at(estimate.high))


def _note(row: _Row, on: Scale) -> str:
    counts = row.values.counts
    notes = []
    if row.reference:
        notes.append(f"reference {on.full(row.reference.point)}")
    failed = counts.attempted - counts.valid
    if failed:
        notes.append(f"{failed} of {counts.attempted} not valid")
    if counts.disturbed:
        notes.append(f"{counts.disturbed} disturbed")
    if row.summary and lacks_interval(row.summary):
        notes.append(no_interval(row.summary.n))
    return "; ".join(notes)


def _row_finding(row: _Row, on: Scale, middle: float) -> str:
    values = row.values.flat
    spread = f", from {on.full(min(values))} to {on.full(max(values))}" if len(values) > 1 else ""
    against = f"; reference {on.full(row.reference.point)}" if row.reference else ""
    launches = count(len(row.values.grouped), "launch", "launches")
    return f"{count(len(values), 'value')} in {launches}: median {on.full(middle)}{spread}{against}"


def _finding(metric: str, rows: Sequence[_Row], named: Names) -> str:
    """The finding of a figure in a sentence: the largest change, or the range of the medians."""
    moved = [row for row in rows if row.verdict and row.verdict.change and row.verdict.kind.value in _MOVED]
    if moved:
        most = max(moved, key=lambda row: abs(row.verdict.change.point) if row.verdict and row.verdict.change else 0.0)
        change = most.verdict.change if most.verdict else None
        by = percent(value_change(metric, change.point)) if change else ""
        return f"{len(moved)} of {len(rows)} changed; most of all {named.of(most.scenario.id).full}, by {by}."
    medians = sorted(median(row.values.flat) for row in rows)
    on = scale(metric, medians)
    if len(medians) == 1:
        return f"The median is {on.full(medians[0])}."
    return f"Medians from {on.full(medians[0])} to {on.full(medians[-1])} over {count(len(rows), 'scenario')}."


_MOVED = ("regressed", "improved")
