"""The pages of runs in a site: where they are, and drawing many of them on two cores."""

import gc
import hashlib
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from multiprocessing import get_context
from pathlib import Path

from harness.metrics.derive import RunValues
from harness.records.scenario import slug
from harness.store.runs import RunStore, open_store
from reports.history import Book, book_bytes, book_of
from reports.rendering import render, write
from reports.view import NO_REFERENCE, Reference, RunView, run_view

MANY = 40
"""From so many runs on a second process is worth its start."""
_PART = 10
_REPETITIONS = 5_000
"""A process takes so many runs at a time, and no more than have so many repetitions together, to bound its memory."""

_PAGES = (
    ("index.html", "Overview"),
    ("runs.html", "Runs"),
    ("trends.html", "Trends"),
    ("compare.html", "Compare"),
    ("models.html", "Providers and models"),
    ("glossary.html", "Glossary and method"),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Site:
    """What every page of the site knows: where it stands (`root` leads to the index), and the other pages."""

    root: str
    here: str
    pages: tuple[tuple[str, str], ...] = _PAGES


def run_page(run_id: str) -> str:
    """The permanent address of a run, from the index."""
    return f"runs/{_file(run_id)}.html"


def scenario_address(machine: str, scenario_id: str) -> str:
    """The permanent address of a scenario on a machine, from the index."""
    digest = hashlib.sha256(f"{machine}\n{scenario_id}".encode()).hexdigest()[:8]
    return f"scenarios/{slug(scenario_id)[:100]}-{digest}.html"


def trend_address(machine: str, metric: str) -> str:
    """The permanent address of the trends of a metric on a machine, from the index."""
    digest = hashlib.sha256(machine.encode()).hexdigest()[:8]
    return f"trends/{slug(metric)[:60]}-{digest}.html"


def _file(name: str) -> str:
    plain = slug(name)
    if plain == name and len(name) <= 120:
        return name
    return f"{plain[:100]}-{hashlib.sha256(name.encode()).hexdigest()[:8]}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Due:
    """A run whose page is to be drawn, and the fingerprint under which the book then has it.

    `accepted` is the id of the run that was promoted before it, "" where there is none; `repetitions` are as many as
    it was stored with.
    """

    run_id: str
    fingerprint: str
    accepted: str = ""
    repetitions: int = 0


@contextmanager
def older_pages(store: RunStore, directory: Path, due: Sequence[Due]) -> Iterator[Iterator[Book]]:
    """Draw the short pages of `due`; gives books with their runs, in that order.

    Where there are many, a second process begins at once with the first, and whoever asks for the books works on the
    last until both meet.
    """
    parts = list(_parts(due))
    if len(due) < MANY or store.address is None:
        yield (_draw_part(store, directory, part) for part in parts)
        return
    # A fresh process, not a fork: the store's connections and threads are not its business.
    with (
        _collecting_seldom(),
        ProcessPoolExecutor(1, mp_context=get_context("spawn"), initializer=_collect_seldom) as pool,
    ):
        futures = [pool.submit(_draw_there, store.address, directory, part) for part in parts]
        try:
            yield _together(store, directory, parts, futures)
        finally:
            pool.shutdown(cancel_futures=True)


def _parts(due: Sequence[Due]) -> Iterator[list[Due]]:
    part: list[Due] = []
    for each in due:
        if len(part) == _PART or (part and sum(one.repetitions for one in (*part, each)) > _REPETITIONS):
            yield part
            part = []
        part.append(each)
    if part:
        yield part


def _together(
    store: RunStore, directory: Path, parts: Sequence[Sequence[Due]], futures: Sequence[Future[bytes]]
) -> Iterator[Book]:
    own: dict[int, Book] = {}
    for index in reversed(range(len(parts))):
        if not futures[index].cancel():
            break  # the other process has begun with it
        own[index] = _draw_part(store, directory, parts[index])
    for index, future in enumerate(futures):
        yield own[index] if index in own else book_of(future.result())


def _draw_part(store: RunStore, directory: Path, part: Sequence[Due]) -> Book:
    book = Book(code="")
    for each, data in zip(part, store.outlines([each.run_id for each in part]), strict=True):
        view = _write_run(directory, run_view(data, reference=reference_of(store, each)))
        book.enter(data, each.fingerprint, view.headline)
    return book


def _draw_there(address: str | Path, directory: Path, part: Sequence[Due]) -> bytes:
    return book_bytes(_draw_part(_opened(address), directory, part))


@cache
def _opened(address: str | Path) -> RunStore:
    """The store, opened once in the life of the other process."""
    return open_store(address)


def _collect_seldom() -> None:
    """A page is thousands of small objects without cycles: looking for cycles among them took a third of its time."""
    gc.set_threshold(100_000)


@contextmanager
def _collecting_seldom() -> Iterator[None]:
    before = gc.get_threshold()
    _collect_seldom()
    try:
        yield
    finally:
        gc.set_threshold(*before)


def reference_of(store: RunStore, due: Due) -> Reference:
    """What a run's page names as its reference: the run that was promoted before it."""
    return Reference(run=store.head(due.accepted)) if due.accepted else NO_REFERENCE


def write_full_page(directory: Path, values: RunValues, *, reference: Reference, quotes: tuple[str, ...]) -> RunView:
    """Draw a run's page with every repetition, and return what it shows, so that other pages need not make it again."""
    return _write_run(directory, run_view(values.data, values=values, reference=reference, quotes=quotes))


def _write_run(directory: Path, view: RunView) -> RunView:
    site = Site(root="../", here="runs.html")
    write(directory / run_page(view.id), render("run.html", run=view, legend=view.legend, site=site))
    return view
