"""Writes a history as files of asv (airspeed velocity), so that `asv publish` can be compared with the report.

A night is a commit of a synthetic repository. A metric is a benchmark whose only parameter is the scenario.
"""

import json
import platform
import shutil
import subprocess
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from harness.core.records.run import RunRecord
from harness.store.runs import RunStore

VERSION = "0.6.6"
_MACHINE = "made"
_ENVIRONMENT = "existing-py"
_COLUMNS = ("result", "params", "version")


@dataclass(frozen=True, slots=True, kw_only=True)
class Night:
    """A run in asv's terms: its commit, and metric → medians in the order of the scenarios (None: unknown)."""

    commit: str
    started_at: float
    medians: dict[str, list[float | None]]


def write_history(store: RunStore, directory: Path) -> Path:
    """Write the medians of every run of a store. Return the path of asv's configuration.

    The scenarios are those of the newest run.
    """
    rows = tuple(reversed(store.list()))
    newest = store.head(rows[-1].id)
    scenarios = [scenario.id for scenario in newest.scenarios]
    commits = _commits(directory / "repository", [row.started_at for row in rows])
    metrics, figures = _figures(store, newest, scenarios)
    nights = [
        Night(
            commit=commit,
            started_at=row.started_at,
            medians={metric: [figures.get((each, metric), {}).get(row.id) for each in scenarios] for metric in metrics},
        )
        for row, commit in zip(rows, commits, strict=True)
    ]
    results = directory / "results"
    for name, content in _files(nights, metrics, scenarios):
        file = results / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(json.dumps(content), encoding="utf-8")
    configuration = {
        "version": 1,
        "project": "made history",
        "repo": str(directory / "repository"),
        "branches": ["main"],
        "environment_type": "existing",
        "results_dir": str(results),
        "html_dir": str(directory / "html"),
    }
    path = directory / "asv.conf.json"
    path.write_text(json.dumps(configuration), encoding="utf-8")
    return path


def _figures(
    store: RunStore, newest: RunRecord, scenarios: Sequence[str]
) -> tuple[list[str], dict[tuple[str, str], dict[str, float | None]]]:
    """The metrics, and (scenario, metric) → run → median."""
    names = [name for name in store.series_names(machine_key=newest.machine.key) if name.scenario_id in scenarios]
    found = {
        (name.scenario_id, name.metric): {
            point.run_id: point.summary.median
            for point in store.series(name.metric, name.scenario_id, name.machine_key)
        }
        for name in names
    }
    return sorted({name.metric for name in names}), found


def _commits(repository: Path, moments: Iterable[float]) -> list[str]:
    """Make a repository with an empty commit at each moment, oldest first. Return the commits' hashes."""
    git = [shutil.which("git") or "git", "-C", str(repository)]
    repository.mkdir()
    subprocess.run([*git, "init", "--quiet", "--initial-branch", "main"], check=True)
    stream = "".join(
        f"commit refs/heads/main\ncommitter made <made@example.org> {int(at)} +0000\ndata 5\nnight\n\n"
        for at in moments
    )
    subprocess.run([*git, "fast-import", "--quiet"], input=stream.encode(), check=True)
    listed = subprocess.run([*git, "rev-list", "--reverse", "main"], check=True, capture_output=True, text=True)
    return listed.stdout.split()


def _files(nights: Iterable[Night], metrics: Sequence[str], scenarios: Sequence[str]) -> Iterator[tuple[str, object]]:
    """Name and content of every file of asv's results (its format 2; benchmarks and machine: 2 and 1)."""
    parameters = [[repr(scenario) for scenario in scenarios]]
    machine = {
        "machine": _MACHINE,
        "arch": platform.machine(),
        "cpu": "made",
        "num_cpu": "2",
        "os": platform.system(),
        "ram": "8 GB",
    }
    benchmarks = {
        metric: {
            "code": "",
            "name": metric,
            "param_names": ["scenario"],
            "params": parameters,
            "timeout": 60.0,
            "type": "track",
            "unit": "unit",
            "version": "1",
        }
        for metric in metrics
    }
    yield "benchmarks.json", {**benchmarks, "version": 2}
    yield f"{_MACHINE}/machine.json", {**machine, "version": 1}
    for night in nights:
        yield (
            f"{_MACHINE}/{night.commit[:8]}-{_ENVIRONMENT}.json",
            {
                "commit_hash": night.commit,
                "env_name": _ENVIRONMENT,
                "date": int(night.started_at * 1000),
                "params": {**machine, "python": "3.11"},
                "python": "3.11",
                "requirements": {},
                "env_vars": {},
                "result_columns": list(_COLUMNS),
                "results": {metric: [medians, parameters, "1"] for metric, medians in night.medians.items()},
                "durations": {},
                "version": 2,
            },
        )
