"""A scatter plot of speed and quality: the change of each variant's latency and of its quality, from its original.

The original is at the crossing of the two lines of 0. Each variant has a letter, as in the table below the plot. The
letters and names are listed in a margin, so that they never overlap; thin lines lead to the marks.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from markupsafe import Markup

from reports.charts.svg import Axis, Range, axis, escape
from reports.text.format import number, percent

_LINE = 19.0
"""Pixels between two names in the margin."""
_LEAST_X, _LEAST_Y = 0.05, 0.05
"""The axes reach at least 5 % and 0.05 MOS to either side of the original."""
_LONGEST = 40
"""The most characters of a name in the margin; the table has the whole name."""
_CHARACTER = 7.4
"""The approximate width of a character of a name, px."""
_SERIOUS = {"unclear": 1, "failed": 2}
"""Classes whose marks are drawn on top of others, the highest last."""
_BESIDE = ((14.0, -10.0), (-14.0, -10.0), (14.0, 12.0), (-14.0, 12.0), (0.0, -18.0), (0.0, 20.0))
_ROOM = 13.0
"""The possible offsets of a letter from its mark, and its least distance from other marks and letters, px."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Point:
    """A variant: `x` is the change of its latency (a ratio to 1), `y` the median difference of its quality (MOS).

    `glyph` and `css` show the verdict on its speech. `dots` are the differences of single texts with their tooltips;
    `words` is the tooltip of the variant.
    """

    letter: str
    name: str
    glyph: str
    css: str
    x: Range
    y: float
    dots: tuple[tuple[float, str], ...]
    words: str
    weight: float = 1.0
    """Its memory as a ratio of that of the original, which is the size of its mark."""
    frontier: bool = False
    """Whether it is on the Pareto frontier."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Frame:
    """The layout of the plot, in pixels."""

    width: float
    height: float
    left: float
    top: float
    right: float
    bottom: float
    across: Axis
    down: Axis

    def x(self, value: float) -> float:
        return self.at_x(self.across.at(value))

    def y(self, value: float) -> float:
        return self.at_y(self.down.at(value))

    def at_x(self, per_cent: float) -> float:
        return self.left + (self.right - self.left) * per_cent / 100

    def at_y(self, per_cent: float) -> float:
        return self.bottom - (self.bottom - self.top) * per_cent / 100


@dataclass(frozen=True, slots=True, kw_only=True)
class _Label:
    """A name in the margin, and the position of its mark."""

    text: str
    letter: str
    glyph: str
    css: str
    x: float
    y: float


def draw(points: Sequence[Point], *, original: str, role: str, finding: str, narrow: bool) -> Markup:
    """The plot for wide or for narrow screens; `finding` is its alternative text.

    `original` is the name of the variants' original, and `role` the word for it, such as "reference".
    """
    frame = _frame(points, narrow=narrow)
    places = [(frame.x(each.x.point), frame.y(each.y)) for each in points]
    labels = [_Label(text=original, letter="", glyph="", css="bare", x=frame.x(0), y=frame.y(0))]
    labels += [
        _Label(text=each.name, letter=each.letter, glyph=each.glyph, css=each.css, x=x, y=y)
        for each, (x, y) in zip(points, places, strict=True)
    ]
    serious = sorted(points, key=lambda each: _SERIOUS.get(each.css, 0))
    parts = [
        f'<svg class="trade strip" viewBox="0 0 {frame.width:g} {frame.height:g}" role="img"',
        f' aria-label="{escape(finding)}">',
        *_scales(frame),
        *_frontier(points, frame),
        *_margin(labels, frame, role="" if narrow else role),
        *(part for each in serious for part in _marks(each, frame)),
        *_letters(points, places, origin=(frame.x(0), frame.y(0))),
        f'<circle class="origin" cx="{frame.x(0):.1f}" cy="{frame.y(0):.1f}" r="6"/>',
        "</svg>",
    ]
    return Markup("".join(parts))  # noqa: S704 - made of numbers and escaped texts


def _frame(points: Sequence[Point], *, narrow: bool) -> _Frame:
    xs = [end for each in points for end in (each.x.point, each.x.low, each.x.high)]
    ys = [apart for each in points for apart, _ in each.dots]
    across = _axis([-_LEAST_X, _LEAST_X, *xs], about=4 if narrow else 8, shares=True)
    down = _axis([-_LEAST_Y, _LEAST_Y, *ys], about=5, shares=False)
    plot = max(300.0, _LINE * (len(points) + 2))
    name = _CHARACTER * min(_LONGEST, max(len(each.name) for each in points) + len("reference"))
    width, left, right = (360.0, 46.0, 318.0) if narrow else (1180.0, 62.0, 1180.0 - 60 - name)
    return _Frame(
        width=width, height=plot + 68, left=left, top=24.0, right=right, bottom=24.0 + plot, across=across, down=down
    )


def _axis(values: Sequence[float], *, about: int, shares: bool) -> Axis:
    low, high = min(values), max(values)
    room = 0.06 * (high - low)

    def label(value: float) -> str:
        if abs(value) < 1e-9:
            return "0"
        if shares:
            return percent(value, 0 if abs(100 * value - round(100 * value)) < 1e-6 else 1)
        text = number(value, 2 if abs(100 * value - round(100 * value)) < 1e-6 else 3)
        return text if value < 0 else f"+{text}"

    return axis(low - room, high + room, label, about=about)


def _scales(frame: _Frame) -> list[str]:
    """The grid, the ticks and the titles of the axes."""
    parts = []
    for tick in frame.across.ticks:
        x = frame.at_x(tick.at)
        css, strong = ("g0", " zero") if tick.is_origin else ("g", "")
        parts.append(
            f'<line class="{css}" x1="{x:.1f}" x2="{x:.1f}" y1="{frame.top:g}" y2="{frame.bottom:g}"/>'
            f'<text class="tick{strong}" x="{x:.1f}" y="{frame.bottom + 16:g}" text-anchor="middle">'
            f"{escape(tick.label)}</text>"
        )
    for tick in frame.down.ticks:
        y = frame.at_y(tick.at)
        css, strong = ("g0", " zero") if tick.is_origin else ("g", "")
        parts.append(
            f'<line class="{css}" x1="{frame.left:g}" x2="{frame.right:g}" y1="{y:.1f}" y2="{y:.1f}"/>'
            f'<text class="tick{strong}" x="{frame.left - 6:g}" y="{y + 4:.1f}" text-anchor="end">'
            f"{escape(tick.label)}</text>"
        )
    parts.append(
        f'<text class="tick" x="2" y="12">DNSMOS overall, difference (up is better)</text>'
        f'<text class="tick" x="{frame.right:g}" y="{frame.bottom + 36:g}" text-anchor="end">'
        "latency, change (left is faster)</text>"
    )
    return parts


def _frontier(points: Sequence[Point], frame: _Frame) -> list[str]:
    """A line through the variants on the Pareto frontier, from the fastest to the slowest."""
    through = sorted((frame.x(each.x.point), frame.y(each.y)) for each in points if each.frontier)
    if len(through) < 2:
        return []
    return [f'<path class="frontier" d="M{"L".join(f"{x:.1f} {y:.1f}" for x, y in through)}"/>']


def _margin(labels: Sequence[_Label], frame: _Frame, *, role: str) -> list[str]:
    """The names in the order of their marks, with lines to them. Without a `role`, only the letters."""
    ordered = sorted(labels, key=lambda each: (each.y, each.x))
    at = frame.right + 12
    parts = []
    for each, y in zip(ordered, _spread([label.y for label in ordered], frame), strict=True):
        name = each.text if len(each.text) <= _LONGEST else each.text[: _LONGEST - 1].rstrip() + "…"
        shown = each.letter or role or "○"
        verdict = f'<tspan dx="4" class="t-{escape(each.css)}">{escape(each.glyph)}</tspan>' if each.glyph else ""
        own = "" if not role else f'<tspan dx="8" class="name">{escape(name)}</tspan>'
        parts.append(
            f'<path class="lead" d="M{each.x:.1f} {each.y:.1f}L{at - 4:.1f} {y:.1f}"/>'
            f'<text class="who" x="{at:g}" y="{y + 4:.1f}">{escape(shown)}{verdict}{own}</text>'
        )
    return parts


def _spread(wanted: Sequence[float], frame: _Frame) -> list[float]:
    """Positions at least a line apart, as near to the wanted ones (in order) as the height allows."""
    places: list[float] = []
    for y in wanted:
        places.append(max(y, places[-1] + _LINE) if places else max(y, frame.top + 6))
    low = frame.bottom - 4
    for index in range(len(places) - 1, -1, -1):
        places[index] = min(places[index], low)
        low = places[index] - _LINE
    return places


def _marks(point: Point, frame: _Frame) -> list[str]:
    """The texts of a variant, one above the other, the interval of its latency, and its median."""
    x, y = frame.x(point.x.point), frame.y(point.y)
    ends = [frame.y(apart) for apart, _ in point.dots]
    return [
        f'<line class="reach" x1="{x:.1f}" x2="{x:.1f}" y1="{min(ends):.1f}" y2="{max(ends):.1f}"/>',
        *(
            f'<use href="#m0" x="{x:.1f}" y="{frame.y(apart):.1f}"><title>{escape(words)}</title></use>'
            for apart, words in point.dots
        ),
        f'<line class="i" x1="{frame.x(point.x.low):.1f}" x2="{frame.x(point.x.high):.1f}" y1="{y:.1f}" y2="{y:.1f}"/>',
        f'<use href="#m2" class="middle t-{escape(point.css)}"',
        f' transform="translate({x:.1f} {y:.1f}) scale({_scale(point):.2f})">',
        f"<title>{escape(point.words)}</title></use>",
    ]


def _scale(point: Point) -> float:
    """The scale of a mark, so that its area is about proportional to the memory."""
    return min(2.6, max(1.3, 1.9 * math.sqrt(max(0.0, point.weight))))


def _letters(
    points: Sequence[Point], places: Sequence[tuple[float, float]], *, origin: tuple[float, float]
) -> list[str]:
    """The letter of each variant at its mark, unless other marks and letters leave no room."""
    taken = [origin]
    parts = []
    for each, (x, y) in zip(points, places, strict=True):
        others = [*taken, *(place for place in places if place != (x, y))]
        free = ((x + across, y + down) for across, down in _BESIDE)
        found = next((place for place in free if all(math.dist(place, other) >= _ROOM for other in others)), None)
        if found:
            taken.append(found)
            parts.append(
                f'<text class="letter" x="{found[0]:.1f}" y="{found[1] + 4:.1f}" text-anchor="middle">'
                f"{escape(each.letter)}</text>"
            )
    return parts
