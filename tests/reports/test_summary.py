"""The Markdown summary and the comparison of two runs."""

import html
import re
from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from benchmarks.synthetic_history import made_run
from harness.core.records.run import RunData
from harness.core.records.value import known
from reports.pages.rendering import commands
from reports.views.compare import compare_html, compare_markdown, comparison_of_runs
from reports.views.summary import MOST, escape, markdown_summary, sentence

from .conftest import SMALL


def test_the_verdict_comes_first_then_the_largest_changes(run: RunData) -> None:
    lines = markdown_summary(run).splitlines()
    assert (
        lines[0] == "## ▲ 6 of 94 figures got worse and 6 got better; 12 could not be measured; 15 targets are missed."
    )
    assert "### Worse" in lines
    assert lines.index("### Worse") < lines.index("### Better") < lines.index("### Targets")
    assert any(line.startswith("Suspects: onnxruntime 1.31.1") for line in lines)


def test_long_tables_are_cut_and_say_so(run: RunData) -> None:
    many = replace(run, targets=run.targets * 3)
    text = markdown_summary(many)
    rows = [line for line in text.splitlines() if line.startswith(("| ✕", "| ?"))]
    assert len(rows) == MOST
    assert "more, on the run's page." in text


def test_hostile_names_stay_text_in_markdown(hostile: RunData) -> None:
    text = markdown_summary(hostile)
    assert "<" not in text
    assert "\u202e" not in text
    assert "\x1b" not in text
    assert all(line.count(" | ") <= 5 for line in text.splitlines() if line.startswith("| "))


@given(st.text(alphabet="ab |*_`<>&[]()!#\n\r\u2028\u202e@~$\\:-+0.", max_size=40))
def test_escaped_text_is_one_line_without_markup(text: str) -> None:
    safe = escape(text)
    assert "\n" not in safe
    assert "\r" not in safe
    assert not re.search(r"(?<!\\)[*_`\[\]]", safe.replace("\\\\", ""))
    assert not set(safe) & set("<>|@\u202e\u2028")


def test_text_notifies_nobody() -> None:
    shown = html.unescape(re.sub(r"\\(\W)", r"\1", escape("@ann fixes #12 and @team/core, by a#7")))
    assert shown.replace("\u200b", "") == "@ann fixes #12 and @team/core, by a#7"
    assert not re.search(r"@\w|#\w", shown)
    assert sentence("see `a@b` and @ann").startswith("see `a@b` and &#64;&#8203;")
    assert escape("name @ git, C# and 5 # 6") == r"name &#64; git, C\# and 5 \# 6"


def test_a_run_compared_with_itself_shows_no_difference(run: RunData) -> None:
    view = comparison_of_runs(run, run)
    assert all(pair.css == "same" for pair in view.pairs)
    assert view.differences == ()
    assert view.sentence.endswith("that both runs have, none lies apart beyond their intervals.")


def test_a_planted_step_lies_apart_and_comes_first() -> None:
    made = replace(SMALL, blocks=48)
    before, after = made_run(made, 19), made_run(made, 21)
    view = comparison_of_runs(before, after)
    apart = [pair for pair in view.pairs if pair.css == "worse"]
    assert apart
    assert view.pairs[: len(apart)] == tuple(apart)
    assert {pair.label.what for pair in apart} == {"medium, whole"}
    assert ("onnxruntime", "1.31.1", "1.32.0") in {(each.name, each.before, each.value) for each in view.differences}
    text = compare_markdown(comparison_of_runs(before, after))
    assert text.startswith(f"## {after.run.id} against {before.run.id}")
    assert "| medium, whole" in text
    assert f"<h1>{after.run.id} against {before.run.id}</h1>" in compare_html(comparison_of_runs(before, after))


def test_conditions_that_lie_far_apart_are_listed_and_no_others(run: RunData) -> None:
    def under(**readings: float) -> RunData:
        conditions = replace(run.run.conditions, readings=tuple((name, known(each)) for name, each in readings.items()))
        return replace(run, run=replace(run.run, conditions=conditions, conditions_at_end=None))

    calm = under(frequency_mhz=3000.0, load_1min=0.1, pressure_memory_share=0.0, steal_since_boot_s=1.0)
    busy = under(frequency_mhz=2400.0, load_1min=0.4, pressure_memory_share=0.2, steal_since_boot_s=9.0)
    view = comparison_of_runs(calm, busy)
    assert {(each.name, each.before, each.value) for each in view.differences} == {
        ("Frequency (condition)", "3\u202f000 MHz", "2\u202f400 MHz"),
        ("Pressure memory (condition)", "0.0 %", "20.0 %"),
    }
    assert "Frequency" in compare_markdown(view)


def test_what_is_in_one_run_only_is_counted_by_side(run: RunData) -> None:
    known = [each for each in run.summaries if each.median is not None]
    fewer = replace(run, summaries=tuple(known[3:]))
    assert comparison_of_runs(fewer, run).sentence.endswith(" Without a counterpart: 3 only in the later.")
    assert comparison_of_runs(run, fewer).sentence.endswith(" Without a counterpart: 3 only in the earlier.")


def test_runs_of_two_machines_come_with_a_warning(run: RunData) -> None:
    elsewhere = replace(run, run=replace(run.run, machine=replace(run.run.machine, key="another")))
    assert "different machines" in comparison_of_runs(run, elsewhere).warnings[0]


def test_runs_without_a_common_figure_are_still_a_page(run: RunData) -> None:
    nothing = replace(run, summaries=())
    assert "no metric in common" in compare_html(comparison_of_runs(nothing, run))


def test_commands_are_code_and_nothing_else_is_markup() -> None:
    assert (
        sentence("run `kokoro-bench baseline promote <RUN>`, *now*")
        == "run `kokoro-bench baseline promote <RUN>`, \\*now\\*"
    )
    assert sentence("one ` alone") == "one \\` alone"
    assert commands("run `a <b>` & go") == "run <code>a &lt;b&gt;</code> &amp; go"
    assert commands("one ` <alone>") == "one ` &lt;alone&gt;"
