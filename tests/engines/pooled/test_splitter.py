"""Where a text is cut."""

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from harness.engines.pooled.splitter import LONGEST, LONGEST_UNBROKEN, STRETCH, TAIL, Plan, split_phonemes

SENTENCE = "ðə kwɪk bɹaʊn fɑks dʒʌmps oʊvɚ ðə dɑɡ."  # noqa: RUF001 - phonemes are meant as they stand
words = st.text(alphabet="abcdefə", min_size=1, max_size=12)
plans = st.builds(Plan, first=st.integers(16, 180), rtf=st.floats(0.2, 1))
marks = st.sampled_from(["", "", "", ",", ";", ".", "?", "!"])
texts = st.lists(st.tuples(words, marks), min_size=1, max_size=250).map(
    lambda parts: " ".join(word + mark for word, mark in parts)
)


def test_nothing_gives_nothing() -> None:
    assert split_phonemes("") == ()
    assert split_phonemes(" \n ") == ()


def test_a_short_text_is_one_piece() -> None:
    assert split_phonemes(SENTENCE) == (SENTENCE,)


def test_sentences_are_kept_whole_where_they_fit() -> None:
    assert split_phonemes(f"{SENTENCE} {SENTENCE} {SENTENCE}") == (SENTENCE, SENTENCE, SENTENCE)


def test_a_clause_is_cut_before_a_word_is() -> None:
    first = "a" * 20 + " " + "b" * 15 + ","
    assert split_phonemes(f"{first} {'c' * 12} {'d' * 30} {'e' * 30}")[0] == first


def test_a_sentence_is_not_cut_for_the_sake_of_what_follows_it() -> None:
    rest = "zzz sez ə wɜd."
    sentence = f"{'a' * 20} {'b' * 22}."
    assert split_phonemes(f"{sentence} {rest}") == (sentence, rest)


def test_where_there_is_no_mark_a_word_ends_the_piece() -> None:
    assert split_phonemes(" ".join(["abcd"] * 30))[0] == " ".join(["abcd"] * 9)


def test_an_unbroken_run_is_cut_where_the_model_must() -> None:
    assert [len(piece) for piece in split_phonemes("a" * 1200)] == [LONGEST_UNBROKEN, LONGEST_UNBROKEN, 180]


def test_a_later_sentence_is_not_swallowed_by_the_first_word_beyond() -> None:
    assert [len(piece) for piece in split_phonemes(f"{'a' * 50} {'b' * 600}")] == [50, 510, 90]


def test_the_last_words_do_not_lengthen_the_first_piece() -> None:
    text = "aaaaaaaaaaaa, aaaaaaaaaaaa, aaaaaaaaa, aaaaaaaaa,"
    assert split_phonemes(text) == ("aaaaaaaaaaaa, aaaaaaaaaaaa,", "aaaaaaaaa, aaaaaaaaa,")


@pytest.mark.parametrize(
    ("text", "lengths"),
    [
        (f"a {'b' * 200}", [1, 200]),
        (f"{'a' * 20} {'b' * 20} {'c' * 300}", [41, 300]),
        (f"{'a' * 47} b", [47, 1]),
        (f"{'a' * 48} {'b' * 48}", [48, 48]),
        (f"{'a' * 49} {'b' * 12}", [49, 12]),
        (f"{'a' * 23} {'b' * 23}.", [48]),
        (f"{'a' * 23} {'b' * 23}, ", [48]),
        (f"{'a' * 23} {'b' * 24}, ", [23, 25]),
        (f"{'a' * 24} {'b' * 12} {'c' * 12},", [24, 26]),
    ],
)
def test_only_a_word_longer_than_the_limit_exceeds_it(text: str, lengths: list[int]) -> None:
    assert [len(piece) for piece in split_phonemes(text)] == lengths


def test_a_run_without_spaces_is_not_cut_between_a_letter_and_its_marks() -> None:
    nasal = "e\u0303"
    pieces = split_phonemes("b" * 509 + nasal + "d" * 20)
    assert pieces == ("b" * 509, nasal + "d" * 20)
    assert [len(piece) for piece in split_phonemes("\u0303" * 600)] == [LONGEST_UNBROKEN, 90]


def test_a_lower_pace_lets_segments_grow_faster() -> None:
    text = " ".join(["abcd"] * 120)
    assert [len(piece) for piece in split_phonemes(text, Plan(first=24, rtf=0.5))] == [24, 44, 89, 179, 179, 79]


@example("aaaaaaaaaaaa, aaaaaaaaaaaa, aaaaaaaaa, aaaaaaaaa,", Plan())
@given(texts, plans)
def test_no_phoneme_is_lost_or_moved(text: str, plan: Plan) -> None:
    assert " ".join(split_phonemes(text, plan)) == text


@example("aaaaaaaaaaaa, aaaaaaaaaaaa, aaaaaaaaa, aaaaaaaaa,", Plan())
@given(texts, plans)
def test_every_piece_fits_and_the_first_is_short(text: str, plan: Plan) -> None:
    lengths = [len(piece) for piece in split_phonemes(text, plan)]
    assert lengths[0] <= plan.first
    assert max(lengths) <= LONGEST * STRETCH


any_word = st.one_of(
    st.text(alphabet="abe\u02d0\u0303\u0329", min_size=1, max_size=14),
    st.integers(1, 1_100).map(lambda length: "x" * length),
    st.integers(20, 60).map(lambda length: "e\u0303" * length),
)
separators = st.sampled_from([" ", "  ", "\n", "\t", "\u00a0", "\u2003", "\u2028", "\x1f", ", ", ". ", " … ", ",", "—"])
any_texts = st.lists(st.tuples(any_word, separators), max_size=40).map(lambda parts: "".join(map("".join, parts)))


@given(any_texts, plans)
def test_every_text_keeps_its_phonemes_and_every_piece_its_limit(text: str, plan: Plan) -> None:
    """What is longer than its limit is one word. The limit is the one at which no piece is late at the pace."""
    pieces = split_phonemes(text, plan)
    assert "".join("".join(pieces).split()) == "".join(text.split())
    assert all(piece == piece.strip() != "" for piece in pieces)
    for number, piece in enumerate(pieces):
        before = [len(each) for each in pieces[:number]]
        grown = max(TAIL, min(LONGEST, int(sum(before) / plan.rtf - sum(before[1:]))))
        limit = grown * STRETCH if number else plan.first
        assert len(piece) <= limit or (" " not in piece and len(piece) <= LONGEST_UNBROKEN)


@given(texts, plans)
def test_no_piece_is_late_at_the_pace(text: str, plan: Plan) -> None:
    """Work and audio by phonemes: whatever is heard must have been spoken."""
    lengths = [len(piece) for piece in split_phonemes(text, plan)]
    pace = plan.rtf / STRETCH
    done = heard_from = pace * lengths[0]
    for number, length in enumerate(lengths[1:], 1):
        done += pace * length
        buffered_until = heard_from + sum(lengths[:number])
        # The shortest piece that is ever cut may be longer than a very short first one allows.
        assert done <= buffered_until + 1 or length <= TAIL
