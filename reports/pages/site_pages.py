"""The site: an index, pages per run, scenario and metric, and a glossary. Only changed pages are drawn again."""

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from harness.core.records.run import Concluded
from harness.core.records.scenario import Scenario
from harness.metrics.derive import RunValues
from harness.store.rows import RunRow
from harness.store.runs import RunStore
from reports.history.context import Context
from reports.history.index import RunIndex, code_digest, comparable, fingerprint, index_bytes, newest_with, read_index
from reports.history.steps import Step, find_steps
from reports.pages.alert_pages import lines_by_run, write_alerts
from reports.pages.bisection_pages import bisection_lines, write_bisections
from reports.pages.rendering import render, write
from reports.pages.run_cache import Runs
from reports.pages.run_list_pages import run_lines, write_run_lists
from reports.pages.run_pages import (
    Due,
    Followed,
    Site,
    draw_choices,
    draw_comparison,
    draw_full,
    draw_scenarios,
    draw_short,
    parts,
    publish_traces,
    run_page,
    trend_address,
    write_page,
)
from reports.pages.workers import RenderPool, render_pool
from reports.text.format import VERDICT_WORDS
from reports.text.naming import names, names_of
from reports.views.glossary import glossary
from reports.views.headline import headline
from reports.views.matrix import matrices
from reports.views.trends import Lines, lines, of_scenarios, overview, pages
from reports.views.view import Extras, quotes, run_view

FULL = 8
"""The number of newest runs whose pages show every repetition. Pages of older runs show values and verdicts only."""
LISTED = 40
"""The number of runs on the index; another page lists all. A scenario that none of these runs has gets no page."""
AT_ONCE = 6
"""The number of scenarios whose pages are one task."""


def publish(store: RunStore, directory: Path, *, context: Context, derived: RunValues | None = None) -> Path:
    """Update the site from the store and return the path of its index. `derived`: values of a run already in memory."""
    book_file = directory / ".book.msgpack"
    run_index = read_index(book_file, code=code_digest())
    before = index_bytes(run_index)
    rows = store.list()
    for run_id in run_index.runs.keys() - {row.id for row in rows}:
        del run_index.runs[run_id]
        (directory / run_page(run_id)).unlink(missing_ok=True)
        publish_traces(None, run_id, directory)
    newest = [row.id for row in rows[:FULL]]
    due = _due(run_index, rows, newest, context)
    runs = Runs(store, derived=derived)
    with render_pool(runs, pages=len(due)) as both:
        for more in both.share(draw_short, [*parts([due[each] for each in due if each not in newest])], directory):
            run_index.take(more)
        fresh = [due[run_id] for run_id in newest if run_id in due]
        for each, data in zip(fresh, both.runs.outlines([each.run_id for each in fresh]), strict=True):
            run_index.enter(data, each.fingerprint, headline(data))
        run_index.drawn_in_full = newest
        run_index.marks = hashlib.sha256(
            repr((context.marks.reported, sorted(context.marks.promoted), context.alerts, context.bisections)).encode()
        ).hexdigest()
        changed = index_bytes(run_index) != before or not (directory / "index.html").is_file()
        if changed:
            _ask_for_choices(directory, run_index, both, context)  # first, because it takes longest
        for each in fresh:
            both.ask(draw_full, each, context, directory)
        if changed:
            write_alerts(directory, run_index, both.runs, context.alerts)
            write_bisections(directory, context.bisections)
            _ask_for_comparison(directory, run_index, both)
            _write_overview(directory, run_index, both, find_steps(run_index), context)
        both.finish()
    if changed:
        write(book_file, index_bytes(run_index))
    return directory / "index.html"


def _due(run_index: RunIndex, rows: Sequence[RunRow], newest: Sequence[str], context: Context) -> dict[str, Due]:
    """The runs whose pages must be drawn: new or changed ones, and those that become short or long."""
    accepted = _accepted(rows, context.marks.promoted)
    alerts = lines_by_run(context.alerts)
    every = {
        row.id: Due(
            run_id=row.id,
            fingerprint=_mark(row, accepted, context, full=row.id in newest) + _digest(alerts.get(row.id)),
            accepted=accepted.get(row.id, ""),
            invalid=row.invalid,
            alerts=alerts.get(row.id, ()),
        )
        for row in rows
    }
    changed = [run_id for run_id, each in every.items() if _known(run_index, run_id) != each.fingerprint]
    longer = [run_id for run_id in newest if run_id not in run_index.drawn_in_full]
    shorter = [run_id for run_id in run_index.drawn_in_full if run_id in every and run_id not in newest]
    return {run_id: every[run_id] for run_id in dict.fromkeys([*changed, *longer, *shorter])}


def _accepted(rows: Iterable[RunRow], promoted: frozenset[str]) -> dict[str, str]:
    """Run → the newest promoted run before it on its machine, if there is one."""
    found: dict[str, str] = {}
    latest: dict[str, str] = {}
    for row in sorted(rows, key=lambda row: (row.started_at, row.id)):
        if row.machine_key in latest:
            found[row.id] = latest[row.machine_key]
        if row.id in promoted:
            latest[row.machine_key] = row.id
    return found


def _mark(row: RunRow, accepted: Mapping[str, str], context: Context, *, full: bool) -> str:
    """A fingerprint that changes if the run's page changes. A short page changes only with the run itself."""
    if not full:
        return fingerprint(row)
    beside = (accepted.get(row.id), sorted(context.curves.get(row.machine_key, {}).items()))
    return fingerprint(row) + hashlib.sha256(repr(beside).encode()).hexdigest()[:8]


def _digest(alerts: object) -> str:
    """A digest of the alerts that a run's page links; "" for none."""
    return hashlib.sha256(repr(alerts).encode()).hexdigest()[:8] if alerts else ""


def _known(run_index: RunIndex, run_id: str) -> str:
    return run_index.runs[run_id].fingerprint if run_id in run_index.runs else ""


def _ask_for_choices(directory: Path, run_index: RunIndex, both: RenderPool, context: Context) -> None:
    """Queue the page of models and providers: the newest run with several arms, preferably with audio similarity."""
    newest = _newest(run_index)
    with_audio = [run_id for run_id in newest if run_index.knows(run_index.runs[run_id], "mcd")]
    if newest:
        both.ask(draw_choices, [*with_audio, *newest], context.audio, directory)


def _ask_for_comparison(directory: Path, run_index: RunIndex, both: RenderPool) -> None:
    """Queue the page that compares the newest runs."""
    newest = _newest(run_index)[:FULL]
    if newest:
        both.ask(
            draw_comparison, [(id_, comparable(run_index, newest[at:])) for at, id_ in enumerate(newest)], directory
        )


def _newest(run_index: RunIndex) -> list[str]:
    """The newest runs of the machine that ran last."""
    known = run_index.newest_first()
    return [run.id for run in reversed(run_index.of_machine(known[0].machine))][:LISTED] if known else []


def _write_overview(
    directory: Path, run_index: RunIndex, both: RenderPool, steps: Sequence[Step], context: Context
) -> None:
    """Write the pages that show all runs or trends over all runs."""
    known = run_index.newest_first()
    if not known:
        write(directory / "index.html", render("empty.html", site=Site(root="", here="index.html")))
        return
    machines = list(dict.fromkeys(run.machine for run in known))
    trend_lists = []
    for machine in machines:
        homes = newest_with(run_index, machine, among=LISTED)
        scenarios = _followed(homes, both.runs)
        drawn = lines(run_index, machine, names(tuple(scenarios)), found=steps, marks=context.marks)
        over_time = of_scenarios(drawn)
        followed = [
            Followed(machine=machine, scenario=each, run_id=run_id, over_time=over_time[each.id])
            for each, run_id in scenarios.items()
        ]
        for start in range(0, len(followed), AT_ONCE):
            both.ask(draw_scenarios, followed[start : start + AT_ONCE], context.audio, directory)
        addresses = {each.scenario.id: each.address for each in followed}
        trend_lists.append(_write_trends(directory, machine, drawn, addresses))
        if machine == machines[0]:
            (data,) = both.runs.outlines([run_index.of_machine(machine)[-1].id])
            _write_index(directory, data, drawn, run_index, links=addresses, quotes=quotes(data, context))
    write_page(directory, "trends.html", machines=trend_lists)
    write_run_lists(directory, known, bisections=bisection_lines(context.bisections))
    write_page(directory, "glossary.html", entries=glossary(), legend=tuple(VERDICT_WORDS.values()))


def _followed(homes: Mapping[str, str], runs: Runs) -> dict[Scenario, str]:
    """Scenario with a page → its newest run. Scenarios of calibration duels have no page."""
    every = {
        (each.id, run_id): each for run_id in dict.fromkeys(homes.values()) for each in runs.head(run_id).scenarios
    }
    found = {every[home]: home[1] for home in homes.items() if home in every}  # a run may lack some scenarios
    return {each: run_id for each, run_id in found.items() if not each.arm.slowdown and not each.arm.side}


def _write_index(
    directory: Path,
    data: Concluded,
    drawn: Lines,
    run_index: RunIndex,
    *,
    links: Mapping[str, str],
    quotes: tuple[str, ...],
) -> None:
    view = run_view(data, extras=Extras(quotes=quotes))
    write_page(
        directory,
        "index.html",
        run=view,
        run_href=run_page(data.run.id),
        matrices=matrices(data, names_of(data), marks=drawn.sparks),
        links=links,
        runs=run_lines(run_index.newest_first()[:LISTED]),
        legend=view.legend,
    )


def _write_trends(directory: Path, machine: str, drawn: Lines, addresses: Mapping[str, str]) -> dict[str, object]:
    """Write the trend pages of one machine. Return its entry in the overview of trends."""
    site = Site(root="../", here="trends.html")
    links = {scenario_id: f"../{address}" for scenario_id, address in addresses.items()}
    listed = []
    for page in pages(drawn):
        address = trend_address(machine, page.metric)
        write(directory / address, render("trend.html", site=site, page=page, machine=machine, links=links))
        listed.append((address, page))
    return {
        "machine": machine,
        "span": drawn.span,
        "events": drawn.events,
        "tables": overview(drawn),
        "links": addresses,
        "pages": listed,
    }
