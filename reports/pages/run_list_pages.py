"""The pages that list all runs: the newest ones, and pages of older ones, on which a run stays."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from reports.history.index import PastRun
from reports.pages.rendering import render, write
from reports.pages.run_pages import Site, run_page
from reports.text.choices import chosen
from reports.text.format import day

ON_A_PAGE = 2_000
"""Runs on a page of older ones. The page of the newest has up to twice as many, of about 500 bytes each."""
_NEWEST = "runs.html"
_FILTERS = {"worse": "worse", "failed": "failed", "unclear": "unclear", "better": "better", "same": "unchanged",
            "none": "nothing to compare with"}  # fmt: skip
"""The filters of a list of runs: CSS class of the headline → label."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RunLine:
    """A run in a list: its link, what it measured, and its result in a sentence."""

    href: str
    id: str
    when: str
    machine: str
    selection: str
    css: str
    word: str
    glyph: str
    sentence: str


@dataclass(frozen=True, slots=True, kw_only=True)
class _OlderRuns:
    """A page of older runs, newest first."""

    href: str
    lines: list[RunLine]

    @property
    def span(self) -> str:
        return f"{self.lines[-1].when} to {self.lines[0].when}"


def run_lines(runs: Sequence[PastRun]) -> list[RunLine]:
    """The lines of a list, in the order of the runs."""
    return [
        RunLine(
            href=run_page(run.id),
            id=run.id,
            when=day(run.started_at),
            machine=run.machine,
            selection=chosen(run.selection),
            css=run.css,
            word="target missed" if run.glyph == "!" else _FILTERS[run.css],
            glyph=run.glyph,
            sentence=run.sentence,
        )
        for run in runs
    ]


def write_run_lists(directory: Path, runs: Sequence[PastRun], *, bisections: Sequence[object]) -> None:
    """Write the lists of `runs`, which are newest first. Raises ReportError if writing fails."""
    count = max(0, len(runs) // ON_A_PAGE - 1)
    lines = run_lines(runs)
    older = [
        _OlderRuns(href=f"runs-{page + 1}.html", lines=lines[len(lines) - ON_A_PAGE * (page + 1) :][:ON_A_PAGE])
        for page in range(count)
    ]
    newest = lines[: len(lines) - ON_A_PAGE * count]
    pages = {_NEWEST: newest} | {page.href: page.lines for page in older}
    for name, listed in pages.items():
        others = [page for page in reversed(older) if page.href != name]
        shown = {"runs": listed, "older": others, "bisections": bisections if name == _NEWEST else ()}
        write(directory / name, render("runs.html", site=Site(root="", here=_NEWEST), newest=name == _NEWEST, **shown))
    for left in directory.glob("runs-*.html"):
        if left.name not in pages:
            left.unlink()
