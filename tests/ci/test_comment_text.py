"""Hostile Markdown becomes text, and the summary's own structure is kept."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.ci.comment_text import MOST_CHARACTERS, harmless
from reports.views.summary import escape, table
from tests.ci.hostile import HOSTILE, has_only_the_kept_structure, is_text


@pytest.mark.parametrize("text", HOSTILE)
def test_hostile_markdown_is_text(text: str) -> None:
    assert is_text(harmless(text)), harmless(text)
    assert has_only_the_kept_structure(harmless(text)), harmless(text)


def test_what_the_checks_below_look_for_is_found() -> None:
    assert not any(
        map(has_only_the_kept_structure, ("<b>", "[x](y)", "```", "> x", "***", "*x*", "<https://x.example>"))
    )
    acted_on = (
        "<b>",
        "[x](y)",
        "&#64;octocat",
        "\\#1",
        "https&#58;//x",
        "www.x.example",
        "```",
        "/close",
        "!1",
        "\\~bug",
    )
    assert not any(map(is_text, acted_on))


@settings(max_examples=60)
@given(
    st.lists(
        st.one_of(
            st.sampled_from(HOSTILE), st.text(alphabet='<>[]()!@#`\\&;:|*_~$-=+. \n\tahtpsw/GH160!%"', max_size=40)
        )
    )
)
def test_whatever_is_mixed_of_it_is_text(parts: list[str]) -> None:
    once = harmless("".join(parts))
    assert is_text(once), once
    assert has_only_the_kept_structure(once), once
    assert harmless(once) == once


def test_tables_of_ours_come_through_as_they_are() -> None:
    """A whole summary is tried with the workflows, end to end."""
    rows = table(("a", "b"), [("x | y", "<b> & `c` #one a: b"), ("1. one", "- two")])
    assert harmless(rows) == rows
    assert harmless(escape("*bold* _it_ ~s~ $m$")) == escape("*bold* _it_ ~s~ $m$")


def test_a_long_summary_is_cut_at_a_line() -> None:
    cut = harmless("- line\n" * 100_000)
    assert len(cut) < MOST_CHARACTERS + 100
    assert cut.endswith("- line\n\n… and more, in the report.")
