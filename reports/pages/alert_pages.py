"""The pages of the alerts: an index, and one page for each alert. Only changed pages are drawn again."""

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path

from harness.analysis.alert_words import alert_page
from harness.core.records.schedule import Alert
from reports.history.index import RunIndex
from reports.pages.rendering import render, write
from reports.pages.run_cache import Runs
from reports.views.alerts import AlertLine, alert_line, alert_view, in_order, runs_of

INDEX = "alerts.html"
ROW_DIGITS = 16
"""The digits of a run's fingerprint that stand for the run itself; those after them for what its page shows beside."""


def lines_by_run(alerts: Sequence[Alert]) -> Mapping[str, tuple[AlertLine, ...]]:
    """Run id → the alerts that its page links: those that it found, that are so since it, or that it confirmed."""
    found: dict[str, list[AlertLine]] = {}
    for alert in reversed(alerts):
        line = alert_line(alert)
        for run_id in dict.fromkeys(filter(None, (alert.found_in, alert.run_id, alert.confirmed_by))):
            found.setdefault(run_id, []).append(line)
    return {run_id: tuple(lines) for run_id, lines in found.items()}


def write_alerts(directory: Path, run_index: RunIndex, runs: Runs, alerts: Sequence[Alert]) -> None:
    """Write the index of the alerts, and the pages of those that are new or changed, or whose runs are."""
    from reports.pages.run_pages import Site, bisection_address, run_page

    marks = {str(alert.key): _mark(alert, run_index) for alert in alerts}
    due = [
        alert
        for alert in alerts
        if run_index.alerts.get(str(alert.key)) != marks[str(alert.key)]
        or not (directory / alert_page(alert.key)).is_file()
    ]
    needed = [
        each for each in dict.fromkeys(each for alert in due for each in runs_of(alert)) if each in run_index.runs
    ]
    outlines = dict(zip(needed, runs.outlines(needed), strict=True)) if needed else {}
    for alert in due:
        view = alert_view(alert, outlines)
        pages = {run_id: f"../{run_page(run_id)}" for run_id in outlines}
        site = Site(root="../", here=INDEX)
        bisection = f"../{bisection_address(view.bisection)}"
        page = render("alert.html", site=site, alert=view, pages=pages, bisection=bisection)
        write(directory / alert_page(alert.key), page)
    run_index.alerts = marks
    lines = in_order(map(alert_line, alerts))
    write(directory / INDEX, render(INDEX, site=Site(root="", here=INDEX), lines=lines))


def _mark(alert: Alert, run_index: RunIndex) -> str:
    """A fingerprint that changes if an alert's page changes: with the alert, and with its runs."""
    related = [run_index.runs[each].fingerprint[:ROW_DIGITS] for each in runs_of(alert) if each in run_index.runs]
    return hashlib.sha256(repr((alert, related)).encode()).hexdigest()[:16]
