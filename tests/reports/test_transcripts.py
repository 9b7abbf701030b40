"""A transcript beside its text: exactly the words that differ are marked, and nothing in them becomes markup."""

import re

from reports.text.transcripts import MOST_WORDS, marked, plain

from .conftest import HOSTILE
from .test_pages import Page


def bare(html: str) -> str:
    """The marks without what is for screen readers only."""
    return re.sub(r'<span class="unseen">[^<]*</span>', "", html)


def test_only_words_that_differ_are_marked() -> None:
    found = marked("The quick brown fox, and then it sleeps.", "the quick brown box and it sleeps tonight")
    assert bare(found) == (
        "The quick brown <del>fox,</del> <ins>box</ins> and <del>then</del> it sleeps. <ins>tonight</ins>"
    )


def test_case_and_punctuation_and_the_form_of_characters_are_no_difference() -> None:
    assert marked("“Well – ﬁne!” said Anna.", "well fine said ANNA") == "“Well – ﬁne!” said Anna."


def test_a_screen_reader_is_told_what_is_marked() -> None:
    page = Page(str(marked("a fox", "a box")))
    assert page.text == "a missing: fox added: box"
    assert [tag for tag, _ in page.elements if tag in ("del", "ins")] == ["del", "ins"]


def test_an_empty_transcript_strikes_out_the_whole_text() -> None:
    assert bare(marked("Hello world.", "")) == "<del>Hello world.</del>"
    assert marked("", "") == ""


def test_text_without_spaces_is_compared_character_by_character() -> None:
    assert bare(marked("今日は晴れ", "今日は雨")) == "今日は<del>晴れ</del><ins>雨</ins>"


def test_markup_and_hidden_characters_are_shown_as_text() -> None:
    for found in (marked(HOSTILE, "hello"), marked("hello", HOSTILE), plain(HOSTILE)):
        page = Page(str(found))
        assert page.open == []
        assert {tag for tag, _ in page.elements} <= {"del", "ins", "span"}
        assert "<script>alert(1)</script>" in page.text
        assert "⟨U+202E⟩gnp.exe" in page.text
        assert "\u202e" not in found
        assert "\x1b" not in found


def test_a_recogniser_that_loops_does_not_fill_the_page() -> None:
    found = marked("one two", "one two " * 5000)
    assert found.endswith(f'<span class="quiet">… and {10_000 - MOST_WORDS:,} more words</span>'.replace(",", "\u202f"))
    assert len(found) < 10 * MOST_WORDS
