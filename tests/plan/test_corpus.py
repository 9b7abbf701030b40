import re
from functools import cache

import pytest

from harness.core.errors import UsageError
from harness.plan import corpus
from harness.plan.corpus import (
    TEXT_CLASSES,
    Corpus,
    Source,
    TextClass,
    seconds_per_character,
    text_class_names,
    user_text,
)

SENTENCES = corpus._lines("sentences.txt")
ALL_CLASSES = text_class_names()
PHONEME_CLASSES = [name for name, each in TEXT_CLASSES.items() if each.source is Source.PHONEMES]
REPLICA_SECONDS_PER_PHONEME = 0.072


@cache
def composed() -> Corpus:
    return Corpus()


@cache
def phonemise(text: str) -> str:
    from kokoro_onnx.tokenizer import Tokenizer

    return str(Tokenizer().phonemize(text))


def batches(phonemes: str) -> list[str]:
    from kokoro_onnx.chunker import split_phonemes

    return list(split_phonemes(phonemes))


# The pool.


def test_the_pool_is_large_and_without_repetition() -> None:
    assert len(SENTENCES) >= 240
    assert len({sentence.casefold() for sentence in SENTENCES}) == len(SENTENCES)


@pytest.mark.parametrize(
    ("shortest", "longest", "at_least"), [(9, 15, 40), (16, 40, 40), (41, 80, 60), (81, 120, 40), (121, 160, 30)]
)
def test_the_pool_has_sentences_of_many_lengths(shortest: int, longest: int, at_least: int) -> None:
    assert sum(shortest <= len(sentence) <= longest for sentence in SENTENCES) >= at_least


def test_no_sentence_is_longer_than_the_longest_length() -> None:
    assert max(map(len, SENTENCES)) <= 160


MONTH = "January|February|March|April|May|June|July|August|September|October|November|December"


@pytest.mark.parametrize(
    ("feature", "pattern", "at_least"),
    [
        ("number", r"\d", 60),
        ("decimal number", r"\d\.\d", 5),
        ("number with a separator", r"\d,\d{3}", 3),
        ("date", rf"\b({MONTH}) \d|\d(th|st|rd)? (of )?({MONTH})\b", 10),
        ("year", r"\b(1[789]|20)\d\d\b", 8),
        ("time", r"\b\d{1,2}:\d\d\b", 8),
        ("money", r"\$\d", 8),
        ("title", r"\b(Dr|Mr|Mrs|Ms|Prof)\. [A-Z]", 10),
        ("e.g.", r"\be\.g\. ", 3),
        ("etc.", r"\betc\.", 2),
        ("acronym", r"\bNASA\b", 4),
        ("name", r"\b(Maria|Clara|Bernard|Lindqvist|Tanaka|Novak)\b", 5),
        ("question", r"\?$", 30),
        ("exclamation", r"!$", 10),
        ("quotation", r'"[^"]+"', 8),
        ("colon", r"\w: ", 8),
        ("semicolon", r"\w; ", 5),
        ("dash", r" — ", 5),
        ("list of three", r"\w+, [^,]+(, [^,]+)* and \w+", 20),
    ],
)
def test_pool_has_enough_sentences_with_the_feature(feature: str, pattern: str, at_least: int) -> None:
    found = [sentence for sentence in SENTENCES if re.search(pattern, sentence)]
    assert len(found) >= at_least, f"{feature}: {found}"


@pytest.mark.parametrize(
    ("fault", "pattern"),
    [
        ("a character that the pool does not use", r"[^A-Za-z0-9 .,:;?!'\"$—-]"),
        ("no capital letter at the beginning", r"^(?!\"?[A-Z])"),
        ("no mark at the end", r"(?<![.?!])(?<![.?!]\")$"),
        ("a quotation that is not closed", r'^[^"]*"([^"]*"[^"]*")*[^"]*$'),
        ("a mark or a space that is misplaced", r" {2}| [.,:;?!]|[,:;?!][A-Za-z]|^ | $"),
    ],
)
def test_the_pool_is_plainly_written(fault: str, pattern: str) -> None:
    assert [sentence for sentence in SENTENCES if re.search(pattern, sentence)] == [], fault


# The classes of texts.


def test_the_classes_and_their_order() -> None:
    assert text_class_names() == (
        "chars-12",
        "chars-60",
        "chars-200",
        "chars-500",
        "chars-900",
        "chars-1700",
        "chars-4400",
        "one-word",
        "phonemes-509",
        "phonemes-510",
        "phonemes-511",
        "unpunctuated-700",
    )


def test_a_tolerance_is_a_ratio_of_the_length() -> None:
    text_class = TextClass(name="made", characters=60, tolerance=0.1)
    assert (text_class.shortest, text_class.longest) == (54, 66)
    assert (TEXT_CLASSES["chars-12"].shortest, TEXT_CLASSES["chars-12"].longest) == (9, 15)


@pytest.mark.parametrize("name", ALL_CLASSES)
def test_a_class_has_twenty_different_texts_within_its_tolerance(name: str) -> None:
    texts = composed().variants(name)
    assert len({each.text for each in texts}) == len(texts) == 20
    assert [each.variant for each in texts] == list(range(20))
    assert {each.text_class for each in texts} == {name}
    allowed = range(TEXT_CLASSES[name].shortest, TEXT_CLASSES[name].longest + 1)
    assert [each.text for each in texts if each.characters not in allowed] == []


@pytest.mark.parametrize("name", [each for each in ALL_CLASSES if each.startswith("chars-")])
def test_a_text_consists_of_whole_sentences_each_once(name: str) -> None:
    pool = set(SENTENCES)
    for each in composed().variants(name):
        rest, used = each.text, []
        while rest:
            fits = [sentence for sentence in pool if rest == sentence or rest.startswith(f"{sentence} ")]
            assert fits, f"no sentence of the pool begins {rest[:40]!r}"
            used.append(max(fits, key=len))
            rest = rest[len(used[-1]) + 1 :]
        assert len(set(used)) == len(used)


def test_one_word_is_one_word() -> None:
    for each in composed().variants("one-word"):
        assert re.fullmatch(r"[A-Z][a-z]{3,7}", each.text)


def test_every_seed_can_be_composed() -> None:
    for seed in range(1, 6):
        for name in ALL_CLASSES:
            assert len(Corpus(seed=seed).variants(name)) == 20


# The same texts everywhere. When one of these fails, the texts have changed and no earlier figure compares with a later
# one: raise COMPOSITION where the algorithm changed, and state the change in the change log.


@pytest.mark.parametrize(
    ("name", "variant", "digest"),
    [
        ("chars-12", 0, "f76976de474618ab4b58f2d51a2879d290db608e767811deda1fb5f865336f60"),
        ("chars-12", 1, "79830cd4bc7461fef87f44d9b6627d728e5a9d6c6ca003741c0f5e8d2575ce55"),
        ("chars-60", 0, "46ea10c552b4dd68211a3454e3cef9efec89ad0e74c54634568c0ec8da46b643"),
        ("chars-200", 0, "ad0cf14e30b39cdd35cd91ac268eb40cac5403c06f82e84e74d1c5178a466273"),
        ("phonemes-510", 0, "c83a2294ef621845f05698e4671fdf795dc08890e9631ca6f179b0ec3124aef9"),
        ("one-word", 0, "81147516036e17bf7270a826aca97e485a051029a4ce75c8545a58b1377c6262"),
    ],
)
def test_texts_are_the_same_on_every_platform(name: str, variant: int, digest: str) -> None:
    assert composed().utterance(name, variant).digest == digest


def test_the_corpus_is_the_same_on_every_platform() -> None:
    assert composed().digest == "0a4f535f819872debd0d0d89addd76970f6c1e4b6d6c8a1f6a2cf307e5e90a43"


def test_a_short_text_reads_as_composed() -> None:
    assert composed().utterance("chars-60").text == "Turn left here. Mind the gap. Have you seen my keys? Tea or milk?"


def test_a_variant_does_not_depend_on_how_many_are_asked_for() -> None:
    for name in ALL_CLASSES:
        assert Corpus(variants=3).variants(name) == composed().variants(name)[:3]


def test_another_seed_gives_other_texts_and_another_digest() -> None:
    other = Corpus(seed=1)
    assert other.digest != composed().digest
    assert all(other.utterance(name).text != composed().utterance(name).text for name in ("chars-200", "phonemes-511"))


def test_the_digest_follows_the_pool_but_not_the_order_of_its_lines(monkeypatch: pytest.MonkeyPatch) -> None:
    pools = corpus._pools("en-us")

    def with_sentences(sentences: tuple[str, ...]) -> Corpus:
        monkeypatch.setattr(corpus, "_pools", lambda _: {**pools, Source.SENTENCES: sentences})
        return Corpus()

    backwards = with_sentences(SENTENCES[::-1])
    assert backwards.digest == composed().digest
    assert backwards.variants("chars-500") == composed().variants("chars-500")
    assert with_sentences((*SENTENCES[1:], SENTENCES[0] + "!")).digest != composed().digest


def test_the_digest_does_not_depend_on_how_many_variants_are_composed() -> None:
    assert Corpus(variants=3).digest == composed().digest


# The edges of the model's context, as kokoro-onnx sees them.


@pytest.mark.parametrize(("name", "count"), [("phonemes-509", 1), ("phonemes-510", 1), ("phonemes-511", 2)])
def test_a_phoneme_text_has_exactly_its_count_and_splits_as_it_should(name: str, count: int) -> None:
    from kokoro_onnx.config import DEFAULT_VOCAB

    for each in composed().variants(name):
        assert each.is_phonemes
        assert len(each.text) == int(name.removeprefix("phonemes-"))
        assert set(each.text) <= set(DEFAULT_VOCAB)
        assert " ".join(each.text.split()) == each.text, "white space that kokoro-onnx would take away"
        assert re.fullmatch(r"([^ ,.]{2,10}[,.]? )+[^ ,.]{2,10}\.", each.text)
        assert len(batches(each.text)) == count


def test_unpunctuated_text_is_beyond_one_batch_and_has_nothing_to_split_at() -> None:
    for each in composed().variants("unpunctuated-700"):
        phonemes = phonemise(each.text)
        assert re.fullmatch(r"[a-z]+( [a-z]+)*", each.text)
        assert len(phonemes) > 510
        assert not set(phonemes) & set(".,:;?!…—")
        assert len(batches(phonemes)) == 2


@pytest.mark.parametrize(("name", "fewest"), [("chars-12", 1), ("chars-200", 1), ("chars-500", 2), ("chars-4400", 9)])
def test_longer_texts_take_more_batches(name: str, fewest: int) -> None:
    counts = [len(batches(phonemise(each.text))) for each in composed().variants(name)]
    assert min(counts) >= fewest
    assert fewest > 1 or max(counts) == 1


# How long audio may be.


def test_the_band_is_wider_for_short_texts() -> None:
    short, long = TEXT_CLASSES["chars-12"].seconds_per_character, TEXT_CLASSES["chars-4400"].seconds_per_character
    assert short.low == long.low == 0.03
    assert short.high == pytest.approx(0.2 + 2.5 / 12)
    assert long.high == pytest.approx(0.2 + 2.5 / 4400)


@pytest.mark.parametrize("name", ALL_CLASSES)
def test_speech_at_the_replicas_rate_is_well_inside_the_band(name: str) -> None:
    for each in composed().variants(name):
        phonemes = each.text if each.is_phonemes else phonemise(each.text)
        rate = len(phonemes) * REPLICA_SECONDS_PER_PHONEME / each.characters
        band = seconds_per_character(each)
        assert 1.5 * band.low < rate < band.high / 1.5


def test_a_quarter_of_a_long_text_is_outside_the_band() -> None:
    for each in composed().variants("chars-4400"):
        audio = len(phonemise(each.text)) * REPLICA_SECONDS_PER_PHONEME / 4
        assert audio / each.characters < seconds_per_character(each).low


def test_a_users_digits_may_take_longer() -> None:
    band = seconds_per_character(user_text("3.14159265358979"))
    spoken = len(phonemise("3.14159265358979")) * REPLICA_SECONDS_PER_PHONEME / 16
    assert band.low < 0.03
    assert spoken < band.high / 1.5


# A text of the user's own, and what cannot be.


def test_a_users_text_is_kept_without_the_white_space_around_it() -> None:
    utterance = user_text("  Guten Tag.\n", language="de")
    assert (utterance.text_class, utterance.variant) == (f"custom-{utterance.digest[:8]}", 0)
    assert (utterance.text, utterance.language, utterance.is_phonemes) == ("Guten Tag.", "de", False)
    assert user_text("həloʊ", is_phonemes=True).is_phonemes


@pytest.mark.parametrize("text", ["", " ", "\n\t "])
def test_an_empty_text_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="the text is empty"):
        user_text(text)


def test_an_unknown_class_names_the_nearest() -> None:
    with pytest.raises(UsageError) as caught:
        composed().utterance("chars-2000")
    assert str(caught.value) == "--text: unknown text class 'chars-2000' — did you mean 'chars-200'?"


@pytest.mark.parametrize("variant", [-1, 20])
def test_an_unknown_variant_names_what_there_is(variant: int) -> None:
    with pytest.raises(UsageError) as caught:
        composed().utterance("chars-12", variant)
    assert str(caught.value) == f"text class chars-12: no variant {variant} — there are 0 to 19"


def test_no_variants_are_refused() -> None:
    with pytest.raises(UsageError, match="0 variants of a text class"):
        Corpus(variants=0)


def test_more_variants_than_the_pool_has_are_refused() -> None:
    words = len(corpus._lines("words.txt"))
    assert len(Corpus(variants=words).variants("one-word")) == words
    with pytest.raises(UsageError, match=f"its pool gives {words} different texts, not {words + 1}") as caught:
        Corpus(variants=words + 1).variants("one-word")
    assert caught.value.remedy == f"ask for at most {words} variants"


def test_more_texts_than_a_class_has_variants_are_composed_and_none_comes_twice() -> None:
    corpus = Corpus()
    many = corpus.at_most("chars-60", 100)
    assert many[:20] == corpus.variants("chars-60")
    assert [each.variant for each in many] == list(range(100))
    assert len({each.text for each in many}) == 100
    # What a pool does not give is not repeated.
    few = corpus.at_most("chars-12", 1_000)
    assert 20 < len(few) < 1_000
    assert len({each.text for each in few}) == len(few)
