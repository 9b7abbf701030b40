"""What is known of the speech of a variant without listening: the phonemes that its model got, and the model's weights.

By its sound alone, another accent or a lost weight can lie closer to the original than eight bits do. A fact is only
used where it is known of both sides.
"""

from collections.abc import Callable, Mapping, Sequence

from harness.analysis.audio_comparison import AudioSimilarity
from harness.analysis.speech_rule import Answer
from harness.core.records.repetition import Repetition
from harness.core.records.run import RunData
from harness.core.records.scenario import ModelVariant
from harness.core.records.speech import SpeechKind

SHOWN = 12
"""Phonemes that are shown from shortly before the first difference on."""
BEFORE = 4

Weights = Callable[[ModelVariant, ModelVariant], Answer | None]
"""What is wrong with the weights of a model, held against its original's; None for nothing."""


def unknown_weights(model: ModelVariant, original: ModelVariant) -> None:
    """For runs without model files."""
    del model, original


def speech_facts(
    similarity: Sequence[AudioSimilarity], data: RunData, *, weights: Weights = unknown_weights
) -> Mapping[str, tuple[Answer, ...]]:
    """Scenario id → the facts against its speech, for the scenarios that were compared with their known original."""
    scenarios = {each.id: each for each in data.run.scenarios}
    given = _phonemes(data.repetitions)
    compared: dict[tuple[str, str], Answer | None] = {}
    found: dict[str, tuple[Answer, ...]] = {}
    for each in similarity:
        if each.itself or each.reference is None or not each.known:
            continue
        ours, theirs = scenarios[each.scenario_id].arm.model, each.reference.arm.model
        facts = [compare_phonemes(given, each.scenario_id, each.reference.id)]
        if ours is not None and theirs is not None and ours.sha256 != theirs.sha256:
            pair = ours.sha256, theirs.sha256
            if pair not in compared:
                compared[pair] = weights(ours, theirs)
            facts.append(compared[pair])
        found[each.scenario_id] = tuple(fact for fact in facts if fact is not None)
    return found


Given = Mapping[tuple[str, int], str]
"""(Scenario id, index of the text) → phonemes."""


def _phonemes(repetitions: Sequence[Repetition]) -> Given:
    return {(each.scenario_id, each.variant): each.phonemes for each in repetitions if each.phonemes}


def compare_phonemes(given: Given, scenario: str, reference: str) -> Answer | None:
    """The answer for a scenario whose model got other phonemes than its original's for the same text, or None."""
    for (each, variant), ours in given.items():
        theirs = given.get((reference, variant), "") if each == scenario else ""
        if theirs and (difference := first_difference(ours, theirs)):
            return Answer(kind=SpeechKind.DIFFERENT, reason=difference)
    return None


def first_difference(ours: str, theirs: str) -> str:
    """A clause with the first difference of two strings of phonemes, "" if only their spaces differ."""
    if "".join(ours.split()) == "".join(theirs.split()):
        return ""
    pairs = enumerate(zip(f"{ours}\0", f"{theirs}\0", strict=False))
    at = max(0, next(index for index, (one, other) in pairs if one != other) - BEFORE)
    mine, original = (f"“{each[at : at + SHOWN]}”" for each in (ours, theirs))
    return f"its model got other phonemes: {mine} where the original's got {original}"
