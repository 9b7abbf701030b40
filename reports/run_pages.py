"""The pages of runs in a site: where they are, and drawing many of them on two cores."""

import gc
import hashlib
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor, ThreadPoolExecutor
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
_SHARE, _LEAST = 4, 2
"""A process takes so many runs at a time; towards the end a share of what is left, so that both end together."""
_INVALID = 5_000
"""Nor more than have so many invalid repetitions, which are read with them: this bounds the memory."""

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

    `accepted` is the id of the run that was promoted before it, "" where there is none; `invalid` counts its
    repetitions that are not valid.
    """

    run_id: str
    fingerprint: str
    accepted: str = ""
    invalid: int = 0


@contextmanager
def older_pages(store: RunStore, directory: Path, due: Sequence[Due]) -> Iterator[Iterator[Book]]:
    """Draw the short pages of `due`; gives books with their runs, in that order.

    Where there are many, a second process begins at once, and whoever asks for the books draws with it: each takes the
    next few runs whenever it is done with its last.
    """
    parts = list(_parts(due))
    address = store.address
    if len(due) < MANY or address is None:
        yield (_draw_part(store, directory, part) for part in parts)
        return
    left = deque(enumerate(parts))
    # A fresh process, not a fork: the store's connections and threads are not its business.
    pool = ProcessPoolExecutor(1, mp_context=get_context("spawn"), initializer=_collect_seldom)

    def ask() -> dict[int, Book]:
        futures = ((at, pool.submit(_draw_there, address, directory, part)) for at, part in _taken(left))
        return {at: book_of(future.result()) for at, future in futures}

    # Two threads ask it, so that it need not wait for the next part; nobody waits for its end.
    with ThreadPoolExecutor(2) as threads:
        try:
            yield _together(store, directory, left, [threads.submit(ask) for _ in range(2)])
        finally:
            left.clear()
            pool.shutdown(wait=False)


def _taken(left: deque[tuple[int, Sequence[Due]]]) -> Iterator[tuple[int, Sequence[Due]]]:
    """Part after part, each for whoever asks first."""
    while True:
        try:
            part = left.popleft()
        except IndexError:
            return
        yield part


def _parts(due: Sequence[Due]) -> Iterator[Sequence[Due]]:
    start = 0
    while start < len(due):
        most = min(_PART, max(_LEAST, (len(due) - start) // _SHARE))
        part = due[start : start + most]
        while len(part) > 1 and sum(each.invalid for each in part) > _INVALID:
            part = part[:-1]
        yield part
        start += len(part)


def _together(
    store: RunStore,
    directory: Path,
    left: deque[tuple[int, Sequence[Due]]],
    there: Sequence[Future[dict[int, Book]]],
) -> Iterator[Book]:
    books = {at: _draw_part(store, directory, part) for at, part in _taken(left)}
    for future in there:
        books |= future.result()
    yield from (books[at] for at in sorted(books))


def _draw_part(store: RunStore, directory: Path, part: Sequence[Due]) -> Book:
    book = Book(code="")
    references = {accepted: reference(store, accepted) for accepted in {each.accepted for each in part}}
    for each, data in zip(part, store.outlines([each.run_id for each in part]), strict=True):
        view = _write_run(directory, run_view(data, reference=references[each.accepted]))
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
def collecting_seldom() -> Iterator[None]:
    """While it lasts."""
    before = gc.get_threshold()
    _collect_seldom()
    try:
        yield
    finally:
        gc.set_threshold(*before)


def reference(store: RunStore, accepted: str) -> Reference:
    """What a run's page names as its reference: the run of the id `accepted`, none where that is ""."""
    return Reference(run=store.head(accepted)) if accepted else NO_REFERENCE


def write_full_page(directory: Path, values: RunValues, *, reference: Reference, quotes: tuple[str, ...]) -> RunView:
    """Draw a run's page with every repetition, and return what it shows, so that other pages need not make it again."""
    return _write_run(directory, run_view(values.data, values=values, reference=reference, quotes=quotes))


def _write_run(directory: Path, view: RunView) -> RunView:
    site = Site(root="../", here="runs.html")
    write(directory / run_page(view.id), render("run.html", run=view, legend=view.legend, site=site))
    return view
