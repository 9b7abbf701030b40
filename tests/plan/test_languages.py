"""The corpora of the languages, and the texts that scenarios get from them."""

import re
from functools import cache

import pytest

from harness.core.records.scenario import Arm, Mode, Scenario
from harness.engines.languages import DEFAULT
from harness.plan.corpus import CORPUS_LANGUAGES, TEXT_CLASSES, Corpus, Source, text_key, text_language
from harness.plan.matrix import RunLimits, ScenarioRequest, expand, make_plan

OTHERS = [each for each in CORPUS_LANGUAGES if each != DEFAULT]
ARM = Arm(engine="scripted", provider="")
LIMITS = RunLimits(budget_s=60.0, launches=1, blocks=2, warmups=1, timeout_s=30.0, seed=0)
LETTERS = {
    "en-gb": "", "es": "áéíóúñüÁÉÍÓÚ¿¡", "fr-fr": "àâçéèêëîïôûùœÀÉ", "it": "àèéìòùÈ", "pt-br": "áâãàçéêíóôõúÁÀÉ",
}  # fmt: skip
"""The letters and marks of a language besides those of English."""


@cache
def corpus(language: str) -> Corpus:
    return Corpus(language=language)


def sentences(language: str) -> tuple[str, ...]:
    return corpus(language)._pools[Source.SENTENCES]


def scenario(voice: str, language: str = "", text_class: str = "chars-60") -> Scenario:
    return Scenario(arm=ARM, mode=Mode.WHOLE, text_class=text_class, voice=voice, language=language)


def test_digest_of_the_english_texts_is_the_one_in_baselines() -> None:
    assert Corpus().digest.startswith("0a4f535f8198")
    assert len({corpus(each).digest for each in CORPUS_LANGUAGES}) == len(CORPUS_LANGUAGES)


@pytest.mark.parametrize("language", OTHERS)
class TestPool:
    def test_has_many_different_sentences(self, language: str) -> None:
        found = sentences(language)
        assert len(found) >= 20
        assert len({each.casefold() for each in found}) == len(found)
        assert not set(found) & set(sentences(DEFAULT)) - {"Good evening."}
        assert max(map(len, found)) <= 160

    def test_sentences_have_only_letters_and_marks_of_the_language(self, language: str) -> None:
        known = re.compile(rf"[A-Za-z0-9 .,:;?!'£{LETTERS[language]}-]+[.?!]")
        assert [each for each in sentences(language) if not known.fullmatch(each)] == []
        assert [each for each in sentences(language) if re.search(r"  | [.,:;?!]|[;?!]\w", each)] == []
        assert [each for each in sentences(language) if not re.match(r"[¿¡]?[^\W\d_]", each)] == []

    @pytest.mark.parametrize(
        ("feature", "pattern", "at_least"),
        [
            ("number", r"\d", 15),
            ("year", r"\b(1[789]|20)\d\d\b", 3),
            ("question", r"\?$", 5),
            ("exclamation", r"!$", 3),
            ("name", r"\w,? [A-ZÉ][a-zéèêçãúí]+", 8),
        ],
    )
    def test_has_what_speech_has(self, language: str, feature: str, pattern: str, at_least: int) -> None:
        found = [each for each in sentences(language) if re.search(pattern, each)]
        assert len(found) >= at_least, f"{feature}: {found}"

    @pytest.mark.parametrize("name", TEXT_CLASSES)
    def test_gives_each_class_twenty_different_texts_of_its_length(self, language: str, name: str) -> None:
        known, texts = TEXT_CLASSES[name], corpus(language).variants(name)
        assert len({each.text for each in texts}) == 20
        assert all(known.shortest <= each.characters <= known.longest for each in texts)
        assert {each.language for each in texts} == {language}

    def test_is_read_by_the_phonemiser_without_help_from_another_language(self, language: str) -> None:
        from kokoro_onnx.tokenizer import Tokenizer

        tokenizer = Tokenizer()
        for each in sentences(language)[::4]:
            phonemes = tokenizer.phonemize(each, language)
            assert "(" not in phonemes, each  # "(en)": espeak-ng has changed over to English
            assert len(phonemes) > len(each) / 2


def test_phoneme_texts_are_those_of_english() -> None:
    ours = [each.text for each in corpus("it").variants("phonemes-510")]
    assert ours == [each.text for each in corpus(DEFAULT).variants("phonemes-510")]


@pytest.mark.parametrize(
    ("voice", "language", "spoken"),
    [
        ("af_heart", "", "en-us"),
        ("am_adam", "", "en-us"),
        ("bf_emma", "", "en-gb"),
        ("bf_emma+af_heart", "", "en-gb"),
        ("ef_dora", "", "es"),
        ("ff_siwis", "", "fr-fr"),
        ("if_sara", "", "it"),
        ("pm_alex", "", "pt-br"),
        ("jf_alpha", "", "en-us"),
        ("zf_xiaoyi", "", "en-us"),
        ("hm_psi", "", "en-us"),
        ("alloy", "", "en-us"),
        ("alloy", "fr-be", "fr-fr"),
        ("af_heart", "es-419", "es"),
        ("af_heart", "en-gb", "en-gb"),
        ("ef_dora", "en-us", "en-us"),
        ("ef_dora", "de", "en-us"),
    ],
)
def test_text_is_in_the_language_of_the_voice_unless_the_user_chose_another(
    voice: str, language: str, spoken: str
) -> None:
    assert text_language(scenario(voice, language)) == spoken
    assert text_language(scenario(voice, language, "phonemes-510")) == DEFAULT
    assert text_language(scenario(voice, language, "custom-0123abcd")) == DEFAULT


def test_plan_has_the_texts_of_each_language_and_the_digests_of_those_besides_english() -> None:
    request = ScenarioRequest(mode=Mode.WHOLE, texts=("chars-12",), voices=("af_heart", "ff_siwis", "bf_emma"))
    found = expand(request, arms=[ARM], voice="am_adam")
    assert [each.voice for each in found] == ["af_heart", "ff_siwis", "bf_emma"]
    assert [each.id for each in found][1] == "scripted/whole/chars-12/ff_siwis"
    plan = make_plan(found, corpus=corpus(DEFAULT), run_limits=LIMITS)
    assert [plan.utterance(each, 0) for each in found] == [
        corpus(each).utterance("chars-12") for each in ("en-us", "fr-fr", "en-gb")
    ]
    assert plan.corpus_digest == corpus(DEFAULT).digest
    assert plan.corpora == (("en-gb", corpus("en-gb").digest), ("fr-fr", corpus("fr-fr").digest))
    assert [text_key(each) for each in found] == ["chars-12", "chars-12 fr-fr", "chars-12 en-gb"]


def test_start_up_is_measured_with_the_first_of_several_voices() -> None:
    request = ScenarioRequest(mode=Mode.LOAD_WARM, texts=("-",), voices=("bf_emma", "ff_siwis"))
    assert [each.voice for each in expand(request, arms=[ARM], voice="af_heart")] == ["bf_emma"]
