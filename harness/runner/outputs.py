"""Files that a finished run writes besides the database: the report site and an optional Markdown summary."""

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING

from harness.analysis.finished import Finished
from harness.core.crash_report import crash_line
from harness.core.errors import BenchError, ExitCode
from harness.core.output_files import append_whole, check_directory, check_distinct, check_file, is_same_file
from harness.core.redaction import published_text
from harness.measure.conductor.event_file import EVENTS_VARIABLE, named_event_file
from harness.plan.config import Config
from harness.store.baselines import list_machines

if TYPE_CHECKING:
    from harness.core.records.bisection import Bisection
    from harness.core.records.schedule import Alert
    from harness.store.runs import RunStore
    from reports.history.context import Context
    from reports.history.steps import Marks


STEP_SUMMARY = "GITHUB_STEP_SUMMARY"
"""The variable in which GitHub names a file for a job's summary."""
NO_FILES: Mapping[str, Path] = MappingProxyType({})


def check_outputs(config: Config, others: Mapping[str, Path] = NO_FILES) -> None:
    """Create the folders of report and summary before the measurement. Raises UsageError if that fails.

    `others` are further files that the command writes, by option: no two outputs may be the same file.
    """
    check_no_output_twice(config, others)
    check_directory(config.report, where=config.named("report"))
    if config["summary"]:
        check_file(Path(config["summary"]), where=config.named("summary"))


def check_no_output_twice(config: Config, others: Mapping[str, Path] = NO_FILES) -> None:
    """Raise UsageError, which names both options, if two outputs of a measurement are the same file."""
    summary, step = config["summary"], os.environ.get(STEP_SUMMARY, "").strip()
    files = {
        config.named("results"): config.results_file,
        config.named("summary"): Path(summary) if summary else None,
        **others,
        EVENTS_VARIABLE: named_event_file(),
        STEP_SUMMARY: Path(step) if step and not _is_summary(config, step) else None,
    }
    check_distinct(
        {option: path for option, path in files.items() if path is not None},
        pages=(config.named("report"), config.report),
    )


def _is_summary(config: Config, path: str) -> bool:
    """Whether a path is that of `--summary`. Such a file gets the summary once."""
    return bool(config["summary"]) and is_same_file(Path(config["summary"]), Path(path))


@dataclass(frozen=True, slots=True, kw_only=True)
class Written:
    """What became of the outputs of a command; `+` joins those of two."""

    notes: tuple[str, ...] = ()
    """A sentence for each output: its path, or why it could not be written."""
    code: ExitCode = ExitCode.OK
    """What the command ends with where all else is well: not 0 if an output is missing that was asked for."""

    def __add__(self, other: "Written") -> "Written":
        return Written(notes=(*self.notes, *other.notes), code=self.code or other.code)


def write_outputs(finished: Finished, config: Config) -> Written:
    """Write the outputs of a run."""
    from reports.views.summary import markdown_summary

    data = finished.data
    site = _written_site(config, f"runs/{data.run.id}.html", finished=finished)
    return site + _written_summaries(config, lambda: markdown_summary(data))


def write_bisection_outputs(config: Config, bisection: "Bisection", *, last: Finished | None) -> Written:
    """The same for a bisection. `last` is the last run that it measured, if it measured any."""
    from reports.pages.run_pages import bisection_address
    from reports.views.bisection import bisection_markdown

    site = _written_site(config, bisection_address(bisection.id), finished=last)
    return site + _written_summaries(config, lambda: bisection_markdown(bisection))


def _written_site(config: Config, page: str, *, finished: Finished | None) -> Written:
    """Update the site, and name a page of it."""
    from harness.store.runs import open_store

    try:
        with open_store(config.results) as store:
            index = write_report(store, config, finished=finished)
    except BenchError as error:
        note = f"report: not written: {error.where}: {error.what} — choose another place with --report DIRECTORY"
        return Written(notes=(note,), code=ExitCode.USAGE)
    except Exception as error:  # noqa: BLE001 - whatever is wrong with a page, the run is measured, judged and stored
        return Written(notes=(f"report: not written: {crash_line(error)}",), code=ExitCode.INTERNAL)
    return Written(notes=(f"report: {index.parent / page} (all runs: {index})",))


def _written_summaries(config: Config, markdown: Callable[[], str]) -> Written:
    """Append a summary to each file that was named. The one that GitHub names was not asked for, so it may be lost."""
    found = Written()
    for path, lost in ((config["summary"], ExitCode.USAGE), (os.environ.get(STEP_SUMMARY, ""), ExitCode.OK)):
        if path.strip() and not (lost is ExitCode.OK and _is_summary(config, path)):
            try:
                append_whole(Path(path), markdown().encode(), where="summary")
                found += Written(notes=(f"summary: {path}",))
            except BenchError as error:
                found += Written(notes=(f"{error.where}: not written: {error.what}",), code=lost)
    return found


def write_report(store: "RunStore", config: Config, *, finished: Finished | None = None) -> Path:
    """Update the site from the store and return the path of its index. `finished` is used without reading it again."""
    from reports.pages.write import write_site

    derived = finished.values if finished else None
    return write_site(store, config.report, context=context_of(store, config), derived=derived)


def context_of(store: "RunStore", config: Config) -> "Context":
    """The data that the pages show besides the runs' records."""
    from harness.runner import calibration
    from harness.store.bisections import read_bisections
    from reports.history.context import Context

    machines = {row.machine_key for row in store.list()}
    curves = {key: calibration.sentences(config.baselines, key) for key in sorted(machines)}
    return Context(
        marks=_marks(store, config),
        audio=config.audio,
        traces=config.traces,
        alerts=store.journal().alerts(),
        bisections=read_bisections(config.bisections),
        curves={key: found for key, found in curves.items() if found},
    )


def _sentence(alert: "Alert") -> str:
    """The sentence of an alert, and how it ended if its problem did not go away."""
    from harness.core.records.schedule import AlertEnding

    lasting = alert.ending is not None and alert.ending is not AlertEnding.RECOVERED
    return f"{alert.sentence}; {alert.ending} after run {alert.closed_by}" if lasting else alert.sentence


def _marks(store: "RunStore", config: Config) -> "Marks":
    """The alerts and the promoted runs, which charts mark."""
    from harness.core.records.schedule import AlertKind
    from reports.history.steps import Marks, ReportedStep

    reported = tuple(
        ReportedStep(
            run_id=each.run_id, scenario_id=each.subject, metric=each.metric, sentence=published_text(_sentence(each))
        )
        for each in store.journal().alerts()
        if each.kind is AlertKind.REGRESSION
    )
    return Marks(
        reported=reported,
        promoted=frozenset(run.id for machine in list_machines(config.baselines) for run in machine.runs),
    )
