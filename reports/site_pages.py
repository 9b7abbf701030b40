"""The site: an index, a page per run, scenario and metric, and what explains them; drawn again only where needed."""

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from harness.records.run import RunData
from harness.store.runs import RunStore
from reports.arms import arms
from reports.compare import comparison
from reports.distributions import Figure
from reports.glossary import glossary
from reports.history import Book, book_bytes, code_digest, fingerprint, read_book
from reports.matrix import matrices
from reports.naming import Names, names_of
from reports.rendering import render, write
from reports.run_pages import (
    Due,
    Site,
    older_pages,
    run_page,
    scenario_address,
    trend_address,
    write_full_page,
)
from reports.scenario import scenario_page
from reports.trends import Lines, Marks, lines, pages
from reports.view import RunView, run_view
from reports.words import VERDICT_WORDS, day

FULL = 8
"""So many of the newest runs show every repetition; an older page shows its figures and verdicts, and says so."""
LISTED = 40
"""Runs on the index; all of them are on a page of their own."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RunLine:
    """A run in a list."""

    href: str
    id: str
    when: str
    machine: str
    css: str
    glyph: str
    sentence: str


def publish(store: RunStore, directory: Path, *, marks: Marks) -> Path:
    """Bring the site up to date with the store, and return its index."""
    book_file = directory / ".book.msgpack"
    book = read_book(book_file, code=code_digest())
    wanted = {row.id: fingerprint(row) for row in store.list()}
    before = book_bytes(book)
    for run_id in [run_id for run_id in book.runs if run_id not in wanted]:
        del book.runs[run_id]
        (directory / run_page(run_id)).unlink(missing_ok=True)
    newest = list(wanted)[:FULL]
    changed = [run_id for run_id, mark in wanted.items() if _known(book, run_id) != mark]
    longer = [run_id for run_id in newest if run_id not in book.drawn_in_full]
    shorter = [run_id for run_id in book.drawn_in_full if run_id in wanted and run_id not in newest]
    due = list(dict.fromkeys([*changed, *longer, *shorter]))
    older = [Due(run_id=run_id, fingerprint=wanted[run_id]) for run_id in due if run_id not in newest]
    loaded: dict[str, RunData] = {}
    figures: dict[str, tuple[Figure, ...]] = {}
    with older_pages(store, directory, older) as books:
        for run_id in (run_id for run_id in due if run_id in newest):
            data = store.load(run_id)
            view = write_full_page(directory, data)
            book.enter(data, wanted[run_id], view.headline)
            figures[run_id] = view.figures
            if run_id in newest[:2]:
                loaded[run_id] = data
        for more in books:
            book.take(more)
    book.drawn_in_full = newest
    book.marks = hashlib.sha256(repr((marks.steps, sorted(marks.promoted))).encode()).hexdigest()
    if book_bytes(book) != before or not (directory / "index.html").is_file():
        _write_overview(store, directory, book, loaded, figures=figures, marks=marks)
        write(book_file, book_bytes(book))
    return directory / "index.html"


def _known(book: Book, run_id: str) -> str:
    return book.runs[run_id].fingerprint if run_id in book.runs else ""


def _write_overview(
    store: RunStore,
    directory: Path,
    book: Book,
    loaded: Mapping[str, RunData],
    *,
    figures: Mapping[str, tuple[Figure, ...]],
    marks: Marks,
) -> None:
    """Every page but those of the runs."""
    runs = book.newest_first()
    if not runs:
        write(directory / "index.html", render("empty.html", site=Site(root="", here="index.html")))
        return
    machines = list(dict.fromkeys(run.machine for run in runs))
    trend_lists = []
    for machine in machines:
        newest = book.of_machine(machine)[-1].id
        data = loaded.get(newest) or store.load(newest)
        named = names_of(data)
        drawn = lines(book, machine, named, marks=marks)
        trend_lists.append(_write_machine(directory, data, named, drawn, figures.get(newest)))
        if machine == machines[0]:
            _write_index(directory, data, drawn, book)
            before = next((run.id for run in runs[1:] if run.machine == machine), None)
            _write_compare(directory, store, before, data, loaded)
            site = Site(root="", here="models.html")
            write(directory / "models.html", render("models.html", site=site, arms=arms(data)))
    _page(directory, "trends.html", machines=trend_lists)
    _page(directory, "runs.html", runs=[*_lines(book, None)])
    _page(directory, "glossary.html", entries=glossary(), legend=tuple(VERDICT_WORDS.values()))


def _page(directory: Path, name: str, **values: object) -> None:
    write(directory / name, render(name, site=Site(root="", here=name), **values))


def _write_index(directory: Path, data: RunData, drawn: Lines, book: Book) -> None:
    view: RunView = run_view(data, drawn=False)
    _page(
        directory,
        "index.html",
        run=view,
        run_href=run_page(data.run.id),
        matrices=matrices(data, names_of(data), marks=drawn.sparks),
        links=_links(data, root=""),
        runs=[*_lines(book, LISTED)],
        legend=view.legend,
    )


def _links(data: RunData, *, root: str) -> dict[str, str]:
    return {each.id: root + scenario_address(data.run.machine.key, each.id) for each in data.run.scenarios}


def _lines(book: Book, limit: int | None) -> Iterator[RunLine]:
    for run in book.newest_first()[:limit]:
        yield RunLine(
            href=run_page(run.id),
            id=run.id,
            when=day(run.started_at),
            machine=run.machine,
            css=run.css,
            glyph=run.glyph,
            sentence=run.sentence,
        )


def _write_machine(
    directory: Path, data: RunData, named: Names, drawn: Lines, figures: tuple[Figure, ...] | None
) -> dict[str, object]:
    """The scenario and trend pages of one machine; what the overview of trends says of it."""
    figures = run_view(data).figures if figures is None else figures
    machine = data.run.machine.key
    site = Site(root="../", here="trends.html")
    links = _links(data, root="../")
    for scenario in data.run.scenarios:
        page = scenario_page(data, named.of(scenario.id), figures=figures, drawn=drawn)
        href = f"../{run_page(data.run.id)}"
        write(
            directory / scenario_address(machine, scenario.id), render("scenario.html", site=site, page=page, href=href)
        )
    listed = []
    for trend_page in pages(drawn):
        address = trend_address(machine, trend_page.metric)
        write(directory / address, render("trend.html", site=site, page=trend_page, machine=machine, links=links))
        listed.append((address, trend_page))
    return {"machine": machine, "span": drawn.span, "events": drawn.events, "pages": listed}


def _write_compare(
    directory: Path, store: RunStore, before: str | None, data: RunData, loaded: Mapping[str, RunData]
) -> None:
    if before is None:
        _page(directory, "compare.html", compare=None)
        return
    _page(directory, "compare.html", compare=comparison(loaded.get(before) or store.load(before), data))
