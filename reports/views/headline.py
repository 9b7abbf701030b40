"""The result of a run in one sentence."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

from harness.analysis.against_reference import acceptance
from harness.analysis.messages import leniency
from harness.core.records.run import Concluded, RunOutline, RunRecord, RunStatus
from harness.core.records.scenario import UNCOMMITTED
from harness.core.records.verdict import SPEECH_VERDICT, Leniency, Shown, TargetKind, Verdict, VerdictKind
from reports.text.format import VERDICT_WORDS, VerdictWord, change_words, count, metric_of, sentence
from reports.text.naming import Names, names_of

_COMPARED = (
    VerdictKind.REGRESSED,
    *Leniency,
    VerdictKind.IMPROVED,
    VerdictKind.UNCHANGED,
    VerdictKind.INCONCLUSIVE,
)
_Kinds = Mapping[Shown, int]
"""What is shown of verdicts → how many there are."""
_NOTHING = (VERDICT_WORDS[VerdictKind.FAILED].css, VERDICT_WORDS[VerdictKind.FAILED].glyph)
_STATUS_WORDS = {
    RunStatus.RUNNING: "This run is still going on; what has finished is shown.",
    RunStatus.PARTIAL: "This run ended before it was done: its budget was spent.",
    RunStatus.INTERRUPTED: "This run was interrupted; what had finished is shown.",
    RunStatus.FAILED: "Some of this run could not be measured validly.",
    RunStatus.COMPLETE: "",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Tally:
    """The number of verdicts of a kind."""

    words: VerdictWord
    count: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Headline:
    """The sentence, its CSS class, and supporting details."""

    css: str
    glyph: str
    sentence: str
    detail: str
    status: str
    tallies: tuple[Tally, ...]


def headline(data: Concluded, named: Names | None = None) -> Headline:
    """The result of a run in one sentence, with its largest change."""
    kinds = Counter(verdict.shown_as for verdict in data.verdicts if verdict.metric != SPEECH_VERDICT)
    speech = Counter(verdict.shown_as for verdict in data.verdicts if verdict.metric == SPEECH_VERDICT)
    missed = sum(target.kind is TargetKind.MISSED for target in data.targets)
    broken: dict[Shown, int] = {VerdictKind.FAILED: speech[VerdictKind.FAILED]}
    word = (
        _word({**kinds, **broken} if broken[VerdictKind.FAILED] else kinds, missed)
        if kinds or _measured(data)
        else _NOTHING
    )
    all_kinds = kinds + speech
    # The reason of a complete run is not worth a headline. The table of facts has it.
    complete = data.run.status is RunStatus.COMPLETE
    ended = "" if complete else sentence(data.run.reason) or _STATUS_WORDS[data.run.status]
    return Headline(
        css=word[0],
        glyph=word[1],
        sentence=" ".join(
            part
            for part in (
                verdict_sentence(kinds, missed=missed) if kinds else _unjudged(data, missed),
                _speech_sentence(speech),
            )
            if part
        ),
        detail=_detail(data, named or names_of(data)),
        status=" ".join(part for part in (data.run.replica_note, ended, uncommitted(data.run)) if part),
        tallies=tuple(
            Tally(words=words, count=str(all_kinds[kind])) for kind, words in VERDICT_WORDS.items() if all_kinds[kind]
        ),
    )


def _speech_sentence(speech: _Kinds) -> str:
    """How the speech of the compared scenarios compares with their originals'; "" if none was judged."""
    total = sum(speech.values())
    parts = [
        f"{words} {speech[kind]}"
        for kind, words in (
            (VerdictKind.FAILED, "broken in"),
            (VerdictKind.DIFFERENT, "different from its original's in"),
        )
        if speech.get(kind)
    ]
    if not parts:
        return f"The speech of {count(total, 'compared scenario')} is equivalent to its original's." if total else ""
    return f"The speech is {' and '.join(parts)} of {count(total, 'compared scenario')}."


def uncommitted(run: RunRecord) -> str:
    """A note that uncommitted changes were measured; "" if the work tree was clean or was not measured."""
    ours = any(
        not (arm.revision or arm.url) and (not arm.source or UNCOMMITTED in arm.source)
        for arm in (scenario.arm for scenario in run.scenarios)
    )
    if not (run.subject.dirty and ours):
        return ""
    return f"The work tree was measured as it is: with uncommitted changes on revision {run.subject.revision[:12]}."


def _measured(data: Concluded) -> int:
    return sum(summary.n > 0 for summary in data.summaries)


def _stored_blocks(data: Concluded) -> str:
    """How much a run without a summary has stored; "" if nothing, or if it was evaluated."""
    if data.summaries or data.run.status is not RunStatus.INTERRUPTED:
        return ""
    tries = sum(data.tries.values()) if isinstance(data, RunOutline) else len(data.repetitions)
    return f"{count(tries, 'stored repetition')}" if tries else ""


def _unjudged(data: Concluded, missed: int) -> str:
    """The sentence of a run without verdicts, such as a load or a run that lost every scenario."""
    figures = _measured(data)
    if not figures and (blocks := _stored_blocks(data)):
        # The process of the run was killed, so nobody has evaluated what it had measured.
        return f"Nothing was evaluated: {blocks}; `kokoro-bench runs export {data.run.id}` writes what they hold."
    if not figures:
        return "Nothing was measured."
    were = "was" if figures == 1 else "were"
    return f"{count(figures, 'figure')} {were} measured, none is judged{_missed_clause(missed)}."


def verdict_sentence(kinds: _Kinds, *, missed: int) -> str:
    """The verdict of a whole run: the most urgent results first, and the number of compared metrics."""
    tally: Counter[Shown] = Counter(kinds)
    total = tally.total()
    compared = sum(tally[kind] for kind in _COMPARED)
    lost = tally[VerdictKind.FAILED] + tally[VerdictKind.MISSING]
    if not total:
        return f"Nothing was judged{_missed_clause(missed)}."
    if lost == total:
        return f"Nothing could be measured validly: {count(lost, 'figure')} failed{_missed_clause(missed)}."
    if settled := tally[VerdictKind.SAME_SUBJECT] if not compared else 0:
        lost_clause = f"; {lost} could not be measured" if lost else ""
        figures = f"{count(settled, 'figure')} {'is' if settled == 1 else 'are'} recorded"
        return f"No change is in question: {figures}{lost_clause}{_missed_clause(missed)}."
    if not compared:
        open_ = tally[VerdictKind.NO_BASELINE]
        why = "no baseline exists yet" if open_ else "the reference is not comparable"
        lost_clause = f", {lost} could not be measured" if lost else ""
        of = f"{total - lost} of {count(total, 'figure')}" if lost else f"any of {count(total, 'figure')}"
        return f"Nothing to compare with: {why} for {of}{lost_clause}{_missed_clause(missed)}."
    lost_clause = f"; {lost} could not be measured" if lost else ""
    settled = tally[VerdictKind.SAME_SUBJECT]
    settled_clause = f"; of {count(settled, 'figure')} the subject did not change" if settled else ""
    return f"{_moved(tally, compared)}{settled_clause}{lost_clause}{_missed_clause(missed)}."


def _moved(tally: _Kinds, compared: int) -> str:
    """The changes among the compared metrics. An inconclusive metric does not show that nothing got worse."""
    worse, better = tally[VerdictKind.REGRESSED], tally[VerdictKind.IMPROVED]
    same, unclear = tally[VerdictKind.UNCHANGED], tally[VerdictKind.INCONCLUSIVE]
    of = count(compared, "figure")
    lenient = [(tally[Leniency.WAIVED], "waived"), (tally[Leniency.INFORMS], "for information")]
    if every := worse + sum(number for number, _ in lenient):
        words = [text if number == every else f"{number} {text}" for number, text in lenient if number]
        how = f" ({', '.join(words)})" if words else ""
        return f"{every} of {of} got worse{how}" + (f" and {better} got better" if better else "")
    unclear_clause = f", {unclear} {'is' if unclear == 1 else 'are'} unclear" if unclear else ""
    if better:
        return f"{better} of {of} got better{unclear_clause or ', nothing got worse'}"
    if not unclear:
        return f"Nothing got worse: {_all(same)} shown to be unchanged"
    if not same:
        return f"No change is shown, nor its absence: {_all(unclear)} unclear"
    return f"No change is shown: {same} of {of} {'is' if same == 1 else 'are'} unchanged{unclear_clause}"


def _all(figures: int) -> str:
    return "the one figure is" if figures == 1 else f"all {count(figures, 'figure')} are"


def most_changed(data: Concluded) -> Verdict | None:
    """The largest regression, preferably one that fails; without regressions, the largest improvement; or None."""
    for kind in (VerdictKind.REGRESSED, *Leniency, VerdictKind.IMPROVED):
        found = [verdict for verdict in data.verdicts if verdict.shown_as is kind and verdict.change is not None]
        if found:
            return max(found, key=lambda verdict: abs(verdict.change.point) if verdict.change else 0.0)
    return None


def _detail(data: Concluded, named: Names) -> str:
    most = most_changed(data)
    if most is None or most.change is None:
        return _accepted(data) or _next_step(data)
    where = named.of(most.scenario_id).full
    words = change_words(most.metric, most.change)
    size = f"{words.point} (interval {words.interval} at {words.level})"
    lenient = leniency(most)
    return f"Most of all: {metric_of(most.metric).title} of {where}, {size}{f'; {lenient}' if lenient else ''}."


def _accepted(data: Concluded) -> str:
    """Since which acceptance nothing under test changed; "" if something did, or if nothing was accepted."""
    same = [each for each in data.verdicts if each.kind is VerdictKind.SAME_SUBJECT]
    found = {acceptance(each.accepted_on, each.accepted) for each in same}
    return f"Nothing under test changed since {found.pop()}." if len(found) == 1 else ""


def _next_step(data: Concluded) -> str:
    """The next step if nothing could be compared: the gate's advice, if all verdicts agree on it.

    An interrupted or failed run cannot become a baseline, so the advice is left out.
    """
    if data.run.status not in (RunStatus.COMPLETE, RunStatus.PARTIAL):
        return ""
    kinds = {verdict.shown_as for verdict in data.verdicts if verdict.metric != SPEECH_VERDICT}
    advice = {verdict.advice for verdict in data.verdicts if verdict.kind is VerdictKind.NO_BASELINE}
    return sentence(advice.pop()) if not kinds.intersection(_COMPARED) and len(advice) == 1 else ""


def _word(kinds: _Kinds, missed: int) -> tuple[str, str]:
    urgent = (VerdictKind.REGRESSED, VerdictKind.FAILED, VerdictKind.MISSING)
    if missed and not any(map(kinds.get, urgent)):
        return "unclear", "!"
    # Of the remaining kinds, the one with most verdicts.
    rest = max(
        (VerdictKind.UNCHANGED, VerdictKind.INCONCLUSIVE, VerdictKind.SAME_SUBJECT), key=lambda kind: kinds.get(kind, 0)
    )
    for kind in (*urgent, *Leniency, VerdictKind.IMPROVED, rest):
        if kinds.get(kind):
            return VERDICT_WORDS[kind].css, VERDICT_WORDS[kind].glyph
    return "none", VERDICT_WORDS[VerdictKind.NO_BASELINE].glyph


def _missed_clause(missed: int) -> str:
    return f"; {count(missed, 'target')} {'is' if missed == 1 else 'are'} missed" if missed else ""
