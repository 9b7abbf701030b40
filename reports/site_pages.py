"""The site: an index, a page per run, scenario and metric, and what explains them; drawn again only where needed."""

import hashlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from harness.metrics.derive import RunValues
from harness.records.run import RunData
from harness.records.scenario import Scenario
from harness.store.rows import RunRow
from harness.store.runs import RunStore
from reports.advice import choices
from reports.compare import comparison_of_arms, comparison_of_runs
from reports.context import Context
from reports.distributions import Distributions
from reports.glossary import glossary
from reports.history import Book, book_bytes, code_digest, comparable, fingerprint, newest_with, read_book
from reports.matrix import matrices
from reports.naming import names, names_of
from reports.rendering import render, write
from reports.run_pages import (
    Due,
    Site,
    collecting_seldom,
    older_pages,
    reference,
    run_page,
    scenario_address,
    trend_address,
    write_full_page,
)
from reports.scenario import scenario_page
from reports.sound import sound
from reports.steps import Step, find_steps
from reports.trends import Lines, lines, overview, pages
from reports.view import implied, quotes, run_view
from reports.words import VERDICT_WORDS, day

FULL = 8
"""So many of the newest runs show every repetition; an older page shows its figures and verdicts, and says so."""
_FILTERS = {"worse": "worse", "failed": "failed", "unclear": "unclear", "better": "better", "same": "unchanged",
            "none": "nothing to compare with"}  # fmt: skip
"""What a list of runs can be narrowed down to, by the class of their headlines."""
LISTED = 40
"""Runs on the index; all of them are on a page of their own. A scenario that none of them has is not followed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RunLine:
    """A run in a list."""

    href: str
    id: str
    when: str
    machine: str
    selection: str
    css: str
    word: str
    glyph: str
    sentence: str


@dataclass(frozen=True, slots=True, kw_only=True)
class _Runs:
    """Whole runs, each read once."""

    store: RunStore
    loaded: dict[str, RunValues] = field(default_factory=dict)
    distributed: dict[str, Distributions] = field(default_factory=dict)

    def of(self, run_id: str) -> RunData:
        """A run with everything."""
        return self.values(run_id).data

    def values(self, run_id: str) -> RunValues:
        """The values of a run's scenarios."""
        if run_id not in self.loaded:
            self.loaded[run_id] = RunValues(self.store.load(run_id))
        return self.loaded[run_id]

    def distributions(self, run_id: str) -> Distributions:
        """The repetitions of a run, to be drawn."""
        if run_id not in self.distributed:
            data = self.of(run_id)
            drawn = Distributions(self.values(run_id), names_of(data), reference=implied(data))
            self.distributed[run_id] = drawn
        return self.distributed[run_id]


def publish(store: RunStore, directory: Path, *, context: Context) -> Path:
    """Bring the site up to date with the store, and return its index."""
    book_file = directory / ".book.msgpack"
    book = read_book(book_file, code=code_digest())
    before = book_bytes(book)
    rows = store.list()
    for run_id in book.runs.keys() - {row.id for row in rows}:
        del book.runs[run_id]
        (directory / run_page(run_id)).unlink(missing_ok=True)
    newest = [row.id for row in rows[:FULL]]
    due = _due(book, rows, newest, context)
    older = [each for run_id, each in due.items() if run_id not in newest]
    runs = _Runs(store=store)
    with collecting_seldom(), older_pages(store, directory, older) as books:
        for each in (due[run_id] for run_id in newest if run_id in due):
            values = RunValues(store.load(each.run_id))
            accepted = reference(store, each.accepted)
            view = write_full_page(directory, values, reference=accepted, quotes=quotes(values.data, context))
            book.enter(values.data, each.fingerprint, view.headline)
            if each.run_id in newest[:2]:
                runs.loaded[each.run_id] = values
        for more in books:
            book.take(more)
        book.drawn_in_full = newest
        book.marks = hashlib.sha256(repr((context.marks.told, sorted(context.marks.promoted))).encode()).hexdigest()
        changed = book_bytes(book) != before or not (directory / "index.html").is_file()
        if changed:
            _write_overview(directory, book, runs, find_steps(book), context)
    if changed:
        write(book_file, book_bytes(book))
    return directory / "index.html"


def _due(book: Book, rows: Sequence[RunRow], newest: Sequence[str], context: Context) -> dict[str, Due]:
    """The runs whose pages are to be drawn: the book does not know them so, or has them in the other length."""
    accepted = _accepted(rows, context.marks.promoted)
    every = {
        row.id: Due(
            run_id=row.id,
            fingerprint=_mark(row, accepted, context, full=row.id in newest),
            accepted=accepted.get(row.id, ""),
            invalid=row.invalid,
        )
        for row in rows
    }
    changed = [run_id for run_id, each in every.items() if _known(book, run_id) != each.fingerprint]
    longer = [run_id for run_id in newest if run_id not in book.drawn_in_full]
    shorter = [run_id for run_id in book.drawn_in_full if run_id in every and run_id not in newest]
    return {run_id: every[run_id] for run_id in dict.fromkeys([*changed, *longer, *shorter])}


def _accepted(rows: Iterable[RunRow], promoted: frozenset[str]) -> dict[str, str]:
    """Run → the newest run that was promoted on its machine among those before it, where there is one."""
    found: dict[str, str] = {}
    latest: dict[str, str] = {}
    for row in sorted(rows, key=lambda row: (row.started_at, row.id)):
        if row.machine_key in latest:
            found[row.id] = latest[row.machine_key]
        if row.id in promoted:
            latest[row.machine_key] = row.id
    return found


def _mark(row: RunRow, accepted: Mapping[str, str], context: Context, *, full: bool) -> str:
    """Changes whenever the run's page would: of an older page only with the run itself."""
    if not full:
        return fingerprint(row)
    beside = (accepted.get(row.id), sorted(context.curves.get(row.machine_key, {}).items()))
    return fingerprint(row) + hashlib.sha256(repr(beside).encode()).hexdigest()[:8]


def _known(book: Book, run_id: str) -> str:
    return book.runs[run_id].fingerprint if run_id in book.runs else ""


def _write_overview(directory: Path, book: Book, runs: _Runs, steps: Sequence[Step], context: Context) -> None:
    """Every page but those of the runs."""
    known = book.newest_first()
    if not known:
        write(directory / "index.html", render("empty.html", site=Site(root="", here="index.html")))
        return
    machines = list(dict.fromkeys(run.machine for run in known))
    trend_lists = []
    for machine in machines:
        homes = newest_with(book, machine, among=LISTED)
        followed = _followed(homes, runs)
        links = _links(machine, (each.id for each in followed), root="")
        drawn = lines(book, machine, names(followed), found=steps, marks=context.marks)
        trend_lists.append(_write_machine(directory, machine, followed, homes, runs, drawn, context))
        if machine == machines[0]:
            newest = [run.id for run in reversed(book.of_machine(machine))]
            data = runs.of(newest[0])
            _write_index(directory, data, drawn, book, links=links, quotes=quotes(data, context))
            _write_compare(directory, newest[:FULL], book, runs)
            _write_models(directory, newest[:LISTED], book, runs)
    _page(directory, "trends.html", machines=trend_lists)
    _page(directory, "runs.html", runs=[*_lines(book, None)])
    _page(directory, "glossary.html", entries=glossary(), legend=tuple(VERDICT_WORDS.values()))


def _followed(homes: Mapping[str, str], runs: _Runs) -> tuple[Scenario, ...]:
    """The scenarios that have pages: not those which are there to calibrate the gate."""
    every = {
        (each.id, run_id): each for run_id in dict.fromkeys(homes.values()) for each in runs.of(run_id).run.scenarios
    }
    found = (every.get(home) for home in homes.items())  # a run may have but the verdict that it is missing
    return tuple(each for each in found if each and not each.arm.slowdown and not each.arm.side)


def _page(directory: Path, name: str, **values: object) -> None:
    write(directory / name, render(name, site=Site(root="", here=name), **values))


def _write_index(
    directory: Path, data: RunData, drawn: Lines, book: Book, *, links: Mapping[str, str], quotes: tuple[str, ...]
) -> None:
    view = run_view(data, quotes=quotes)
    _page(
        directory,
        "index.html",
        run=view,
        run_href=run_page(data.run.id),
        matrices=matrices(data, names_of(data), marks=drawn.sparks),
        links=links,
        runs=[*_lines(book, LISTED)],
        legend=view.legend,
    )


def _links(machine: str, scenario_ids: Iterable[str], *, root: str) -> dict[str, str]:
    return {each: root + scenario_address(machine, each) for each in scenario_ids}


def _lines(book: Book, limit: int | None) -> Iterator[RunLine]:
    for run in book.newest_first()[:limit]:
        yield RunLine(
            href=run_page(run.id),
            id=run.id,
            when=day(run.started_at),
            machine=run.machine,
            selection=run.selection,
            css=run.css,
            word="target missed" if run.glyph == "!" else _FILTERS[run.css],
            glyph=run.glyph,
            sentence=run.sentence,
        )


def _write_machine(
    directory: Path,
    machine: str,
    followed: Sequence[Scenario],
    homes: Mapping[str, str],
    runs: _Runs,
    drawn: Lines,
    context: Context,
) -> dict[str, object]:
    """The scenario and trend pages of one machine; what the overview of trends says of it."""
    site = Site(root="../", here="trends.html")
    links = _links(machine, (each.id for each in followed), root="../")
    for scenario in followed:
        run_id = homes[scenario.id]
        data = runs.of(run_id)
        page = scenario_page(
            data,
            drawn.names.of(scenario.id),
            strips=runs.distributions(run_id).of_scenario(scenario),
            drawn=drawn,
            sound=sound(data, scenario, context.audio) if context.audio else None,
        )
        address = scenario_address(machine, scenario.id)
        write(directory / address, render("scenario.html", site=site, page=page, href=f"../{run_page(run_id)}"))
    listed = []
    for trend_page in pages(drawn):
        address = trend_address(machine, trend_page.metric)
        write(directory / address, render("trend.html", site=site, page=trend_page, machine=machine, links=links))
        listed.append((address, trend_page))
    return {
        "machine": machine,
        "span": drawn.span,
        "events": drawn.events,
        "tables": overview(drawn),
        "links": _links(machine, (each.id for each in followed), root=""),
        "pages": listed,
    }


def _write_compare(directory: Path, newest: Sequence[str], book: Book, runs: _Runs) -> None:
    """Of the newest runs, the first that can be compared: a duel with itself, another with one before it."""
    view = None
    for index, run_id in enumerate(newest):
        view = comparison_of_arms(runs.of(run_id))
        before = comparable(book, newest[index:])
        if view is None and before is not None:
            view = comparison_of_runs(runs.of(before), runs.of(run_id))
        if view is not None:
            break
    _page(directory, "compare.html", compare=view)


def _write_models(directory: Path, newest: Sequence[str], book: Book, runs: _Runs) -> None:
    """The newest run in which there is a choice, one in which sound was compared if there is one; else the latest."""
    chosen = [run_id for run_id in newest if len({each.arm for each in runs.store.head(run_id).scenarios}) > 1]
    heard = next((run_id for run_id in chosen if book.knows(book.runs[run_id], "mcd")), None)
    run_id = heard or next(iter(chosen), newest[0])
    _page(directory, "models.html", choices=choices(runs.of(run_id), runs.values(run_id)), href=run_page(run_id))
