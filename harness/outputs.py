"""What a finished run leaves beside the database: the report site, and a Markdown summary where one is asked for."""

import os
from pathlib import Path
from typing import TYPE_CHECKING

from harness.errors import BenchError
from harness.plan.config import Config
from harness.records.run import RunData
from harness.store.baselines import list_machines

if TYPE_CHECKING:
    from harness.store.runs import RunStore
    from reports.context import Context
    from reports.steps import Marks


def write_outputs(data: RunData, config: Config) -> list[str]:
    """Write them, and say where they lie. One that cannot be written costs its sentence, not the run."""
    from harness.store.runs import open_store

    notes = []
    try:
        with open_store(config.results) as store:
            index = write_report(store, config)
        notes.append(f"report: {index.parent / 'runs' / data.run.id}.html (all runs: {index})")
    except BenchError as error:
        notes.append(f"report: not written: {error.where}: {error.what} — choose another place with --report DIRECTORY")
    except Exception as error:  # noqa: BLE001 - whatever is wrong with a page, the run is measured, judged and stored
        notes.append(f"report: failed: {type(error).__name__}: {error} — this is a fault of the harness")
    summaries = [path for path in (config["summary"], os.environ.get("GITHUB_STEP_SUMMARY")) if path]
    for path in summaries:
        from reports.summary import markdown_summary

        try:
            with Path(path).open("a", encoding="utf-8") as file:
                file.write(markdown_summary(data))
            notes.append(f"summary: {path}")
        except OSError as error:
            notes.append(f"summary: not written: {path}: {error.strerror} — choose another file with --summary FILE")
    return notes


def write_report(store: "RunStore", config: Config) -> Path:
    """Bring the site up to date with the store, and return its index."""
    from reports.pages import write_site

    return write_site(store, config.report, context=context_of(store, config))


def context_of(store: "RunStore", config: Config) -> "Context":
    """What the pages show beyond the runs' records."""
    from harness import calibration
    from reports.context import Context

    machines = {row.machine_key for row in store.list()}
    curves = {key: calibration.sentences(config.baselines, key) for key in sorted(machines)}
    return Context(
        marks=_marks(store, config),
        audio=config.audio,
        curves={key: found for key, found in curves.items() if found},
    )


def _marks(store: "RunStore", config: Config) -> "Marks":
    """What was told and what was promoted."""
    from harness.records.schedule import AlertKind
    from reports.steps import Marks, Told

    told = tuple(
        Told(run_id=each.run_id, scenario_id=each.subject, metric=each.metric, sentence=each.sentence)
        for each in store.journal().alerts()
        if each.kind is AlertKind.REGRESSION
    )
    return Marks(
        told=told, promoted=frozenset(run.id for machine in list_machines(config.baselines) for run in machine.runs)
    )
