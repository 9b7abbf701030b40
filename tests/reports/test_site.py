"""The site of many runs: what is on it, and what is drawn again."""

import re
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from benchmarks.synthetic_history import made_run
from benchmarks.synthetic_run import Made
from harness.core.records.run import RunData
from harness.core.records.scenario import Mode
from harness.store.runs import RunStore
from reports.history.context import Context
from reports.history.index import RunIndex
from reports.history.steps import Marks, ReportedStep
from reports.pages import run_pages
from reports.pages.run_pages import Due, parts, run_page
from reports.pages.site_pages import FULL
from reports.pages.write import write_site
from reports.views.alerts import AlertLine
from reports.views.headline import headline
from reports.views.view import RunView, run_view

from .conftest import HOSTILE, SMALL, keep
from .test_pages import Page

TINY = replace(SMALL, classes=("tiny",), modes=(Mode.WHOLE,), launches=2, blocks=2, troubles=False, load=False)


def contents(directory: Path) -> dict[str, bytes]:
    return {str(file.relative_to(directory)): file.read_bytes() for file in sorted(directory.rglob("*.html"))}


def nights(store: RunStore, made: Made, numbers: Iterator[int] | range) -> list[str]:
    return [keep(store, made_run(made, night)) for night in numbers]


def test_the_index_says_what_the_latest_run_says_and_links_every_page(store: RunStore, tmp_path: Path) -> None:
    ids = nights(store, SMALL, range(19, 22))
    index = write_site(store, tmp_path / "site")
    page = Page(index.read_text(encoding="utf-8"))
    assert ids[-1] in page.text
    assert "got worse" in page.text
    for file in (tmp_path / "site").rglob("*.html"):
        found = Page(file.read_text(encoding="utf-8"))
        assert found.open == []
        for link in found.all("a"):
            address = (link["href"] or "").partition("#")[0]
            assert not address or (file.parent / address).is_file(), (file, address)
    assert len(list((tmp_path / "site" / "scenarios").iterdir())) == len(made_run(SMALL, 1).run.scenarios)


def test_nothing_is_drawn_again_when_nothing_changed(
    store: RunStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    nights(store, TINY, range(3))
    write_site(store, tmp_path)
    before = contents(tmp_path)
    for module in ("site_pages", "run_pages"):
        monkeypatch.setattr(f"reports.pages.{module}.render", lambda *_, **__: pytest.fail("drew a page"))
    write_site(store, tmp_path)
    assert contents(tmp_path) == before


def spied(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The runs whose pages are drawn from now on, all by this process."""
    monkeypatch.setattr("reports.pages.workers._may_fork", lambda: False)
    drawn: list[str] = []
    write_run = run_pages._write_run

    def spy(directory: Path, view: RunView, alerts: tuple[AlertLine, ...]) -> RunView:
        drawn.append(view.id)
        return write_run(directory, view, alerts)

    monkeypatch.setattr(run_pages, "_write_run", spy)
    return drawn


def test_a_new_run_costs_its_own_page_and_one_that_is_shortened(
    store: RunStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ids = nights(store, TINY, range(FULL + 3))
    write_site(store, tmp_path / "step by step")
    drawn = spied(monkeypatch)
    (new,) = nights(store, TINY, range(FULL + 3, FULL + 4))
    write_site(store, tmp_path / "step by step")
    assert sorted(drawn) == sorted([new, ids[3]])
    write_site(store, tmp_path / "at once")
    assert contents(tmp_path / "step by step") == contents(tmp_path / "at once")


def test_two_processes_draw_the_site_that_one_draws(
    store: RunStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    nights(store, TINY, range(FULL + 5))
    write_site(store, tmp_path / "one")
    monkeypatch.setattr("reports.pages.workers.MANY", 2)
    write_site(store, tmp_path / "two")
    assert contents(tmp_path / "two") == contents(tmp_path / "one")


def test_a_promotion_draws_the_pages_again_that_it_is_a_reference_of(
    store: RunStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ids = nights(store, TINY, range(5))
    write_site(store, tmp_path / "step by step")
    drawn = spied(monkeypatch)
    context = Context(marks=Marks(promoted=frozenset({ids[2]})))
    write_site(store, tmp_path / "step by step", context=context)
    assert sorted(drawn) == ids[3:]
    write_site(store, tmp_path / "at once", context=context)
    assert contents(tmp_path / "step by step") == contents(tmp_path / "at once")


def test_a_changed_template_draws_its_pages_again(
    store: RunStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from jinja2 import FileSystemLoader

    from reports.history import index as history
    from reports.pages import rendering

    monkeypatch.setattr("reports.pages.workers._may_fork", lambda: False)
    source = shutil.copytree(Path(history.__file__).parents[1], tmp_path / "reports")
    monkeypatch.setattr(history, "__file__", str(source / "history" / "index.py"))
    nights(store, TINY, range(FULL + 1))
    write_site(store, tmp_path / "step by step")
    template = source / "templates" / "run.html"
    text = template.read_text(encoding="utf-8")
    template.write_text(text.replace("{% block content %}", "{% block content %}<p>anew</p>"), encoding="utf-8")
    monkeypatch.setattr(rendering._environment(), "loader", FileSystemLoader(template.parent))
    write_site(store, tmp_path / "step by step")
    pages = list((tmp_path / "step by step" / "runs").glob("*.html"))
    assert len(pages) == FULL + 1
    assert all("<p>anew</p>" in page.read_text(encoding="utf-8") for page in pages)
    write_site(store, tmp_path / "at once")
    assert contents(tmp_path / "step by step") == contents(tmp_path / "at once")


def test_a_process_takes_few_runs_at_a_time_where_much_failed_and_towards_the_end() -> None:
    invalid = (3000, 2500, 1000, 9000, *(1 for _ in range(56)))
    due = [Due(run_id=str(n), fingerprint="", invalid=number) for n, number in enumerate(invalid)]
    found = list(parts(due))
    lengths = [len(part) for part in found]
    assert lengths[:5] == [1, 2, 1, 10, 10]
    assert lengths[3:-1] == sorted(lengths[3:-1], reverse=True)
    assert lengths[-1] <= 2
    assert [each for part in found for each in part] == due


def test_a_book_takes_runs_in_whose_figures_are_in_another_order() -> None:
    first, second = made_run(TINY, 1), made_run(TINY, 2)
    second = replace(second, summaries=second.summaries[::-1][1:], verdicts=second.verdicts[1:])
    whole, one, other = RunIndex(code=""), RunIndex(code=""), RunIndex(code="")
    for run_index in (whole, one):
        run_index.enter(first, "a", headline(first))
    for run_index in (whole, other):
        run_index.enter(second, "b", headline(second))
    one.take(other)
    assert one.keys == whole.keys
    assert one.runs == whole.runs


def test_a_run_that_is_judged_again_is_drawn_again(store: RunStore, tmp_path: Path) -> None:
    (run_id,) = nights(store, TINY, range(1, 2))
    write_site(store, tmp_path)
    data = store.load(run_id)
    store.conclude(run_id, data.summaries, tuple(replace(each, reason="judged anew") for each in data.verdicts), ())
    write_site(store, tmp_path)
    assert "judged anew" in (tmp_path / run_page(run_id)).read_text(encoding="utf-8")


def test_a_deleted_run_leaves_no_page(store: RunStore, tmp_path: Path) -> None:
    ids = nights(store, TINY, range(3))
    write_site(store, tmp_path)
    store.delete(ids[1])
    write_site(store, tmp_path)
    assert not (tmp_path / run_page(ids[1])).exists()
    assert ids[1] not in (tmp_path / "runs.html").read_text(encoding="utf-8")


@pytest.mark.parametrize("made", ["run", "all_failed", "hostile", "without_baseline"])
def test_an_older_page_needs_no_more_than_the_outline(
    store: RunStore, request: pytest.FixtureRequest, made: str
) -> None:
    run_id = keep(store, request.getfixturevalue(made))
    (outline,) = store.outlines([run_id])
    assert run_view(outline) == run_view(store.load(run_id))


def test_an_older_run_says_that_its_repetitions_are_not_drawn(store: RunStore, tmp_path: Path) -> None:
    ids = nights(store, TINY, range(FULL + 1))
    write_site(store, tmp_path)
    assert f"kokoro-bench report --single-file {ids[0]}" in (tmp_path / run_page(ids[0])).read_text(encoding="utf-8")
    assert "report --single-file" not in (tmp_path / run_page(ids[-1])).read_text(encoding="utf-8")


def test_an_empty_store_and_a_single_run_are_sites_too(store: RunStore, tmp_path: Path) -> None:
    index = write_site(store, tmp_path)
    assert "No run is stored yet" in index.read_text(encoding="utf-8")
    nights(store, TINY, range(1))
    write_site(store, tmp_path)
    assert "nothing to compare yet" in (tmp_path / "compare.html").read_text(encoding="utf-8")
    assert "No baseline exists yet" in index.read_text(encoding="utf-8") or "no baseline" in index.read_text(
        encoding="utf-8"
    )


def test_a_site_of_another_version_or_a_damaged_book_is_made_anew(store: RunStore, tmp_path: Path) -> None:
    nights(store, TINY, range(2))
    write_site(store, tmp_path)
    before = contents(tmp_path)
    (tmp_path / ".book.msgpack").write_bytes(b"not a book")
    (tmp_path / "index.html").write_text("old", encoding="utf-8")
    write_site(store, tmp_path)
    assert contents(tmp_path) == before


def test_steps_promotions_and_package_changes_are_marked_once_each(store: RunStore, tmp_path: Path) -> None:
    made = replace(TINY, steps=SMALL.steps)
    ids = nights(store, made, range(18, 23))
    scenario = made_run(made, 1).run.scenarios[0].id
    reported = ReportedStep(run_id=ids[2], scenario_id=scenario, metric="latency", sentence="latency is worse by +8 %")
    write_site(store, tmp_path, context=Context(marks=Marks(reported=(reported,), promoted=frozenset({ids[1]}))))
    (page,) = (tmp_path / "trends").glob("latency-*.html")
    html = page.read_text(encoding="utf-8")
    assert html.count('class="event reported"') == 1
    assert "2026-01-20: latency is worse by +8 %" in html
    assert html.count('class="event promoted"') == 1
    assert html.count('class="event subject"') == 1
    assert "onnxruntime 1.31.1 → 1.32.0" in html


def test_machines_do_not_share_a_line(store: RunStore, tmp_path: Path) -> None:
    keep(store, made_run(TINY, 1))
    other = made_run(TINY, 2)
    keep(store, replace(other, run=replace(other.run, machine=replace(other.run.machine, key="another-machine"))))
    write_site(store, tmp_path)
    assert len(list((tmp_path / "trends").glob("latency-*.html"))) == 2
    assert len(list((tmp_path / "scenarios").glob("*.html"))) == 2


def test_hostile_names_break_neither_pages_nor_file_names(store: RunStore, tmp_path: Path, hostile: RunData) -> None:
    keep(store, hostile)
    write_site(store, tmp_path)
    for file in tmp_path.rglob("*.html"):
        page = Page(file.read_text(encoding="utf-8"))
        assert page.open == []
        assert not page.all("img")
        assert len(page.all("script")) == 1
        assert len(file.name.encode()) < 150
    assert HOSTILE[:30] in Page((tmp_path / "index.html").read_text(encoding="utf-8")).text


def test_histories_with_gaps_are_drawn_with_gaps(store: RunStore, tmp_path: Path) -> None:
    for night in range(4):
        data = made_run(TINY, night)
        keep(store, replace(data, summaries=()) if night in (1, 2) else data)
    write_site(store, tmp_path)
    (page,) = (tmp_path / "trends").glob("latency-*.html")
    assert "2 runs" in page.read_text(encoding="utf-8")


def test_a_run_of_another_selection_is_no_gap_and_takes_no_scenario_from_the_trends(
    store: RunStore, tmp_path: Path
) -> None:
    nightly = replace(TINY, classes=("tiny", "medium"))
    for night in range(4):
        keep(store, made_run(nightly if night != 3 else TINY, night))
    write_site(store, tmp_path)
    assert len(list((tmp_path / "scenarios").glob("*.html"))) == len(made_run(nightly, 0).run.scenarios)
    (page,) = (tmp_path / "trends").glob("latency-*.html")
    charts = re.findall(r'class="line" d="([^"]*)"', page.read_text(encoding="utf-8"))
    assert [chart.count("M") for chart in charts] == [1, 1]
    assert sorted(chart.count("L") for chart in charts) == [2, 3]


def test_a_run_that_calibrated_the_gate_is_listed_and_says_nothing_of_the_subject(
    store: RunStore, tmp_path: Path
) -> None:
    latest = keep(store, made_run(TINY, 1))
    slowed = made_run(TINY, 2)
    arms = tuple(replace(each, arm=replace(each.arm, slowdown=0.1)) for each in slowed.run.scenarios)
    trial = keep(store, replace(slowed, run=replace(slowed.run, scenarios=arms)))
    write_site(store, tmp_path)
    index = (tmp_path / "index.html").read_text(encoding="utf-8")
    assert f"Latest run {latest}" in index
    assert trial in index
    assert len(list((tmp_path / "scenarios").glob("*.html"))) == 1


def test_a_trend_says_which_days_its_places_are(store: RunStore, tmp_path: Path) -> None:
    nights(store, TINY, range(3))
    write_site(store, tmp_path)
    (page,) = (tmp_path / "trends").glob("latency-*.html")
    html = page.read_text(encoding="utf-8")
    assert 'data-days="2025-12-31 2026-01-01 2026-01-02"' in html
    assert 'data-unit="ms"' in html
