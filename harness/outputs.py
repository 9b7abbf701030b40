"""What a finished run leaves beside the database: the report site, and a Markdown summary where one is asked for."""

import math
import os
from pathlib import Path
from typing import TYPE_CHECKING

from harness.errors import BenchError
from harness.judge.change_points import ALPHA, STRICTEST, change_points
from harness.metrics.registry import METRICS
from harness.plan.config import Config
from harness.records.run import RunData, RunStatus
from harness.store.baselines import list_machines

if TYPE_CHECKING:
    from harness.store.rows import SeriesPoint
    from harness.store.runs import RunStore
    from reports.context import Context
    from reports.trends import Marks, Step

HISTORY = 200
"""Runs of a trend that are searched for steps."""


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

    return write_site(store, config.report, context=context_of(store, config, marks_of(store, config.baselines)))


def context_of(store: "RunStore", config: Config, marks: "Marks") -> "Context":
    """What the pages show beyond the runs' records."""
    from harness import calibration
    from reports.context import Context

    machines = {row.machine_key for row in store.list()}
    curves = {key: calibration.sentences(config.baselines, key) for key in sorted(machines)}
    return Context(marks=marks, audio=config.audio, curves={key: found for key, found in curves.items() if found})


def marks_of(store: "RunStore", baselines: Path) -> "Marks":
    """What the trends are marked with: promoted runs, and the steps that the detector finds in each gated series."""
    from reports.trends import Marks

    promoted = frozenset(run.id for machine in list_machines(baselines) for run in machine.runs)
    names = [name for name in store.series_names() if name.metric in METRICS and METRICS[name.metric].gated]
    steps: list[Step] = []
    for name in names:
        points = store.series(name.metric, name.scenario_id, name.machine_key, limit=HISTORY)
        # One alpha for all of them together, as far as the detector can tell so small a share from nothing.
        steps += _steps(name.scenario_id, name.metric, points, alpha=max(STRICTEST, ALPHA / len(names)))
    return Marks(steps=tuple(steps), promoted=promoted)


def _steps(scenario_id: str, metric: str, points: "tuple[SeriesPoint, ...]", *, alpha: float) -> "list[Step]":
    from reports.trends import Step

    known = [
        (point.run_id, point.summary.median)
        for point in points
        if point.status in (RunStatus.COMPLETE, RunStatus.PARTIAL) and point.summary.median
    ]
    found = change_points([math.log(value) for _, value in known], alpha=alpha)
    return [Step(run_id=known[each.index][0], scenario_id=scenario_id, metric=metric, size=each.size) for each in found]
