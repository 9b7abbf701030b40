"""A bisection in the terminal: a line for each place, and the answer."""

from collections.abc import Sequence

from rich.console import Console
from rich.text import Text

from harness.core.records.bisection import Bisection
from reports.terminal.console import make_console, tell
from reports.terminal.plain_table import PlainTable
from reports.text.format import visible
from reports.views.bisection import bisection_view, omitted, shown_lines


def print_bisection(found: Bisection, *, notes: Sequence[str] = (), console: Console | None = None) -> None:
    """The table, the answer, and what else there is to say."""
    console = console or make_console()
    view = bisection_view(found)
    console.print()
    tell(console, f"Bisection {view.id}: {view.title}")
    details = any(line.detail for line in view.lines)
    table = PlainTable(
        "place",
        *(["what"] if details else []),
        f"{view.metric or 'metric'} against good",
        "interval",
        "pairs",
        "is",
        "step here",
    )
    for line in shown_lines(view):
        cells = [Text(visible(line.label), style="bold" if line.is_step else "")]
        cells += [Text(visible(line.detail))] if details else []
        table.add_row(
            *cells,
            line.change or "–",
            line.interval or "–",
            str(line.pairs) if line.pairs else "–",
            line.state,
            Text(f"▲ {line.probability}" if line.is_step else line.probability),
        )
    console.print(table)
    if left := omitted(view):
        tell(console, left, "dim")
    tell(console, view.sentence, "bold")
    for text in (*view.more, *notes):
        tell(console, text)
