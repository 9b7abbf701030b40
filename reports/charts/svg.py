"""Small drawings in the rows of tables: SVG written by hand, because a page holds hundreds of them.

Horizontal positions are per cent of the width, so that a drawing fits its row without distortion on any screen and on
paper. Colours are classes of the style sheet, for light and dark pages.
"""

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from typing import NamedTuple

from markupsafe import Markup
from markupsafe import escape as escape_html

from reports.text.format import visible

LANE = 9
"""The height of the lane of a launch in a strip, in pixels."""
EDGE = 6
_WIDE, _HIGH, _PAD = 96.0, 22.0, 3.0
"""The size of a spark line and its padding, in pixels."""
SHAPES = 4
"""Launches take these shapes in turn: circle, square, diamond, triangle (see the definitions in base.html)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Tick:
    """A labelled position on an axis, in per cent of its width."""

    at: float
    label: str
    is_origin: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Axis:
    """A linear scale, shared by all rows of a figure. Values beyond an end are drawn there as an arrow."""

    low: float
    high: float
    ticks: tuple[Tick, ...]
    grid: tuple[str, ...]
    """An SVG line for each tick, which is the same in all rows except for its lower end."""

    def at(self, value: float) -> float:
        """The position of a value in per cent of the width, clipped at the ends."""
        return min(100.0, max(0.0, 100.0 * (value - self.low) / (self.high - self.low)))

    def holds(self, value: float) -> bool:
        return self.low <= value <= self.high


class Dot(NamedTuple):
    """One repetition in a strip. `title`, its tooltip, is not escaped: it must hold no text of users.

    A tuple, because a page has thousands of them.
    """

    value: float
    lane: int
    title: str
    disturbed: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Range:
    """A point with its interval."""

    point: float
    low: float
    high: float


def axis(low: float, high: float, label: Callable[[float], str], *, about: int = 6) -> Axis:
    """An axis from `low` to `high` with about `about` round ticks."""
    step = round_step((high - low) / about)
    first = math.ceil(low / step - 1e-9)
    last = math.floor(high / step + 1e-9)
    values = [step * index for index in range(first, last + 1)]
    spread = high - low
    ticks = tuple(
        Tick(
            at=100 * (value - low) / spread,
            label=label(value),
            is_origin=abs(value) <= 1e-9 * spread,
        )
        for value in values
    )
    return Axis(low=low, high=high, ticks=ticks, grid=tuple(map(_grid_line, ticks)))


def _grid_line(tick: Tick) -> str:
    at = place(tick.at)
    return f'<line class="{"g0" if tick.is_origin else "g"}" x1="{at}" x2="{at}"'


def round_step(rough: float) -> float:
    """The smallest of 1, 2, 2.5 and 5 times a power of ten that is at least `rough`."""
    power = 10.0 ** math.floor(math.log10(rough))
    return next(step * power for step in (1.0, 2.0, 2.5, 5.0, 10.0) if step * power >= rough * 0.999)


def strip(
    dots: Sequence[Dot],
    *,
    on: Axis,
    lanes: int,
    reference: Range | None,
    own: Range | None,
    finding: str,
) -> Markup:
    """Every repetition of one scenario, a lane per launch, over the interval of the reference; the own one is below."""
    height = 2 * EDGE + LANE * lanes
    parts = [opened("strip", height, finding), *_grid(on, height)]
    if reference is not None:
        parts.append(_band(on, reference, height, "ref"))
    parts += _dots(on, dots)
    if own is not None:
        parts.append(_whisker(on, own, height - EDGE / 2 - 1))
    parts.append("</svg>")
    return Markup("".join(parts))  # noqa: S704 - made of numbers and escaped texts alone


def forest(change: Range, *, on: Axis, tolerance: float | None, css: str, finding: str) -> Markup:
    """One change with its interval, against the band of the tolerance."""
    height = 18
    parts = [opened("forest", height, finding), *_grid(on, height)]
    if tolerance is not None:
        parts.append(_band(on, Range(point=0.0, low=-tolerance, high=tolerance), height, "tol"))
    parts.append(f'<g class="v-{escape(css)}">{_whisker(on, change, height / 2)}</g></svg>')
    return Markup("".join(parts))  # noqa: S704 - made of numbers and escaped texts alone


def scale_line(on: Axis) -> Markup:
    """The labels of an axis, for the head and the foot of a figure."""
    texts = [
        f'<text x="{place(tick.at)}" y="12" class="{"tick zero" if tick.is_origin else "tick"}"'
        f' text-anchor="{_anchor(tick.at)}">{escape(tick.label)}</text>'
        for tick in on.ticks
    ]
    body = "".join(texts)
    return Markup(f'<svg class="axis" width="100%" height="16" aria-hidden="true">{body}</svg>')  # noqa: S704 - escaped


def spark(values: Sequence[float | None], *, finding: str) -> Markup:
    """A line over the last runs, oldest left, with gaps for runs without a value; empty for a single value."""
    known = [value for value in values if value is not None]
    if not known:
        return Markup('<span class="quiet">no figures</span>')
    if len(known) == 1:
        return Markup("")
    low, high = min(known), max(known)
    floor, up = (_HIGH - _PAD, (_HIGH - 2 * _PAD) / (high - low)) if high > low else (_HIGH / 2, 0.0)
    parts, pen, end = [], "M", ("", "")
    for x, value in zip(_spread(len(values)), values, strict=True):
        if value is None:
            pen = "M"
            continue
        end = x, f"{floor - up * (value - low):.1f}"
        parts.append(f"{pen}{end[0]} {end[1]}")
        pen = "L"
    return Markup(  # noqa: S704 - made of numbers and an escaped text
        f'<svg class="spark" width="{_WIDE:g}" height="{_HIGH:g}" viewBox="0 0 {_WIDE:g} {_HIGH:g}"'
        f' role="img" aria-label="{escape(finding)}"><path d="{"".join(parts)}"/>'
        f'<circle cx="{end[0]}" cy="{end[1]}" r="2.2"/></svg>'
    )


@cache
def _spread(runs: int) -> tuple[str, ...]:
    """The horizontal position of each of `runs` runs in a spark line."""
    step = (_WIDE - 2 * _PAD) / max(1, runs - 1)
    return tuple(f"{_PAD + index * step:.1f}" for index in range(runs))


def place(per_cent: float) -> str:
    """A horizontal position, with as many digits as a screen can show."""
    return f"{per_cent:.2f}".rstrip("0").rstrip(".") + "%"


def opened(css: str, height: float, finding: str) -> str:
    """The opening tag of a drawing of full width, `height` px high; `finding` is its alternative text."""
    return f'<svg class="{css}" width="100%" height="{height:g}" role="img" aria-label="{escape(finding)}">'


def _grid(on: Axis, height: float) -> list[str]:
    end = f' y2="{height:g}"/>'
    return [line + end for line in on.grid]


def _band(on: Axis, band: Range, height: float, css: str) -> str:
    left, right = on.at(band.low), on.at(band.high)
    width, middle = place(max(0.2, right - left)), place(on.at(band.point))
    return (
        f'<rect class="{css}" x="{place(left)}" y="0" width="{width}" height="{height:g}"/>'
        f'<line class="{css}" x1="{middle}" x2="{middle}" y1="0" y2="{height:g}"/>'
    )


def _dots(on: Axis, dots: Sequence[Dot]) -> Iterator[str]:
    low, high, across = on.low, on.high, 100 / (on.high - on.low)
    for value, lane, title, disturbed in dots:
        if low <= value <= high:
            x, shape = place(across * (value - low)), "mx" if disturbed else f"m{lane % SHAPES}"
        else:
            x, shape = ("100%", "mr") if value > high else ("0%", "ml")
        css = ' class="d"' if disturbed else ""
        yield f'<use href="#{shape}" x="{x}" y="{_lane_middle(lane)}"{css}><title>{title}</title></use>'


@cache
def _lane_middle(lane: int) -> str:
    return f"{EDGE + LANE * lane + LANE / 2 - 1:g}"


def _whisker(on: Axis, own: Range, y: float) -> str:
    left, right, middle = (place(on.at(value)) for value in (own.low, own.high, own.point))
    return (
        f'<line class="i" x1="{left}" x2="{right}" y1="{y:g}" y2="{y:g}"/>'
        f'<line class="im" x1="{middle}" x2="{middle}" y1="{y - 5:g}" y2="{y + 5:g}"/>'
    )


def _anchor(at: float) -> str:
    if at < 4:
        return "start"
    return "end" if at > 96 else "middle"


def escape(text: str) -> Markup:
    """Text that is safe in attributes and elements, with invisible characters made visible."""
    return escape_html(visible(text))
