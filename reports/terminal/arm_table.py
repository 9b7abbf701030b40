"""Models, providers and options side by side, in the terminal: the report's own figures."""

from rich.table import Table
from rich.text import Text

from harness.core.records.run import RunData
from reports.terminal.plain_table import PlainTable
from reports.views.arms import ArmLine, arms, cell

COLUMNS = ("model_size", "load_time", "latency", "change", "speech", "rtf", "rss_peak", "mcd", "duration_ratio")
"""Of the report's columns those that a terminal has room for."""
NARROW = ("model_size", "load_time", "change", "speech", "rtf", "rss_peak", "mcd")
HEADS = {
    "model_size": "size",
    "load_time": "load",
    "change": "change *",
    "rss_peak": "peak",
    "mcd": "mcd *",
    "duration_ratio": "duration *",
}

HEAD, TAIL = 32, 64
"""Characters of a long reason that are shown: what it is stands at the beginning, why at the end."""


def arm_table(data: RunData, *, wide: bool) -> Table | None:
    """One line per combination that spoke the run's commonest text; None where there is but one."""
    found = arms(data)
    if len(found.lines) < 2:
        return None
    shown = [name for name in (COLUMNS if wide else NARROW) if name in found.columns]
    table = PlainTable(title=f"Side by side: {found.request} (* against {found.reference}; the change pair by pair)")
    table.add_column("combination", overflow="fold", min_width=20)
    for name in shown:
        table.add_column(HEADS.get(name, name), justify="right", overflow="fold")
    table.add_column("", overflow="fold")
    for line in found.lines:
        table.add_row(line.id, *(cell(line, name) for name in shown), _remark(line))
    return table


def _remark(line: ArmLine) -> Text:
    """One line: of a long reason its beginning and its end; the failures below the tables have it whole."""
    text = line.remark
    if len(text) > HEAD + TAIL:
        text = f"{text[:HEAD].rstrip()} … {text[-TAIL:].lstrip()}"
    return Text(text, style="yellow")
