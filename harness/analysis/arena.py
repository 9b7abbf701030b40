"""How much of a change of peak memory ONNX Runtime's arena holds, by its own count in the profiles of both sides."""

from statistics import median

from harness.analysis.causes import part_sentence
from harness.analysis.stats.movement import PartPairs, movements
from harness.analysis.stats.paired import PEAK
from harness.core.records.profile import Profiles
from harness.core.records.run import RunData
from harness.core.records.scenario import Scenario
from harness.core.records.suspect import Suspect, SuspectKind
from harness.core.records.verdict import Verdict
from harness.metrics.parts import parts_of

ARENA = "ONNX Runtime's arena"
MB = 1e-6
LEAST = 0.002
"""An arena that moved itself by less than this ratio is no suspect."""


def arena_suspects(
    verdict: Verdict, profiles: Profiles, candidate: Scenario, reference: Scenario, data: RunData
) -> list[Suspect]:
    """The arena, if what it held moved the verdict's way; nothing if ONNX Runtime does not count it."""
    if verdict.metric != PEAK or verdict.change is None or profiles.reason:
        return []
    held = [[profile.arena for profile in side] for side in (profiles.candidate, profiles.reference)]
    ours, theirs = ([float(each) for each in side if each is not None] for side in held)
    whole = peak_growth(candidate, reference, data)
    if len(ours) != len(theirs) or len(ours) < len(held[0]) or not whole:
        return []
    pairs = PartPairs(candidate=tuple((each,) for each in ours), reference=tuple((each,) for each in theirs))
    found = movements({ARENA: pairs}, rose=verdict.change.point > 0, least=LEAST)
    return [
        Suspect(SuspectKind.MEMORY, part_sentence(each, what="memory in", scale=MB, unit="MB", whole=whole))
        for each in found.named
    ]


def peak_growth(candidate: Scenario, reference: Scenario, data: RunData) -> float | None:
    """Bytes by which the median peak of the candidate is larger; None if a peak is unknown."""
    after, before = (_peak(scenario, data) for scenario in (candidate, reference))
    return None if before is None or after is None else after - before


def _peak(scenario: Scenario, data: RunData) -> float | None:
    """The median peak of a scenario in bytes."""
    peaks = [sum(parts.values()) for parts in parts_of(PEAK, scenario, data).values()]
    return median(peaks) if peaks else None
