"""The chart of a bisection: its places from left to right, with the ratio of each measured one to good."""

from typing import TYPE_CHECKING

from reports.charts.style import ROLES, Drawn, drawn, label_per_cent
from reports.views.bisection import BisectionView, percent_of

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

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
