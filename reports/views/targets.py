"""The results of a run's targets, as formatted strings."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from markupsafe import Markup

from harness.core.comma_lists import listed
from harness.core.records.run import Concluded
from harness.core.records.verdict import TargetKind, TargetResult
from reports.charts.svg import escape
from reports.text.format import Scale, count, metric_of, number, scale
from reports.text.naming import Label, Names


@dataclass(frozen=True, slots=True, kw_only=True)
class TargetLine:
    """A target of a scenario. `cells` is its HTML in one string, because a page can have hundreds of lines."""

    label: Label
    metric: str
    limit: str
    observed: str
    glyph: str
    reason: str
    cells: Markup


@dataclass(frozen=True, slots=True, kw_only=True)
class TargetTally:
    """A target with the results of its scenarios. `worst` is the worst observed value and its scenario."""

    metric: str
    limit: str
    css: str
    glyph: str
    counts: str
    worst: str


_TARGET_WORDS = {
    TargetKind.MISSED: ("✕", "missed", "worse"),
    TargetKind.UNMET: ("!", "not met", "unclear"),
    TargetKind.UNKNOWN: ("?", "unknown", "unclear"),
    TargetKind.MET: ("✓", "met", "better"),
}

OPEN = (TargetKind.MISSED, TargetKind.UNMET, TargetKind.UNKNOWN)
"""The results that need a reviewer's attention."""


def targets(data: Concluded, named: Names, *, kinds: Sequence[TargetKind]) -> tuple[TargetLine, ...]:
    """The targets with these results, in the order of `kinds`. All targets of a metric share one scale."""
    figures: dict[str, list[float | None]] = {}
    for target in data.targets:
        figures.setdefault(target.metric, []).extend((target.limit, target.observed.value))
    scales = {metric: scale(metric, values) for metric, values in figures.items()}
    return tuple(
        _target(target, named.of(target.scenario_id), scales[target.metric])
        for kind in kinds
        for target in data.targets
        if target.kind is kind
    )


def tallies(data: Concluded, named: Names) -> tuple[TargetTally, ...]:
    """Each target once, with the number of scenarios that missed it. Missed targets come first."""
    by_target: dict[tuple[str, float], list[TargetResult]] = {}
    for target in data.targets:
        by_target.setdefault((target.metric, target.limit), []).append(target)
    ordered = sorted(by_target.values(), key=lambda those: min(map(_urgency, those)))
    return tuple(_tally(those, named) for those in ordered)


def _urgency(target: TargetResult) -> int:
    return list(_TARGET_WORDS).index(target.kind)


def _tally(those: Sequence[TargetResult], named: Names) -> TargetTally:
    first = those[0]
    metric = metric_of(first.metric)
    kinds = Counter(target.kind for target in those)
    urgent = min(those, key=_urgency).kind
    on = scale(first.metric, [first.limit, *(target.observed.value for target in those)])
    seen = {target.scenario_id: target.observed.value for target in those if target.observed.value is not None}
    worst = ""
    if seen:
        scenario_id, value = (max if metric.lower_is_better else min)(seen.items(), key=lambda item: item[1])
        worst = f"{on.full(value)}: {named.of(scenario_id).full}"
    parts = [f"{kinds[kind]} {_TARGET_WORDS[kind][1]}" for kind in _TARGET_WORDS if kinds[kind]]
    glyph, _, css = _TARGET_WORDS[urgent]
    return TargetTally(
        metric=metric.title, limit=_limit(first, on), css=css, glyph=glyph, counts=", ".join(parts), worst=worst
    )


def targets_sentence(data: Concluded) -> str:
    """A sentence with the numbers of targets that were met, missed and unknown."""
    tally = Counter(target.kind for target in data.targets)
    if not tally:
        return "No target applies to this run."
    parts = [f"{tally[kind]} {_TARGET_WORDS[kind][1]}" for kind in OPEN if tally[kind]]
    if not parts:
        return f"All {count(tally.total(), 'target')} met."
    return f"Of {count(tally.total(), 'target')}, {listed(parts)}, and {tally[TargetKind.MET]} met."


def _target(target: TargetResult, name: Label, on: Scale) -> TargetLine:
    glyph, word, css = _TARGET_WORDS[target.kind]
    metric = metric_of(target.metric)
    title, reason = metric.title, target.reason or target.observed.reason
    limit = _limit(target, on)
    observed = on.full(target.observed.value) if target.observed.known else "unknown"
    why = f' <span class="quiet">{escape(reason)}</span>' if reason else ""
    cells = (
        f'<td role="cell" data-label="Figure">{escape(title)}</td><td role="cell" data-label="Target">{limit}</td>'
        f'<td role="cell" data-label="Observed">{observed}</td>'
        f'<td role="cell" data-label="Result"><span class="v-{css}">{glyph} {word}</span>{why}</td>'
    )
    return TargetLine(
        label=name,
        metric=title,
        limit=limit,
        observed=observed,
        glyph=glyph,
        reason=reason,
        cells=Markup(cells),  # noqa: S704 - numbers, words of ours and escaped texts
    )


def _limit(target: TargetResult, on: Scale) -> str:
    return f"{'under' if metric_of(target.metric).lower_is_better else 'over'} {_trimmed(target.limit, on)}"


def _trimmed(limit: float, on: Scale) -> str:
    """A limit as text, without trailing zeros: limits are round numbers."""
    text = number(limit * on.factor, 3).rstrip("0").rstrip(".")
    return f"{text}\u202f{on.unit}" if on.unit else text
