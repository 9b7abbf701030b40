"""The pages of a site that need one or two runs: their addresses, and one task to draw each of them."""

import hashlib
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from harness.core.names import slug
from harness.core.records.scenario import Scenario
from reports.history.context import Context
from reports.history.index import RunIndex
from reports.pages.rendering import render, write
from reports.pages.run_cache import Runs
from reports.text.naming import names_of
from reports.views.alerts import AlertLine
from reports.views.players import transcripts
from reports.views.profiles import TRACES, profile_views
from reports.views.speech import speech_of
from reports.views.trends import ScenarioTrends
from reports.views.view import NO_REFERENCE, Extras, Reference, RunView, quotes, run_view

_PART = 10
_SHARE, _LEAST = 4, 2
"""A process takes this many runs at a time, and fewer towards the end, so that both processes end together."""
_INVALID = 5_000
"""A part's runs have at most this many invalid repetitions together, which limits memory."""

MOST_MARKS = 8_000
"""A page of the site draws at most this many repetitions, each of about 180 bytes, to stay below 3 MB."""

_PAGES = (
    ("index.html", "Overview"),
    ("runs.html", "Runs"),
    ("trends.html", "Trends"),
    ("alerts.html", "Alerts"),
    ("compare.html", "Compare"),
    ("models.html", "Providers and models"),
    ("glossary.html", "Glossary and method"),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Site:
    """Data of every page of the site: `root`, the relative path of the index, and the other pages."""

    root: str
    here: str
    pages: tuple[tuple[str, str], ...] = _PAGES


def run_page(run_id: str) -> str:
    """The permanent address of a run's page, relative to the index."""
    return f"runs/{_file(run_id)}.html"


def bisection_address(bisection_id: str) -> str:
    """The permanent address of a bisection's page, relative to the index."""
    return f"bisections/{_file(bisection_id)}.html"


def scenario_address(machine: str, scenario_id: str) -> str:
    """The permanent address of a scenario's page on a machine, relative to the index."""
    digest = hashlib.sha256(f"{machine}\n{scenario_id}".encode()).hexdigest()[:8]
    return f"scenarios/{slug(scenario_id)[:100]}-{digest}.html"


def trend_address(machine: str, metric: str) -> str:
    """The permanent address of the trends of a metric on a machine, relative to the index."""
    digest = hashlib.sha256(machine.encode()).hexdigest()[:8]
    return f"trends/{slug(metric)[:60]}-{digest}.html"


def _file(name: str) -> str:
    plain = slug(name)
    if plain == name and len(name) <= 120:
        return name
    return f"{plain[:100]}-{hashlib.sha256(name.encode()).hexdigest()[:8]}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Due:
    """A run whose page must be drawn, and the fingerprint that the index stores for it.

    `accepted` is the id of the newest promoted run before it, or "". `invalid` is the number of its invalid
    repetitions. `alerts` are those that its page links.
    """

    run_id: str
    fingerprint: str
    accepted: str = ""
    invalid: int = 0
    alerts: tuple[AlertLine, ...] = ()


def parts(due: Sequence[Due]) -> Iterator[Sequence[Due]]:
    """The runs in parts. The runs of a part are drawn together, with one query per table of the store."""
    start = 0
    while start < len(due):
        most = min(_PART, max(_LEAST, (len(due) - start) // _SHARE))
        part = due[start : start + most]
        while len(part) > 1 and sum(each.invalid for each in part) > _INVALID:
            part = part[:-1]
        yield part
        start += len(part)


def draw_short(runs: Runs, part: Sequence[Due], directory: Path) -> RunIndex:
    """Draw the short pages of older runs. Return their part of the index."""
    run_index = RunIndex(code="")
    references = {accepted: _reference(runs, accepted) for accepted in {each.accepted for each in part}}
    for each, data in zip(part, runs.outlines([each.run_id for each in part]), strict=True):
        view = _write_run(directory, run_view(data, reference=references[each.accepted]), each.alerts)
        publish_traces(None, each.run_id, directory)
        run_index.enter(data, each.fingerprint, view.headline)
    return run_index


def draw_full(runs: Runs, due: Due, context: Context, directory: Path) -> None:
    """Draw a run's page with every repetition."""
    values = runs.once(due.run_id)
    accepted = _reference(runs, due.accepted)
    data, speech = values.data, speech_of(values.data, context.audio)
    traces = publish_traces(context.traces, data.run.id, directory)
    extras = Extras(
        sound=transcripts(data, names_of(data), speech),
        speech=speech,
        quotes=quotes(data, context),
        profiles=profile_views(context.traces, data.run.id, names_of(data), beside=traces),
        most_marks=MOST_MARKS,
    )
    view = run_view(data, values=values, reference=accepted, extras=extras)
    _write_run(directory, view, due.alerts)


def publish_traces(folder: Path | None, run_id: str, directory: Path) -> str:
    """Put copies of the traces of a run into the site, or remove them if it has none. Return their relative address.

    The address is relative to the run's page, and "" if there are none. Raises ReportError if writing fails.
    """
    place = directory / TRACES / _file(run_id)
    kept = sorted((folder / run_id).glob("*.json.gz")) if folder and run_id else []
    for trace in kept:
        if not (place / trace.name).is_file():
            write(place / trace.name, trace.read_bytes())
    if not kept:
        shutil.rmtree(place, ignore_errors=True)
    return f"../{TRACES}/{place.name}" if kept else ""


def _reference(runs: Runs, accepted: str) -> Reference:
    """The reference on a run's page: the run with the id `accepted`, or none for ""."""
    return Reference(run=runs.head(accepted)) if accepted else NO_REFERENCE


def _write_run(directory: Path, view: RunView, alerts: tuple[AlertLine, ...]) -> RunView:
    site = Site(root="../", here="runs.html")
    write(directory / run_page(view.id), render("run.html", run=view, legend=view.legend, site=site, alerts=alerts))
    return view


@dataclass(frozen=True, slots=True, kw_only=True)
class Followed:
    """A scenario of a machine with its own page, the latest run that has it, and its trends."""

    machine: str
    scenario: Scenario
    run_id: str
    over_time: ScenarioTrends

    @property
    def address(self) -> str:
        """The address of its page, relative to the index."""
        return scenario_address(self.machine, self.scenario.id)


def draw_scenarios(runs: Runs, some: Sequence[Followed], audio: Path | None, directory: Path) -> None:
    """Draw the pages of scenarios. `audio` is the folder of the runs' recordings."""
    from reports.charts.sound import sound
    from reports.views.scenario import scenario_page

    site = Site(root="../", here="trends.html")
    for each in some:
        data = runs.of(each.run_id)
        page = scenario_page(
            data,
            each.over_time,
            strips=runs.distributions(each.run_id).of_scenario(each.scenario),
            sound=sound(data, each.scenario, audio, speech_of(data, audio)) if audio else None,
        )
        href = f"../{run_page(each.run_id)}"
        write(directory / each.address, render("scenario.html", site=site, page=page, href=href))


def draw_comparison(runs: Runs, pairs: Sequence[tuple[str, str | None]], directory: Path) -> None:
    """Draw the comparison page of the first comparable pair. `pairs` are (run, earlier run), newest first.

    For a duel, the page compares its two arms. The second id is None if there is no similar earlier run.
    """
    from reports.views.compare import comparison_of_arms, comparison_of_runs

    view = None
    for run_id, before in pairs:
        view = comparison_of_arms(runs.of(run_id))
        if view is None and before is not None:
            view = comparison_of_runs(runs.of(before), runs.of(run_id))
        if view is not None:
            break
    write_page(directory, "compare.html", compare=view)


def draw_choices(runs: Runs, newest: Sequence[str], audio: Path | None, directory: Path) -> None:
    """Draw the page of models and providers: of the first run in `newest` with several arms, else of the first run."""
    from reports.views.advice import choices

    run_id = next(filter(runs.of_several_arms, newest), newest[0])
    values = runs.values(run_id)
    found = choices(values.data, values, speech=speech_of(values.data, audio))
    write_page(directory, "models.html", choices=found, href=run_page(run_id))


def write_page(directory: Path, name: str, **values: object) -> None:
    """Write a page of the site's navigation."""
    write(directory / name, render(name, site=Site(root="", here=name), **values))
