"""The pages of runs in a site: where they are, and drawing many of them on a second core while the next are read."""

import gc
import hashlib
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from multiprocessing import get_context
from pathlib import Path

import msgspec

from harness.records.run import RunData
from harness.records.scenario import slug
from reports.rendering import render, write
from reports.view import RunView, run_view

MANY = 24
"""From so many runs on a second process is worth its start."""
_AHEAD = 16
"""Runs that may wait to be drawn: more would only fill the memory."""

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


@contextmanager
def drawing(directory: Path, *, runs: int) -> Iterator[Callable[..., RunView | None]]:
    """A function that draws a run's page (`data`, `full`): at once, or, where there are many, in another process.

    What was drawn at once is returned, so that other pages need not make it again.
    """
    if runs < MANY:
        yield partial(_write_run, directory)
        return
    # A fresh process, not a fork: the store's connections and threads are not its business.
    with ProcessPoolExecutor(1, mp_context=get_context("spawn"), initializer=_collect_seldom) as pool:
        waiting: deque[Future[None]] = deque()

        def draw(data: RunData, *, full: bool) -> RunView | None:
            if len(waiting) >= _AHEAD:
                waiting.popleft().result()
            waiting.append(pool.submit(_write_packed, directory, msgspec.msgpack.encode(data), full=full))
            return None

        yield draw
        for future in waiting:
            future.result()


def _collect_seldom() -> None:
    """A page is thousands of small objects without cycles: looking for cycles among them took a third of its time."""
    gc.set_threshold(100_000)


def _write_packed(directory: Path, packed: bytes, *, full: bool) -> None:
    _write_run(directory, msgspec.msgpack.decode(packed, type=RunData), full=full)


def _write_run(directory: Path, data: RunData, *, full: bool) -> RunView:
    view = run_view(data, drawn=full)
    site = Site(root="../", here="runs.html")
    write(directory / run_page(data.run.id), render("run.html", run=view, legend=view.legend, site=site))
    return view
