"""The profiles of single arms as tables: which operators take the time."""

from collections.abc import Iterator

from rich.table import Table

from harness.core.records.profile import ProfileSheet
from reports.terminal.plain_table import PlainTable

MOST = 12
"""Operators of a table; the rest is one line."""


def profile_tables(sheet: ProfileSheet) -> Iterator[tuple[str, Table]]:
    """A title and a table for each arm that was profiled alone: its operators, the longest first."""
    for profiled in sheet.profiled:
        if profiled.reference or not profiled.operators:
            continue
        whole = sum(each.after for each in profiled.operators)
        table = PlainTable()
        for column in ("operator", "ms", "of the time"):
            table.add_column(column, justify="left" if column == "operator" else "right", overflow="fold")
        lines = [(each.operator, each.after) for each in profiled.operators[:MOST]]
        rest = profiled.operators[MOST:]
        if rest:
            lines.append((f"{len(rest)} others", sum(each.after for each in rest)))
        for name, seconds in lines:
            table.add_row(name, f"{1e3 * seconds:.2f}", f"{100 * seconds / whole:.1f} %" if whole else "–")
        title = f"Operators of {profiled.candidate}, medians of {profiled.repetitions} profiled repetitions:"
        yield title, table
