"""The pages of bisections, and the lines that link to them."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from harness.core.records.bisection import Bisection
from reports.history.index import code_digest
from reports.pages.rendering import render, write
from reports.pages.run_pages import Site, bisection_address
from reports.text.format import day
from reports.views.bisection import bisection_view, omitted, shown_lines


@dataclass(frozen=True, slots=True, kw_only=True)
class BisectionLine:
    """A link to a bisection's page, with its answer."""

    href: str
    title: str
    sentence: str
    when: str


def bisection_lines(found: Sequence[Bisection]) -> list[BisectionLine]:
    """One line for each bisection."""
    views = [(each, bisection_view(each)) for each in found]
    return [
        BisectionLine(
            href=bisection_address(each.id), title=view.title, sentence=view.sentence, when=day(each.updated_at)
        )
        for each, view in views
    ]


def write_bisections(directory: Path, found: Sequence[Bisection]) -> None:
    """Write the page of each bisection, unless it shows the same already."""
    site = Site(root="../", here="runs.html")
    for each in found:
        path = directory / bisection_address(each.id)
        mark = hashlib.sha256(f"{code_digest()}\n{each!r}".encode()).hexdigest()[:16]
        if path.is_file() and mark in path.read_text(encoding="utf-8"):
            continue
        from reports.charts.bisection import draw_bisection

        view = bisection_view(each)
        page = render(
            "bisection.html",
            site=site,
            page=view,
            lines=shown_lines(view),
            left=omitted(view),
            drawing=draw_bisection(view),
            mark=mark,
        )
        write(path, page)
