"""A table that fits its terminal: without vertical lines, and on a narrow one as a list."""

from collections.abc import Iterator

from rich import box
from rich.console import Console, ConsoleOptions, RenderResult
from rich.measure import Measurement
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

NARROW = 80
"""Columns below which folded cells are no longer read; a table that needs more becomes a list."""
UNBOUNDED = 10_000


class PlainTable(Table):
    """Below `NARROW` columns, where it would have to be folded: each row's name, then its figures by their headings."""

    def __init__(self, *headings: str, title: str = "") -> None:
        """The columns of `headings` fold what is too long for them."""
        super().__init__(
            title=title or None, title_justify="left", title_style="", box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0),
            expand=False, pad_edge=False,
        )  # fmt: skip
        for heading in headings:
            self.add_column(heading, overflow="fold")

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """As a table where there is room for it."""
        if options.max_width >= NARROW or self._wanted(console, options) <= options.max_width:
            yield from super().__rich_console__(console, options)
            return
        yield Text("")
        if self.title:
            yield Text(str(self.title))
        yield from self._listed(console)
        yield Text("")

    def _wanted(self, console: Console, options: ConsoleOptions) -> int:
        """The width at which nothing is folded."""
        unbounded = options.update(width=UNBOUNDED, max_width=UNBOUNDED)
        return sum(width.maximum for width in self._widths(console, unbounded))

    def _widths(self, console: Console, options: ConsoleOptions) -> Iterator[Measurement]:
        for column in self.columns:
            cells = [column.header, *column.cells]
            widest = max(Measurement.get(console, options, cell).maximum for cell in cells)
            yield Measurement(0, max(widest, column.min_width or 0) + 1)

    def _listed(self, console: Console) -> Iterator[Padding]:
        headings = [str(column.header) for column in self.columns[1:]]
        for name, *cells in zip(*(column.cells for column in self.columns), strict=True):
            shown = [console.render_str(cell) if isinstance(cell, str) else cell for cell in (name, *cells)]
            first, *figures = [cell if isinstance(cell, Text) else Text(str(cell)) for cell in shown]
            indent = len(first.plain) - len(first.plain.lstrip())
            yield Padding(Text(first.plain.strip(), style=first.style, overflow="fold"), (0, 0, 0, indent))
            filled = [
                Text.assemble(f"{heading} " if heading else "", figure)
                for heading, figure in zip(headings, figures, strict=True)
                if figure.plain.strip()
            ]
            if filled:
                yield Padding(Text(", ").join(filled), (0, 0, 0, indent + 2))
