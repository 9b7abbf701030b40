"""The targets of a run: what a listener is owed, as finished strings."""

from collections.abc import Sequence
from dataclasses import dataclass

from harness.records.run import RunData
from harness.records.verdict import TargetKind, TargetResult
from reports.naming import Label, Names
from reports.words import Scale, count, listed, metric_of, number, scale


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


_TARGET_WORDS = {
    TargetKind.MISSED: ("✕", "missed", "worse"),
    TargetKind.UNKNOWN: ("?", "unknown", "unclear"),
    TargetKind.MET: ("✓", "met", "better"),
}


def targets(data: RunData, named: Names) -> tuple[TargetLine, ...]:
    """Missed ones first."""
    order = list(_TARGET_WORDS)
    figures: dict[str, list[float | None]] = {}
    for target in data.targets:
        figures.setdefault(target.metric, []).extend((target.limit, target.observed.value))
    scales = {metric: scale(metric, values) for metric, values in figures.items()}
    return tuple(
        _target(target, named.of(target.scenario_id), scales[target.metric])
        for target in sorted(data.targets, key=lambda target: order.index(target.kind))
    )


def targets_sentence(lines: Sequence[TargetLine]) -> str:
    """How many targets were met, missed, unknown."""
    if not lines:
        return "No target applies to this run."
    missed, unknown = (sum(line.word == word for line in lines) for word in ("missed", "unknown"))
    if not missed and not unknown:
        return f"All {count(len(lines), 'target')} met."
    parts = [f"{missed} missed"] if missed else []
    parts += [f"{unknown} unknown"] if unknown else []
    return f"Of {count(len(lines), 'target')}, {listed(parts)}, and {len(lines) - missed - unknown} met."


def _target(target: TargetResult, name: Label, on: Scale) -> TargetLine:
    glyph, word, css = _TARGET_WORDS[target.kind]
    metric = metric_of(target.metric)
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
