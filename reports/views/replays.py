"""The pairs of a run: what was measured again together with the accepted reference."""

from dataclasses import dataclass

from harness.core.records.run import Concluded
from harness.core.records.verdict import REPLAYED, Verdict
from reports.text.format import VERDICT_WORDS, VerdictWord, change_words, metric_of
from reports.text.naming import Label, Names


@dataclass(frozen=True, slots=True, kw_only=True)
class PairLine:
    """One metric of one scenario: its change with the interval, and the number of pairs and launches."""

    label: Label
    metric: str
    word: VerdictWord
    change: str
    interval: str
    pairs: str
    launches: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ReplayView:
    """The pairs that one replay measured. `run_id` is its own run, `differences` is what changed under test."""

    run_id: str
    differences: str
    lines: tuple[PairLine, ...]


def replays(data: Concluded, named: Names) -> tuple[ReplayView, ...]:
    """The replays of a run, in the order of its verdicts."""
    found: dict[str, list[Verdict]] = {}
    for verdict in data.verdicts:
        if verdict.reference.startswith(REPLAYED):
            found.setdefault(verdict.reference.removeprefix(REPLAYED), []).append(verdict)
    return tuple(
        ReplayView(
            run_id=run_id,
            differences=verdicts[0].changed,
            lines=tuple(_line(each, named) for each in verdicts),
        )
        for run_id, verdicts in found.items()
    )


def _line(verdict: Verdict, named: Names) -> PairLine:
    change = verdict.change
    words = change_words(verdict.metric, change) if change else None
    return PairLine(
        label=named.of(verdict.scenario_id),
        metric=metric_of(verdict.metric).title,
        word=VERDICT_WORDS[verdict.shown_as],
        change=words.point if words else "–",
        interval=f"{words.interval} at {words.level}" if words else "–",
        pairs=str(change.n) if change else "–",
        launches=str(change.launches) if change else "–",
    )
