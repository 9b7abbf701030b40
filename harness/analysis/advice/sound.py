"""What the verdicts of a run say about the speech of one arm, over all of its texts."""

from collections.abc import Sequence
from dataclasses import dataclass

from harness.analysis.advice.recommend import QUALITY, quality_failures
from harness.core.records.speech import SpeechKind
from harness.core.records.verdict import Verdict, VerdictKind


@dataclass(frozen=True, slots=True, kw_only=True)
class Sound:
    """How the speech of an arm compares with its original's. The reason is a sentence, "" if there is none."""

    kind: SpeechKind
    reason: str = ""

    @property
    def may_be_recommended(self) -> bool:
        """Whether nothing is known against it. What is unknown may be recommended, and is called unknown."""
        return self.kind in (SpeechKind.EQUIVALENT, SpeechKind.UNKNOWN)


def sound_of(arm_id: str, verdicts: Sequence[Verdict]) -> Sound:
    """Broken if it is so in any text, different if it is so in at least half of them, unknown without a verdict."""
    ours = [each for each in verdicts if each.metric in QUALITY and each.scenario_id.startswith(f"{arm_id}/")]
    failed = quality_failures(ours)
    reasons = {each.scenario_id: each.kind for each in ours}
    for kind, found in ((VerdictKind.FAILED, SpeechKind.BROKEN), (VerdictKind.DIFFERENT, SpeechKind.DIFFERENT)):
        for scenario_id, reason in failed.items():
            if reasons[scenario_id] is kind:
                return Sound(kind=found, reason=reason)
    if any(each.kind in (VerdictKind.UNCHANGED, VerdictKind.DIFFERENT) for each in ours):
        return Sound(kind=SpeechKind.EQUIVALENT)
    return Sound(kind=SpeechKind.UNKNOWN)
