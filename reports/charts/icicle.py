"""A differential icicle chart of a time: its parts, and which of them grew or shrank. SVG written by hand.

Each block is as wide as the longer of its two times, so that parts of only one side are visible too. Its colour shows
the direction of the difference, and the strength of the colour its size.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from markupsafe import Markup

from reports.charts.svg import escape, opened, place

ROW = 24
"""The height of a row in pixels."""
THINNEST = 0.15
"""A block below this per cent of the width is not drawn."""
NARROWEST_NAMED = 2.0
"""A block below this per cent of the width has its name only in its tooltip."""
FAINTEST, STRONGEST = 0.12, 0.5
"""The opacities of the smallest and of the largest difference."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Block:
    """A part of the time, with the parts inside it. Times are in seconds; `before` is None without another side."""

    label: str
    before: float | None
    after: float
    inside: tuple["Block", ...] = ()

    @property
    def width(self) -> float:
        """The longer of its times, but at least the sum of the widths of its parts."""
        return max(self.before or 0.0, self.after, sum(part.width for part in self.inside))

    @property
    def difference(self) -> float:
        """After minus before; 0 without another side."""
        return 0.0 if self.before is None else self.after - self.before

    @property
    def words(self) -> str:
        """Its name with its time or both of its times."""
        if self.before is None:
            return f"{self.label}: {1e3 * self.after:.2f} ms"
        return f"{self.label}: {1e3 * self.before:.2f} → {1e3 * self.after:.2f} ms ({1e3 * self.difference:+.2f} ms)"


def icicle(whole: Block, *, finding: str) -> Markup:
    """The whole in the first row, its parts in the next ones."""
    largest = max((abs(part.difference) for part in _all(whole)), default=0.0) or 1.0
    depth = _depth(whole)
    scale = 100 / (whole.width or 1.0)
    body = "".join(_drawn(whole, at=0.0, row=0, scale=scale, largest=largest))
    return Markup(f"{opened('icicle', ROW * depth, finding)}{body}</svg>")  # noqa: S704 - numbers and escaped texts


def _all(block: Block) -> Iterator[Block]:
    yield block
    for part in block.inside:
        yield from _all(part)


def _depth(block: Block) -> int:
    return 1 + max(map(_depth, block.inside), default=0)


def _drawn(block: Block, *, at: float, row: int, scale: float, largest: float) -> Iterator[str]:
    """A block and what is inside it, from `at` per cent on. A nested drawing clips its text."""
    width = scale * block.width
    if width < THINNEST:
        return
    css = "worse" if block.difference > 0 else "better" if block.difference < 0 else "same"
    strength = FAINTEST + (STRONGEST - FAINTEST) * min(1.0, abs(block.difference) / largest)
    yield (
        f'<svg class="part {css}" x="{place(at)}" y="{row * ROW}" width="{place(width)}" height="{ROW}">'
        f"<title>{escape(block.words)}</title>"
        f'<rect width="100%" height="100%" fill-opacity="{strength:.2f}"/>'
        + (f'<text x="4" y="{ROW - 8}">{escape(block.label)}</text>' if width >= NARROWEST_NAMED else "")
        + "</svg>"
    )
    for part in block.inside:
        yield from _drawn(part, at=at, row=row + 1, scale=scale, largest=largest)
        at += scale * part.width
