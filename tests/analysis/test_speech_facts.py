"""What is known of speech without listening, and what it does to the verdict."""

# ruff: noqa: RUF001 - the phonemes look like Latin letters

from dataclasses import replace

import pytest

from harness.analysis.audio_comparison import AudioSimilarity
from harness.analysis.conclude import Conclusions
from harness.analysis.speech_facts import first_difference, judge_phonemes, speech_facts
from harness.analysis.speech_quality import with_speech
from harness.analysis.speech_rule import Answer
from harness.core.records.run import RunData
from harness.core.records.scenario import Arm, Mode, ModelVariant, Scenario
from harness.core.records.speech import SpeechKind
from harness.core.records.value import known
from tests.conftest import Laboratory

SAME = {"mcd": known(0.0), "mcd_peak": known(0.0), "timbre": known(0.0), "duration_ratio": known(1.0)}
CUT = {**SAME, "duration_ratio": known(0.5)}
AMERICAN, BRITISH = "ɡˈɑːɹdən.", "ɡˈɑːdən."
LOST = Answer(kind=SpeechKind.BROKEN, reason="a weight is lost")


def scenario(name: str) -> Scenario:
    model = ModelVariant(name=name, sha256=name[0] * 64, size=1, origin="quantised")
    return Scenario(arm=Arm(engine="kokoro", model=model), mode=Mode.WHOLE, text_class="chars-60", voice="v")


ORIGINAL, VARIANT = scenario("original"), scenario("variant")
SIMILAR = AudioSimilarity(scenario_id=VARIANT.id, reference=ORIGINAL, known=True, figures=(SAME,), launches=(0,))


@pytest.fixture(scope="module")
def measured(tmp_path_factory: pytest.TempPathFactory) -> RunData:
    return Laboratory(tmp_path_factory.mktemp("facts")).run(launches="1", blocks="1").data


def spoken(data: RunData, *, ours: str, theirs: str, variant: int = 0) -> RunData:
    """A run of the two scenarios whose models got these phonemes; `variant` is the index of our text."""
    one = data.repetitions[0]
    repetitions = (
        replace(one, scenario_id=VARIANT.id, phonemes=ours, variant=variant),
        replace(one, scenario_id=ORIGINAL.id, phonemes=theirs, variant=0),
        replace(one, scenario_id=VARIANT.id, phonemes="", variant=variant),  # its audio was not kept
    )
    return replace(data, run=replace(data.run, scenarios=(ORIGINAL, VARIANT)), repetitions=repetitions)


@pytest.mark.parametrize(
    ("ours", "theirs", "clause"),
    [
        (AMERICAN, AMERICAN, ""),
        ("hɛlˈoʊ. wˈɜːld", "hɛlˈoʊ.wˈɜːld ", ""),
        (BRITISH, AMERICAN, f"“{BRITISH}” where the original's got “{AMERICAN}”"),
        ("abcdefghij", "abcdefghijklmnopqrstuvwxyz", "“ghij” where the original's got “ghijklmnopqr”"),
    ],
)
def test_the_first_difference_is_shown_with_what_surrounds_it(ours: str, theirs: str, clause: str) -> None:
    assert first_difference(ours, theirs) == (f"its model got other phonemes: {clause}" if clause else "")


@pytest.mark.parametrize(
    ("ours", "theirs", "kind"),
    [
        ("hɛloʊ wɜld haʊ ɑ ju", "hɛloʊ wɜld haʊ ɑ ju", None),
        ("hɛlʊ wɜld haʊ ɑ u", "hɛloʊ wɜld haʊ ɑ ju", SpeechKind.BROKEN),
        ("hɛloʊ wɜld haʊ ɑ u", "hɛloʊ wɜld haʊ ɑ ju", SpeechKind.DIFFERENT),
        ("pɑːk ðə kɑː ɪn ðə jɑːd", "pɑːɹk ðə kɑːɹ ɪn ðə jɑːɹd", SpeechKind.DIFFERENT),
        ("hɛlO wɜld hW ɑ ju", "hɛloʊ wɜld haʊ ɑ ju", SpeechKind.DIFFERENT),
        ("abcdefghijklmnopqrstuvwxyzab", "abcdefghijklmnopqrstuvwxyzabcd", SpeechKind.DIFFERENT),
        ("bcdefghijklmnopqrstuvwxyzz", "abcdefghijklmnopqrstuvwxyzabcdef", SpeechKind.BROKEN),
        ("bcdefghijklmnopqrstuvwxyzzz", "abcdefghijklmnopqrstuvwxyzabcdef", SpeechKind.DIFFERENT),
    ],
    ids=["the same", "two lost", "one lost", "an accent", "an alphabet", "below the share", "few new", "many new"],
)
def test_phonemes_that_are_missing_and_not_replaced_break_speech(
    ours: str, theirs: str, kind: SpeechKind | None
) -> None:
    answer = judge_phonemes(ours, theirs)
    assert (answer.kind if answer else None) is kind
    assert answer is None or answer.reason.startswith(first_difference(ours, theirs))


@pytest.mark.parametrize(
    ("ours", "theirs", "variant"),
    [("", AMERICAN, 0), (BRITISH, "", 0), (BRITISH, AMERICAN, 1)],
    ids=["ours unknown", "theirs unknown", "another text"],
)
def test_what_is_unknown_is_no_fact(measured: RunData, ours: str, theirs: str, variant: int) -> None:
    data = spoken(measured, ours=ours, theirs=theirs, variant=variant)
    assert speech_facts([SIMILAR], data) == {VARIANT.id: ()}


def test_nothing_is_held_against_a_reference_that_is_not_the_known_original(measured: RunData) -> None:
    data = spoken(measured, ours=BRITISH, theirs=AMERICAN)
    unknown = replace(SIMILAR, known=False)
    itself = replace(SIMILAR, scenario_id=ORIGINAL.id)
    assert speech_facts([unknown, itself], data, weights=lambda *_: LOST) == {}


def test_weights_are_only_compared_between_two_models(measured: RunData) -> None:
    data = spoken(measured, ours=AMERICAN, theirs=AMERICAN)
    calls: list[object] = []
    twice = [SIMILAR, SIMILAR]
    assert speech_facts(twice, data, weights=lambda *given: calls.append(given) or LOST) == {VARIANT.id: (LOST,)}
    assert calls == [(VARIANT.arm.model, ORIGINAL.arm.model)]
    elsewhere = replace(ORIGINAL, arm=replace(VARIANT.arm, provider="openvino"))
    alike = replace(SIMILAR, reference=elsewhere)
    assert speech_facts([alike], data, weights=lambda *_: LOST) == {VARIANT.id: ()}


@pytest.mark.parametrize(
    ("figures", "ours", "lost", "kind", "reason"),
    [
        (SAME, AMERICAN, None, SpeechKind.EQUIVALENT, "its audio is the original's"),
        (SAME, BRITISH, None, SpeechKind.DIFFERENT, f"its model got other phonemes: “{BRITISH}”"),
        (SAME, BRITISH, LOST, SpeechKind.BROKEN, "a weight is lost"),
        (CUT, BRITISH, None, SpeechKind.BROKEN, "it speaks 50% as long as the original"),
    ],
    ids=["no fact", "phonemes", "weights", "the sound is worse"],
)
def test_the_worst_of_facts_and_sound_is_the_verdict(
    measured: RunData, figures: dict[str, object], ours: str, lost: Answer | None, kind: SpeechKind, reason: str
) -> None:
    data = spoken(measured, ours=ours, theirs=AMERICAN)
    similar = replace(SIMILAR, figures=(figures,))
    facts = speech_facts([similar], data, weights=lambda *_: lost)
    nothing = Conclusions(summaries=(), verdicts=(), targets=())
    _, (verdict,) = with_speech(nothing, (), [similar], data, facts=facts)
    assert verdict.kind is kind
    assert verdict.reason.startswith(reason)
    assert verdict.counts == {kind.value: 1}
