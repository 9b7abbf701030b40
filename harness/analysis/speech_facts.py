"""What is known of the speech of a variant without listening: the phonemes that its model got, and the model's weights.

By its sound alone, another accent or a lost weight can lie closer to the original than eight bits do. A fact is only
used where it is known of both sides.
"""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from unicodedata import category

from harness.analysis.audio_comparison import AudioSimilarity
from harness.analysis.speech_rule import Answer, worst_of
from harness.core.records.repetition import Repetition
from harness.core.records.run import RunData
from harness.core.records.scenario import ModelVariant
from harness.core.records.speech import SpeechKind

SHOWN = 12
"""Phonemes that are shown from shortly before the first difference on."""
BEFORE = 4
BROKEN_LOST = 0.07
"""Broken: at least this share of the original's phonemes is missing, and little came in their place.

`docs/speech_quality.md` has how often accents and dropped phonemes reach it.
"""
FEWEST_LOST = 2
REPLACED_SHARE = 0.25
"""Phonemes that the original did not get, beside those it lost: more are another accent or another alphabet."""
DROPPED_BY_ACCENTS = "ɹ"
_LETTERS = ("Ll", "Lo", "Lu")
"""Unicode's categories of the phonemes; marks of stress and length are modifiers (Lm)."""

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
    """The worst answer for a scenario whose model got other phonemes than its original's for the same text, or None."""
    answers = {
        variant: answer
        for (each, variant), ours in given.items()
        if each == scenario and (theirs := given.get((reference, variant)))
        if (answer := judge_phonemes(ours, theirs))
    }
    return worst_of(answers) if answers else None


def judge_phonemes(ours: str, theirs: str) -> Answer | None:
    """The answer for a text whose model got the phonemes `ours`, its original's `theirs`; None if these are the same.

    An accent has other sounds, at other places; speech without some of the sounds says something else.
    """
    difference = first_difference(ours, theirs)
    if not difference:
        return None
    mine, original = (
        Counter(sound for sound in text if category(sound) in _LETTERS and sound not in DROPPED_BY_ACCENTS)
        for text in (ours, theirs)
    )
    lost, added = (original - mine).total(), (mine - original).total()
    if lost < max(FEWEST_LOST, BROKEN_LOST * original.total()) or added > REPLACED_SHARE * lost:
        return Answer(kind=SpeechKind.DIFFERENT, reason=difference)
    missing = f"{lost} of {original.total()} sounds are missing"
    return Answer(kind=SpeechKind.BROKEN, reason=f"{difference}, and {missing}")


def first_difference(ours: str, theirs: str) -> str:
    """A clause with the first difference of two strings of phonemes, "" if only their spaces differ."""
    if "".join(ours.split()) == "".join(theirs.split()):
        return ""
    pairs = enumerate(zip(f"{ours}\0", f"{theirs}\0", strict=False))
    at = max(0, next(index for index, (one, other) in pairs if one != other) - BEFORE)
    mine, original = (f"“{each[at : at + SHOWN]}”" for each in (ours, theirs))
    return f"its model got other phonemes: {mine} where the original's got {original}"
