"""The targets of a run: what a listener is owed, as finished strings."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from markupsafe import Markup

from harness.records.run import Concluded
from harness.records.verdict import TargetKind, TargetResult
from reports.marks import escape
from reports.naming import Label, Names
from reports.words import Scale, count, listed, metric_of, number, scale


@dataclass(frozen=True, slots=True, kw_only=True)
class TargetLine:
    """A target of a scenario. `cells` are the same in one finished piece, because a page can have hundreds of lines."""

    label: Label
    metric: str
    limit: str
    observed: str
    glyph: str
    reason: str
    cells: Markup


_TARGET_WORDS = {
    TargetKind.MISSED: ("✕", "missed", "worse"),
    TargetKind.UNKNOWN: ("?", "unknown", "unclear"),
    TargetKind.MET: ("✓", "met", "better"),
}

OPEN = (TargetKind.MISSED, TargetKind.UNKNOWN)
"""What a reviewer must look at."""


def targets(data: Concluded, named: Names, *, kinds: Sequence[TargetKind]) -> tuple[TargetLine, ...]:
    """The targets of these kinds, in the order of `kinds`; the scales are those of all targets of a metric."""
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


def targets_sentence(data: Concluded) -> str:
    """How many targets were met, missed, unknown."""
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
    limit = f"{'under' if metric.lower_is_better else 'over'} {_trimmed(target.limit, on)}"
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


def _trimmed(limit: float, on: Scale) -> str:
    """A limit is somebody's round number, and is written like one."""
    text = number(limit * on.factor, 3).rstrip("0").rstrip(".")
    return f"{text}\u202f{on.unit}" if on.unit else text
