"""The regressed, improved and inconclusive metrics by scenario, as formatted strings."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

from markupsafe import Markup

from harness.analysis.messages import leniency, says_little
from harness.core.records.run import Concluded, kind_of
from harness.core.records.verdict import Estimate, Leniency, Shown, Verdict, VerdictKind
from reports.charts.svg import Axis, Range, axis, forest, scale_line
from reports.text.format import (
    VERDICT_WORDS,
    VerdictWord,
    change_of,
    change_words,
    metric_of,
    percent,
    scale,
    sentence,
    typeset,
    value_change,
)
from reports.text.naming import Key, Label, Names

Medians = Mapping[Key, float | None]


@dataclass(frozen=True, slots=True, kw_only=True)
class ChangeLine:
    """One changed metric of a scenario."""

    metric: str
    words: VerdictWord
    value: str
    change: str
    interval: str
    detectable: str
    mark: Markup
    note: str
    waiver: str
    """The waiver of the regression, expired or not; "" if it has none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ChangeGroup:
    """The changed metrics of one scenario, largest change first, with the suspected causes.

    `advice` is the next step, if it is the same for all of them. Otherwise their notes have it.
    """

    label: Label
    lines: tuple[ChangeLine, ...]
    suspects: tuple[str, ...]
    advice: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Changes:
    """All regressed, improved and inconclusive metrics of a run."""

    worse: tuple[ChangeGroup, ...]
    waived: tuple[ChangeGroup, ...]
    informing: tuple[ChangeGroup, ...]
    better: tuple[ChangeGroup, ...]
    unclear: tuple[ChangeGroup, ...]
    axis: Markup

    @property
    def worse_advice(self) -> str:
        """The next step, if it is the same for all regressions; else ""."""
        return _common_advice(self.worse)

    @property
    def unclear_advice(self) -> str:
        """The next step, if it is the same for all inconclusive metrics; else ""."""
        return _common_advice(self.unclear)


def _common_advice(groups: tuple[ChangeGroup, ...]) -> str:
    found = {group.advice for group in groups}
    return found.pop() if len(found) == 1 else ""


def changes(data: Concluded, named: Names) -> Changes:
    """The metrics with the verdicts regressed, improved or inconclusive, by scenario, largest change first."""
    moved = (VerdictKind.REGRESSED, VerdictKind.IMPROVED, VerdictKind.INCONCLUSIVE)
    shown = [_with_own_advice(verdict, data) for verdict in data.verdicts if verdict.kind in moved]
    medians: Medians = {(each.scenario_id, each.metric): each.median for each in data.summaries} if shown else {}
    on = change_axis(shown)

    def groups(kind: Shown) -> tuple[ChangeGroup, ...]:
        by_scenario: dict[str, list[Verdict]] = {}
        for verdict in shown:
            if verdict.shown_as is kind:
                by_scenario.setdefault(verdict.scenario_id, []).append(verdict)
        ordered = sorted(by_scenario.items(), key=lambda item: (-max(map(_size, item[1])), item[0]))
        return tuple(_group(named.of(scenario_id), found, medians, on) for scenario_id, found in ordered)

    return Changes(
        worse=groups(VerdictKind.REGRESSED),
        waived=groups(Leniency.WAIVED),
        informing=groups(Leniency.INFORMS),
        better=groups(VerdictKind.IMPROVED),
        unclear=groups(VerdictKind.INCONCLUSIVE),
        axis=scale_line(on),
    )


def change_axis(verdicts: Iterable[Verdict]) -> Axis:
    """One axis for the intervals of all changes, in ratios to 1. A change beyond −58 % or +138 % is cut at the edge."""
    ends = [
        value_change(each.metric, end)
        for each in verdicts
        if each.change
        for end in (each.change.low, each.change.high)
    ]
    low, high = max(-0.58, min([-0.06, *ends])), min(1.38, max([0.06, *ends]))
    return axis(low - 0.01, high + 0.01, lambda value: percent(value, 0) if value else "0")


def _group(name: Label, verdicts: list[Verdict], medians: Medians, on: Axis) -> ChangeGroup:
    ordered = sorted(verdicts, key=lambda verdict: (-_size(verdict), verdict.metric))
    advised = {verdict.advice for verdict in ordered}
    shared = advised.pop() if len(advised) == 1 else ""
    return ChangeGroup(
        label=name,
        lines=tuple(
            _line(verdict, medians.get((verdict.scenario_id, verdict.metric)), on, note="" if shared else None)
            for verdict in ordered
        ),
        suspects=tuple(dict.fromkeys(typeset(suspect) for verdict in ordered for suspect in verdict.suspects)),
        advice=sentence(shared),
    )


def _with_own_advice(verdict: Verdict, data: Concluded) -> Verdict:
    """The verdict without the next step of a regression in a duel: the suspects, which the report shows."""
    in_duel = kind_of(data.run.selection).compares_arms and verdict.kind is VerdictKind.REGRESSED
    # That of a replay names how to accept it.
    return replace(verdict, advice="") if in_duel and not verdict.accepted else verdict


def _line(verdict: Verdict, value: float | None, on: Axis, *, note: str | None) -> ChangeLine:
    """The line of a verdict. `note` replaces its own advice. The verdict's reason would only repeat the change."""
    words = VERDICT_WORDS[verdict.shown_as]
    title = metric_of(verdict.metric).title
    shown = scale(verdict.metric, [value]).full(value)
    lenient = leniency(verdict)
    notes = (lenient, "" if verdict.change else verdict.reason, verdict.advice if note is None else note)
    detectable = ""
    if verdict.kind is VerdictKind.INCONCLUSIVE and verdict.detectable is not None:
        detectable = percent(change_of(verdict.detectable)).lstrip("+")
    if verdict.change is None:
        mark, point, interval = Markup(""), "", ""
    else:
        change = change_words(verdict.metric, verdict.change)
        point, interval = change.point, change.interval
        mark = forest(
            change_range(verdict.metric, verdict.change),
            on=on,
            tolerance=None if verdict.tolerance is None else change_of(verdict.tolerance),
            css=words.css,
            finding=f"{title} {point}, {'' if says_little(verdict.change) else 'interval '}{interval}",
        )
    return ChangeLine(
        metric=title,
        words=words,
        value=shown,
        change=point,
        interval=interval,
        detectable=detectable,
        mark=mark,
        note=typeset("; ".join(part for part in notes if part)),
        waiver=lenient if verdict.waiver else "",
    )


def change_range(metric: str, change: Estimate) -> Range:
    """A change of a metric with its interval, as ratios to 1."""
    ends = sorted((value_change(metric, change.low), value_change(metric, change.high)))
    return Range(point=value_change(metric, change.point), low=ends[0], high=ends[1])


def _size(verdict: Verdict) -> float:
    return abs(verdict.change.point) if verdict.change else 0.0
