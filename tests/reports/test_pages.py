"""The page of one run: golden bytes, what it lets in, and runs that have little or nothing to show."""

import os
import re
from dataclasses import replace
from html.parser import HTMLParser
from itertools import pairwise
from pathlib import Path

import pytest

from harness.core.errors import UsageError
from harness.core.records.run import RunData, RunStatus
from harness.core.records.verdict import VerdictKind
from harness.metrics.derive import RunValues
from reports.pages.rendering import render
from reports.pages.write import write_run_page
from reports.text.format import visible
from reports.views.view import Reference, run_view

GOLDEN = Path(__file__).parent / "golden" / "run.html"
VOID = {"meta", "link", "img", "br", "hr", "input"}


class Page(HTMLParser):
    """A page as a browser reads it: elements with their attributes, and the text of everything but style and script."""

    def __init__(self, html: str) -> None:
        super().__init__(convert_charrefs=True)
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self._quiet = 0
        self.open: list[str] = []
        self.feed(html)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        self._quiet += tag in ("style", "script")
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        self._quiet -= tag in ("style", "script")
        assert self.open.pop() == tag, f"</{tag}> closes something else"

    def handle_data(self, data: str) -> None:
        if not self._quiet:
            self.text += data

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.elements if name == tag]


def html_of(data: RunData) -> str:
    view = run_view(data, values=RunValues(data))
    return render("run.html", run=view, legend=view.legend, site=None)


def test_the_page_of_a_fixed_run_is_the_accepted_one_byte_for_byte(small_run: RunData) -> None:
    html = html_of(small_run)
    if os.environ.get("REGENERATE_GOLDEN"):
        GOLDEN.write_bytes(html.encode())
    assert html.encode() == GOLDEN.read_bytes(), "run with REGENERATE_GOLDEN=1 and review the difference"


def test_the_same_run_gives_the_same_bytes_with_its_matplotlib_figure(small_run: RunData, tmp_path: Path) -> None:
    first = write_run_page(small_run, tmp_path / "a.html").read_bytes()
    second = write_run_page(small_run, tmp_path / "b" / "c.html").read_bytes()
    assert first == second
    assert b'class="drawn"' in first
    assert re.search(rb"20\d\d-\d\d-\d\dT", first) is None, "a date from the drawing"


def test_the_policy_lets_in_nothing_but_the_page_s_own_style_and_script(run: RunData, tmp_path: Path) -> None:
    page = Page(write_run_page(run, tmp_path / "run.html").read_text(encoding="utf-8"))
    (policy,) = (each["content"] for each in page.all("meta") if each.get("http-equiv") == "Content-Security-Policy")
    assert policy is not None
    assert policy.startswith("default-src 'none';")
    assert "unsafe" not in policy
    assert "http" not in policy
    assert len(page.all("script")) == 1
    assert len(page.all("style")) == 1
    for tag, attributes in page.elements:
        assert not any(name.startswith("on") or name == "style" for name in attributes), (tag, attributes)
        for name in ("src", "href", "xlink:href", "action", "srcset", "data"):
            value = attributes.get(name)
            assert value is None or value.startswith("#"), (tag, name, value)


def test_nothing_on_the_page_points_outside(run: RunData, tmp_path: Path) -> None:
    html = write_run_page(run, tmp_path / "run.html").read_text(encoding="utf-8").replace("http-equiv", "")
    html = html.replace("http://www.w3.org/2000/svg", "")  # the script's name for SVG elements
    assert "http" not in html
    assert "url(" not in re.sub(r"url\(#\w+\)", "", html)


def test_a_hostile_name_in_every_field_is_shown_as_text(hostile: RunData) -> None:
    page = Page(html_of(hostile))
    assert page.open == []
    assert not page.all("img")
    assert len(page.all("script")) == 1
    assert page.text.count("<script>alert(1)</script>") > 10
    assert "⟨U+202E⟩gnp.exe" in page.text
    assert "\u202e" not in page.text
    assert "\x1b" not in page.text
    assert "{{ 7*7 }}" in page.text
    titles = [value or "" for _, attributes in page.elements for value in attributes.values()]
    assert not any("\u202e" in value for value in titles)


def test_every_drawing_says_what_it_shows(run: RunData, tmp_path: Path) -> None:
    page = Page(write_run_page(run, tmp_path / "run.html").read_text(encoding="utf-8"))
    drawings = [each for each in page.all("svg") if each.get("aria-hidden") != "true"]
    assert len(drawings) > 50
    for drawing in drawings:
        assert drawing["role"] == "img"
        assert drawing["aria-label"]
    assert any(
        "median" in (each["aria-label"] or "") and "reference" in (each["aria-label"] or "") for each in drawings
    )


def test_tables_tell_a_screen_reader_what_their_cells_are(run: RunData) -> None:
    page = Page(html_of(run))
    assert page.all("th")
    assert all(each.get("scope") in ("col", "row") for each in page.all("th"))
    headings = [tag for tag, _ in page.elements if re.fullmatch("h[1-6]", tag)]
    assert headings.count("h1") == 1
    assert all(int(after[1]) <= int(before[1]) + 1 for before, after in pairwise(headings))
    ids = [each["id"] for _, each in page.elements if "id" in each]
    assert len(ids) == len(set(ids))
    targets = {(each["href"] or "")[1:] for each in page.all("a")}
    assert targets <= set(ids)


def test_every_repetition_is_a_mark_and_disturbed_ones_are_told_apart(run: RunData) -> None:
    view = run_view(run, values=RunValues(run))
    latency = next(each for each in view.figures if each.anchor == "latency")
    valid = [each for each in run.repetitions if each.phase.value == "measured" and each.outcome.valid]
    drawn = "".join(row.mark for row in latency.rows)
    assert drawn.count("<use ") == len(valid)
    assert drawn.count('class="d"') == sum(bool(each.disturbance.marks) for each in valid)
    assert latency.rows[0].mark.count('href="#m0"') + latency.rows[0].mark.count('href="#m1"') > 0


def test_without_a_baseline_the_page_says_so_and_claims_no_change(without_baseline: RunData) -> None:
    page = Page(html_of(without_baseline))
    assert "Nothing to compare with: no baseline exists yet" in page.text
    assert "What got worse" not in page.text
    assert "relative to its own median" in page.text


def test_a_run_in_which_everything_failed_says_so_with_the_reason_and_the_stderr(
    all_failed: RunData, tmp_path: Path
) -> None:
    page = Page(write_run_page(all_failed, tmp_path / "failed.html").read_text(encoding="utf-8"))
    assert "Nothing could be measured validly" in page.text
    assert "The worker was killed by signal 9" in page.text
    assert "Killed" in page.text
    assert "nan" not in page.text.lower().replace("name", "")


def test_a_metric_unknown_everywhere_is_listed_with_its_reason(small_run: RunData) -> None:
    blind = replace(
        small_run,
        summaries=tuple(
            replace(each, n=0, median=None, interval=None, reason="no counter on this system")
            if each.metric == "cpu_per_audio"
            else each
            for each in small_run.summaries
        ),
        verdicts=tuple(each for each in small_run.verdicts if each.metric != "cpu_per_audio"),
        repetitions=tuple(replace(each, cpu_ns=None) for each in small_run.repetitions),
    )
    view = run_view(blind, values=RunValues(blind))
    (gap,) = (each for each in view.gaps if each.reason == "No counter on this system.")
    assert gap.what == "CPU time per second of speech"
    assert all("CPU time" not in column.title for table in view.matrices for column in table.columns)


def test_an_empty_run_is_a_page(small_run: RunData) -> None:
    empty = RunData(run=replace(small_run.run, status=RunStatus.INTERRUPTED, ended_at=None, reason=""))
    page = Page(html_of(empty))
    assert "This run was interrupted" in page.text
    assert "No target applies to this run." in page.text


def test_what_differs_from_the_reference_run_is_named(small_run: RunData, without_baseline: RunData) -> None:
    view = run_view(small_run, values=RunValues(small_run), reference=Reference(run=without_baseline.run))
    named = {(each.name, each.before, each.value) for each in view.facts.differences}
    assert ("onnxruntime", "1.31.1", "1.32.0") in named


def test_the_band_lies_where_the_verdict_says(run: RunData) -> None:
    from reports.views.view import implied

    regressed = next(each for each in run.verdicts if each.kind is VerdictKind.REGRESSED and each.change)
    key = (regressed.scenario_id, regressed.metric)
    summary = next(each for each in run.summaries if (each.scenario_id, each.metric) == key)
    band = implied(run)[key]
    assert summary.median is not None
    assert summary.median > band.high, "a regression is a median beyond the band"


def test_a_page_that_cannot_be_written_says_where(run: RunData, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(UsageError) as raised:
        write_run_page(run, tmp_path / "file" / "run.html")
    assert str(tmp_path) in raised.value.what
    assert raised.value.remedy


def test_hidden_characters_are_shown_as_their_numbers() -> None:
    assert visible("a\u202eb\x00c\u2028") == "a⟨U+202E⟩b⟨U+0000⟩c⟨U+2028⟩"
    assert visible("é 1.5\u202fs\nnext") == "é 1.5\u202fs\nnext"
