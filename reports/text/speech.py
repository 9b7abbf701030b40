"""The words for the quality of speech that tables show beside the speed."""

from collections.abc import Mapping

from harness.analysis.speech_quality import KINDS
from harness.core.records.run import Concluded
from harness.core.records.scenario import Mode
from harness.core.records.verdict import SPEECH_VERDICT

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
