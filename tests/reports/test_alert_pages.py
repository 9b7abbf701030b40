"""The pages of alerts, and the same as Markdown and text."""

from dataclasses import replace
from pathlib import Path

import pytest

from harness.core.records.bisection import BisectionAnswer
from harness.core.records.run import RunData
from harness.core.records.schedule import AlertEnding, AlertKind, Confirmation
from harness.core.records.verdict import Estimate, Verdict, VerdictKind
from harness.store.runs import open_store
from reports.history.context import Context
from reports.pages import alert_pages
from reports.pages.write import write_site
from reports.views.alerts import alert_view, markdown_alert, text_alert

from .alert_samples import alert_on, every_kind
from .conftest import HOSTILE, keep


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory, small_run: RunData) -> Path:
    directory = tmp_path_factory.mktemp("alerts")
    with open_store(directory / "results.sqlite") as store:
        keep(store, small_run)
        context = Context(alerts=tuple(every_kind(small_run)))
        return write_site(store, directory / "site", context=context).parent


def read(site: Path, name: str) -> str:
    return (site / name).read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("key", "says"),
    [
        (1, "Recovered: the problem no longer shows after run"),
        (2, "Not confirmed: a duel did not show it, so it was not reported"),
        (3, "Accepted: the new level was promoted to the baseline after run"),
        (4, "Waived: a waiver in the configuration covers it"),
        (5, "Latency got better: −9.5"),
        (6, "No duel could confirm it: no reference was accepted for it."),
        (7, "Found, and not reported yet: a duel is to confirm it first."),
        (8, "Real-time factor misses its target"),
        (9, "Job nightly failed"),
    ],
)
def test_page_of_each_kind_and_ending(site: Path, key: int, says: str) -> None:
    html = read(site, f"alerts/{key}.html")
    assert says in html.replace("\u202f", " ")
    assert '<a href="../alerts.html" aria-current="page">Alerts</a>' in html


def test_index_lists_open_alerts_first_and_run_links_its_alerts(site: Path, small_run: RunData) -> None:
    html = read(site, "alerts.html")
    places = [html.index(f'href="alerts/{key}.html"') for key in (9, 8, 7, 6, 5, 4, 3, 2, 1)]
    assert places == sorted(places)
    assert "5 open of 9" in html
    page = read(site, f"runs/{small_run.run.id}.html")
    assert '<a href="../alerts/7.html">Alert 7</a>: Latency got worse' in page
    assert "(being confirmed)" in page


def test_only_changed_pages_are_drawn_again(
    tmp_path: Path, small_run: RunData, monkeypatch: pytest.MonkeyPatch
) -> None:
    drawn: list[str] = []

    def spy(path: Path, page: str) -> None:
        drawn.append(path.name)
        write(path, page)

    write = alert_pages.write
    monkeypatch.setattr(alert_pages, "write", spy)
    first, second = alert_on(small_run, key=1), alert_on(small_run, key=2, metric="rtf")
    with open_store(tmp_path / "results.sqlite") as store:
        keep(store, small_run)
        site = write_site(store, tmp_path / "site", context=Context(alerts=(second, first))).parent
        assert drawn == ["2.html", "1.html", "alerts.html"]
        drawn.clear()
        ended = replace(first, closed_at=1.0, closed_by="later", ending=AlertEnding.RECOVERED)
        write_site(store, tmp_path / "site", context=Context(alerts=(second, ended)))
    assert drawn == ["1.html", "alerts.html"]
    assert "(recovered)" in read(site, f"runs/{small_run.run.id}.html")


def test_markdown_and_text_say_the_same_as_page(small_run: RunData) -> None:
    alert = alert_on(small_run, kind=AlertKind.IMPROVEMENT, confirmation=Confirmation.UNDECIDED, size=-0.0953)
    view = alert_view(alert, {small_run.run.id: small_run})
    for text in (markdown_alert(view), text_alert(view)):
        assert "Latency got better: −9.1" in text
        assert "confirmed by a duel with what was accepted" in text.lower()
        assert f"kokoro-bench schedule confirm {alert.key} --budget 45m" in text
        assert "An unexpected gain is often something that no longer works" in text
        assert text.endswith("\n")


@pytest.mark.parametrize(("size", "differs"), [(0.0953, False), (1.1, True)])
def test_sizes_that_contradict_each_other_are_named(small_run: RunData, size: float, *, differs: bool) -> None:
    alert = alert_on(
        small_run, size=size, low=size - 0.02, high=size + 0.02, confirmed_by="duel", answer=BisectionAnswer.UNDECIDED
    )
    (first, *_) = [each for each in small_run.run.scenarios if each.id == alert.subject]
    change = Estimate(point=0.09, low=0.08, high=0.10, level=0.99, method="m", n=12, launches=3)
    verdict = Verdict(scenario_id=first.id, metric="latency", kind=VerdictKind.REGRESSED, change=change)
    duel = replace(small_run, run=replace(small_run.run, id="duel"), verdicts=(verdict,))
    view = alert_view(alert, {small_run.run.id: small_run, "duel": duel})
    assert ("The sizes differ: what changed under test makes +9.4" in view.sure) is differs
    assert any("goes on where it ended" in step for step in view.steps)


def test_alert_of_hostile_names_and_of_runs_that_are_gone(small_run: RunData) -> None:
    alert = alert_on(small_run, sentence=HOSTILE, confirmation_reason=HOSTILE, found_in="gone", run_id="gone")
    view = alert_view(alert, {})
    assert "<script>" not in markdown_alert(view)
    assert "\x1b" not in text_alert(view)
    assert not view.since.is_stored
