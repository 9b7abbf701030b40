"""The pages of bisections with their charts, and the lines that link to them."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from harness.core.records.bisection import Bisection
from reports.charts.style import ROLES, Drawn, drawn, label_per_cent
from reports.history.index import code_digest
from reports.pages.rendering import render, write
from reports.pages.run_pages import Site, bisection_address
from reports.text.format import day
from reports.views.bisection import BisectionView, bisection_view, omitted, percent_of, shown_lines

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


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
        from reports.pages.bisection_pages import draw_bisection

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


MOST_NAMED = 24
"""With more places than this, only the measured ones are named."""
_LONGEST = 18
_READING = (
    "Each mark is a place that was measured in the same blocks as good and bad, with a 95 % interval; a cross could "
    "not be measured. The dashed lines are good and bad. The band is where the change lies."
)


def draw_bisection(view: BisectionView) -> Drawn | None:
    """The chart; None if good and bad were not compared."""
    if view.whole is None:
        return None
    return drawn(f"bisection-{view.id}", lambda figure: _draw(figure, view), finding=view.sentence, reading=_READING)


def _draw(figure: "Figure", view: BisectionView) -> None:
    axes: Axes = figure.add_subplot()
    whole = percent_of(view.whole.point) if view.whole else 0.0
    for height in (0.0, whole):
        axes.axhline(height, color=ROLES["line"], linewidth=1, linestyle=(0, (4, 3)))
    axes.plot([0], [0.0], linestyle="none", marker="s", color=ROLES["quiet"], label="good")
    for line in view.lines:
        if line.is_step:
            axes.axvspan(_before(view, line.number), line.number, color=ROLES["band"], alpha=0.5)
    measured = [(line.number, line.ratio) for line in view.lines if line.ratio is not None]
    points = [percent_of(ratio.point) for _, ratio in measured]
    below = [point - percent_of(ratio.low) for point, (_, ratio) in zip(points, measured, strict=True)]
    above = [percent_of(ratio.high) - point for point, (_, ratio) in zip(points, measured, strict=True)]
    axes.errorbar(
        [number for number, _ in measured],
        points,
        yerr=[below, above],
        linestyle="none",
        marker="o",
        color=ROLES["link"],
        capsize=3,
        label="measured",
    )
    skipped = [line.number for line in view.lines if line.state == "skipped"]
    if skipped:
        axes.plot(skipped, [0.0] * len(skipped), linestyle="none", marker="x", color=ROLES["failed"], label="skipped")
    many = len(view.lines) > MOST_NAMED
    named = [line for line in view.lines if not many or line.ratio is not None or line.number == 0]
    axes.set_xticks([line.number for line in named], [_short(line.label) for line in named], rotation=45, ha="right")
    axes.set_xlim(-0.5, len(view.lines) - 0.5)
    label_per_cent(axes, f"{view.metric}, per cent more than good")


def _before(view: BisectionView, number: int) -> int:
    """The number of the nearest measured place before `number`."""
    return max((line.number for line in view.lines[:number] if line.ratio is not None), default=0)


def _short(label: str) -> str:
    return label if len(label) <= _LONGEST else f"…{label[1 - _LONGEST :]}"
