"""Pages of a long history and of a run with many repetitions stay small, and lose nothing."""

from dataclasses import replace
from pathlib import Path

import pytest

from benchmarks.synthetic_history import made_run
from harness.store.runs import RunStore
from reports.pages import run_list_pages, run_pages
from reports.pages.run_pages import run_page
from reports.pages.write import write_run_page, write_site

from .conftest import SMALL
from .test_pages import Page
from .test_site import TINY, nights

STRIP = 'class="strip" width'


def listed(page: Path) -> list[str]:
    """The runs that a page lists, in its order."""
    return [row.partition("</a>")[0].partition(">")[2] for row in page.read_text("utf-8").split('"rowheader"><a')[1:]]


def test_a_list_of_many_runs_is_divided_and_each_run_is_on_one_page(
    store: RunStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(run_list_pages, "ON_A_PAGE", 2)
    ids = nights(store, TINY, range(7))
    write_site(store, tmp_path)
    newest, *older = [tmp_path / name for name in ("runs.html", "runs-2.html", "runs-1.html")]
    assert [listed(page) for page in (newest, *older)] == [ids[:3:-1], ids[3:1:-1], ids[1::-1]]
    for page in (newest, *older):
        links = {link["href"] for link in Page(page.read_text("utf-8")).all("a")}
        assert {each.name for each in (newest, *older) if each != page} <= links

    kept = older[1].read_bytes()
    nights(store, TINY, range(7, 8))
    write_site(store, tmp_path)
    assert len(listed(tmp_path / "runs-3.html")) == 2
    assert listed(older[1]) == ids[1::-1]
    for gone in ids[:4]:
        store.delete(gone)
    write_site(store, tmp_path)
    assert sorted(page.name for page in tmp_path.glob("runs*.html")) == ["runs-1.html", "runs.html"]
    assert older[1].read_bytes() != kept


def test_a_run_with_too_many_repetitions_says_which_are_not_drawn(
    store: RunStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = replace(SMALL, troubles=False)
    data = made_run(made, 1)
    (run_id,) = nights(store, made, range(1, 2))
    write_site(store, tmp_path / "usual")
    usual = (tmp_path / "usual" / run_page(run_id)).read_text("utf-8")
    assert "too large" not in usual
    drawn = usual.count(STRIP)
    monkeypatch.setattr(run_pages, "MOST_MARKS", len(data.repetitions))
    write_site(store, tmp_path / "small")
    small = (tmp_path / "small" / run_page(run_id)).read_text("utf-8")
    assert 0 < small.count(STRIP) < drawn
    assert "This page would be too large with those of " in small
    assert f"kokoro-bench report --single-file {run_id}" in small
    monkeypatch.setattr(run_pages, "MOST_MARKS", 0)
    write_site(store, tmp_path / "none")
    none = (tmp_path / "none" / run_page(run_id)).read_text("utf-8")
    assert STRIP not in none
    assert 'href="#figures"' in none
    whole = write_run_page(data, tmp_path / "whole.html").read_text("utf-8")
    assert whole.count(STRIP) == drawn
