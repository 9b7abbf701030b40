"""The words for the quality of speech that tables show beside the speed."""

from collections.abc import Mapping

from harness.analysis.speech_quality import KINDS
from harness.core.records.run import Concluded
from harness.core.records.scenario import Mode
from harness.core.records.verdict import SPEECH_VERDICT

WORD_ERRORS = "word_errors"
WORD_ERRORS_HEAD = "word errors"

WORDS = {verdict: speech.value for speech, verdict in KINDS.items()}
ORIGINAL = "original"
UNKNOWN = "unknown"


def speech_words(data: Concluded) -> Mapping[str, str]:
    """Scenario → how its speech compares with its original's, in a word. Empty if the run has no verdict on speech."""
    verdicts = [each for each in data.verdicts if each.metric == SPEECH_VERDICT]
    if not verdicts:
        return {}
    found = {each.reference: ORIGINAL for each in verdicts}
    found |= {each.scenario_id: WORDS.get(each.kind, UNKNOWN) for each in verdicts}
    others = (each.id for each in data.run.scenarios if each.mode is Mode.WHOLE and each.id not in found)
    return {**found, **dict.fromkeys(others, UNKNOWN)}


def word_errors(data: Concluded) -> Mapping[str, str]:
    """Scenario → its words in error of all its words, as `1 of 37`, where they were counted."""
    counts = {
        (each.scenario_id, each.metric): round(each.median)
        for each in data.summaries
        if each.metric in (WORD_ERRORS, "word_count") and each.median is not None
    }
    return {
        scenario_id: f"{errors} of {counts[scenario_id, 'word_count']}"
        for (scenario_id, metric), errors in counts.items()
        if metric == WORD_ERRORS
    }
