"""What the kept audio says and how it sounds: summaries of each scenario, and how it compares with its original's."""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from types import MappingProxyType

from harness.analysis.audio_comparison import AudioSimilarity
from harness.analysis.audio_comparison import checked_targets as _targets
from harness.analysis.conclude import SUMMARY_LEVEL, Conclusions
from harness.analysis.speech_rule import Answer, judge_audio, worst_of
from harness.analysis.stats.estimate import summarise
from harness.core.comma_lists import listed
from harness.core.records.run import RunData
from harness.core.records.speech import EditCounts, SpeechKind, SpeechReading, SpeechVerdict
from harness.core.records.value import Reading, known, unknown
from harness.core.records.verdict import SPEECH_VERDICT, Summary, Verdict, VerdictKind
from harness.metrics.definitions.speech import SPEECH, WORDS
from harness.metrics.registry import METRICS

SOUNDS = ("mcd", "duration_ratio")
"""Metrics whose failed verdicts rest on the similarity of the audio alone. Without a judge, these are all there is."""
KINDS = {
    SpeechKind.EQUIVALENT: VerdictKind.UNCHANGED,
    SpeechKind.DIFFERENT: VerdictKind.DIFFERENT,
    SpeechKind.BROKEN: VerdictKind.FAILED,
}
SENTENCES = {
    SpeechKind.EQUIVALENT: "Its speech is equivalent to the original's",
    SpeechKind.DIFFERENT: "Its speech is different from the original's",
    SpeechKind.BROKEN: "Its speech is broken",
}
OF_WORDS: Mapping[str, Callable[[SpeechReading, EditCounts], Reading]] = {
    "wer": lambda each, _: each.readings["wer"],
    "cer": lambda each, _: each.readings.get("cer", unknown("not judged")),
    "word_errors": lambda _, words: known(float(words.errors)),
    "word_count": lambda _, words: known(float(words.reference)),
}
"""Metric → its value in a reading whose words were counted."""
NOISE = "the replica's speech is noise, in which there are no words"
LISTEN = "listen to it: its audio is kept with the results; its speed does not count while its output differs"


def with_speech(
    conclusions: Conclusions,
    readings: Sequence[SpeechReading],
    similarity: Sequence[AudioSimilarity],
    data: RunData,
    *,
    reason: str = "",
    facts: Mapping[str, tuple[Answer, ...]] = MappingProxyType({}),
) -> tuple[Conclusions, tuple[SpeechVerdict, ...]]:
    """The conclusions with the speech metrics filled in and their targets checked again, and the speech verdicts.

    `reason` is why scenarios without a reading have none. It replaces the general reason of their summaries. `facts`
    are those of `speech_facts`.
    """
    by_scenario: dict[str, list[SpeechReading]] = {}
    for each in readings:
        by_scenario.setdefault(each.scenario_id, []).append(each)
    names = {each.name for each in (*SPEECH, *WORDS)}
    summaries = tuple(
        _summary(each, by_scenario.get(each.scenario_id, ()), reason) if each.metric in names else each
        for each in conclusions.summaries
    )
    verdicts = _with_failures(speech_verdicts(readings, similarity, data, reason=reason, facts=facts), conclusions)
    filled = replace(conclusions, summaries=summaries, targets=_targets(conclusions.targets, summaries, names))
    if not readings:
        notes = _notes(verdicts) if reason else ()
        return replace(filled, notes=(*filled.notes, *notes)), verdicts
    return _gated(filled, verdicts), verdicts


def speech_verdicts(
    readings: Sequence[SpeechReading],
    similarity: Sequence[AudioSimilarity],
    data: RunData,
    *,
    reason: str = "",
    facts: Mapping[str, tuple[Answer, ...]] = MappingProxyType({}),
) -> tuple[SpeechVerdict, ...]:
    """How the speech of each scenario with a known original compares with the original's.

    The original itself has no verdict. A scenario that was compared with something else than its known original is
    unknown. `reason` is why there are no readings.
    """
    by_audio = {(each.scenario_id, each.launch): each for each in readings}
    floors = {each.scenario_id: each.typical("mcd_itself") for each in similarity if each.itself}
    arms = {each.id: each.arm.id for each in data.run.scenarios}
    found = []
    for each in similarity:
        if each.itself or each.reference is None:
            continue
        if not each.known:
            unknown = f"the run has no known original of {arms.get(each.scenario_id, each.scenario_id)}"
            answers = {0: Answer(kind=SpeechKind.UNKNOWN, reason=unknown)}
        elif each.reference.arm.model is not None and each.reference.arm.model.origin == "replica":
            answers = {0: Answer(kind=SpeechKind.UNKNOWN, reason=NOISE)}
        elif not each.figures:
            answers = {0: Answer(kind=SpeechKind.UNKNOWN, reason=each.reason)}
        else:
            answers = {
                launch: judge_audio(
                    figures,
                    by_audio.get((each.scenario_id, launch)),
                    by_audio.get((each.reference.id, launch)),
                    own_mcd=floors.get(each.reference.id),
                    missing=reason,
                    joined=each.joined,
                )
                for launch, figures in zip(each.launches, each.figures, strict=True)
            }
        known_facts = facts.get(each.scenario_id, ())
        answers = {launch: worst_of(dict(enumerate((*known_facts, found)))) for launch, found in answers.items()}
        worst = worst_of(answers)
        found.append(
            SpeechVerdict(
                scenario_id=each.scenario_id,
                reference=each.reference.id,
                kind=worst.kind,
                reason=worst.reason,
                counts=Counter(answer.kind.value for answer in answers.values()) if each.figures else {},
            )
        )
    return tuple(found)


def _with_failures(verdicts: Sequence[SpeechVerdict], conclusions: Conclusions) -> tuple[SpeechVerdict, ...]:
    """The verdicts; of what is unknown, broken is what the similarity of the audio has already shown to be wrong."""
    wrong = {
        each.scenario_id: each.reason
        for each in conclusions.verdicts
        if each.metric in SOUNDS and each.kind is VerdictKind.FAILED
    }
    return tuple(
        replace(each, kind=SpeechKind.BROKEN, reason=wrong[each.scenario_id])
        if each.kind is SpeechKind.UNKNOWN and each.scenario_id in wrong
        else each
        for each in verdicts
    )


def _gated(conclusions: Conclusions, verdicts: Sequence[SpeechVerdict]) -> Conclusions:
    """The conclusions with a verdict of the gate for each known speech verdict, and a note for what is unknown.

    A verdict on speech replaces the verdicts that rest on the similarity of the audio alone.
    """
    shown = {each.scenario_id: each.reason for each in conclusions.verdicts if each.metric in SOUNDS}
    known = {
        each.scenario_id
        for each in verdicts
        if each.kind is not SpeechKind.UNKNOWN and shown.get(each.scenario_id) != each.reason
    }
    kept = tuple(each for each in conclusions.verdicts if each.scenario_id not in known or each.metric not in SOUNDS)
    found = tuple(_verdict(each) for each in verdicts if each.scenario_id in known)
    return replace(conclusions, verdicts=(*kept, *found), notes=(*conclusions.notes, *_notes(verdicts)))


def _verdict(found: SpeechVerdict) -> Verdict:
    kind = KINDS[found.kind]
    return Verdict(
        scenario_id=found.scenario_id,
        metric=SPEECH_VERDICT,
        kind=kind,
        reference=found.reference,
        reason=f"{SENTENCES[found.kind]}: {found.reason}",
        advice=LISTEN if kind is not VerdictKind.UNCHANGED else "",
    )


def _notes(verdicts: Sequence[SpeechVerdict]) -> list[str]:
    """A note for each reason why the quality of speech is unknown, with its arms."""
    reasons = dict.fromkeys(
        (each.scenario_id.partition("/")[0], each.reason) for each in verdicts if each.kind is SpeechKind.UNKNOWN
    )
    by_reason: dict[str, list[str]] = {}
    for arm, reason in reasons:
        by_reason.setdefault(reason, []).append(arm)
    return [f"speech: whether {listed(arms)} says the same is unknown: {reason}" for reason, arms in by_reason.items()]


def _summary(before: Summary, found: Sequence[SpeechReading], reason: str) -> Summary:
    """The median over the launches, or what `OF_WORDS` has of the worst; where none has a value, the first reason."""
    if before.metric in OF_WORDS:
        readings = _of_worst(found, OF_WORDS[before.metric])
    else:
        readings = [each.readings[before.metric] for each in found if before.metric in each.readings]
    if not readings:
        return replace(before, reason=reason) if reason and before.n == 0 else before
    return summarise(
        scenario_id=before.scenario_id,
        metric=before.metric,
        definition=before.definition,
        values=tuple((each.value,) for each in readings if each.value is not None),
        level=SUMMARY_LEVEL,
        bounds=METRICS[before.metric].bounds,
        reason=next((each.reason for each in readings if each.value is None), ""),
    )


def _of_worst(found: Sequence[SpeechReading], value: Callable[[SpeechReading, EditCounts], Reading]) -> list[Reading]:
    """The value of the launch with the most words in error, once for each launch whose words were counted."""
    counted = [(each, each.words) for each in found if each.words is not None]
    if not counted:
        return [each.readings["wer"] for each in found if "wer" in each.readings]
    worst = max(counted, key=lambda pair: (pair[1].errors, -pair[1].reference))
    return [value(*worst)] * len(counted)
