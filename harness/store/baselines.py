"""Baselines: the accepted values of a machine, in files that are reviewed like code.

A baseline changes only when someone promotes a run. It holds the last few promoted runs of a (scenario, metric), not
just one: the gate derives its allowance from the differences between runs of different days.
"""

import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from harness.core.errors import BaselineError
from harness.core.records.reference import Reference, ReferenceArm, ReferenceChange, accepting
from harness.store.baseline_files import (
    BaselineFile,
    BaselinePoint,
    PromotedRun,
    directory_of,
    file_name,
    parse,
    render,
    write_all,
)
from harness.store.reference_file import checked, load_reference, reference_path

KEPT: Final = 10
"""How many promoted runs make a baseline."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BaselineEntry:
    """A value to accept, with its machine, scenario and metric."""

    machine_key: str
    scenario_id: str
    metric: str
    point: BaselinePoint


@dataclass(frozen=True, slots=True, kw_only=True)
class BaselineChange:
    """What a promotion does to one baseline. `before` and `after` are medians of the points; None: there are none."""

    machine_key: str
    scenario_id: str
    metric: str
    before: float | None
    after: float | None
    added: tuple[str, ...]
    """Runs that come in, or come again with other figures."""
    dropped: tuple[str, ...]
    """Runs that go because there are newer ones."""
    file: Path


@dataclass(frozen=True, slots=True, kw_only=True)
class MachineBaselines:
    """One machine's baselines in a list: how many scenarios, and the promoted runs, oldest first."""

    machine_key: str
    scenarios: int
    runs: tuple[PromotedRun, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Baselines:
    """All baseline values of one machine, as of the time of loading."""

    machine_key: str
    files: Mapping[str, BaselineFile]
    """By scenario id."""
    other_machines: tuple[str, ...] = ()
    """Keys of machines that have baselines under the same root."""

    def for_pair(self, scenario_id: str, metric: str) -> tuple[BaselinePoint, ...]:
        """The points to compare with, oldest first; none where nothing was promoted."""
        file = self.files.get(scenario_id)
        return file.metrics.get(metric, ()) if file else ()

    def pairs(self) -> tuple[tuple[str, str], ...]:
        """Every (scenario id, metric) that has a baseline, sorted."""
        return tuple(sorted((scenario, metric) for scenario, file in self.files.items() for metric in file.metrics))

    def missing_reason(self, scenario_id: str, metric: str) -> str:
        """Why there is no baseline for the pair."""
        if self.files.get(scenario_id):
            return f"no baseline for {metric} of this scenario"
        if self.files:
            return "no baseline for this scenario on this machine"
        if self.other_machines:
            others = ", ".join(self.other_machines[:3]) + (", …" if len(self.other_machines) > 3 else "")
            return f"no baseline for this machine ({self.machine_key}), only for {others}, whose figures do not compare"
        return "no baseline yet"


def load_baselines(root: Path, machine_key: str) -> Baselines:
    """The baselines of a machine under `root` (which need not exist); BaselineError for a file that cannot be used."""
    directory = directory_of(root, machine_key)
    files = [parse(file, machine_key=machine_key) for file in _files(directory)]
    others = tuple(key for key in _machine_keys(root) if key != machine_key)
    return Baselines(machine_key=machine_key, files={file.scenario_id: file for file in files}, other_machines=others)


@dataclass(frozen=True, slots=True, kw_only=True)
class BaselineChanges:
    """What a promotion does to the baselines of a machine and to the reference."""

    figures: tuple[BaselineChange, ...]
    reference: tuple[ReferenceChange, ...]


def accept(
    root: Path,
    entries: Sequence[BaselineEntry],
    arms: Sequence[ReferenceArm],
    keep: int = KEPT,
    *,
    renew: bool = False,
    write: bool = True,
) -> BaselineChanges:
    """Add `entries` to their baselines, which keep the newest `keep` (at least 1) points, and `arms` to the reference.

    A run that is promoted again replaces its earlier values. `renew` is for arms whose subject was accepted before: it
    replaces the run, the day and the reason of that acceptance. BaselineError if an existing file is unusable or a new
    one cannot be written; then no file is changed, and none is half-written. Without `write`, none is changed at all.
    """
    figures, contents = _plan(root, entries, keep)
    files = {path: render(content) for path, content in contents.items()}
    reference, changes = load_reference(root) if arms else Reference(), []
    for arm in arms:
        reference, change = accepting(reference, arm, renew=renew)
        changes += [change] if change else []
    if changes:
        files[reference_path(root)] = checked(reference, reference_path(root))
    if write:
        write_all(files)
    return BaselineChanges(figures=figures, reference=tuple(changes))


def list_machines(root: Path) -> tuple[MachineBaselines, ...]:
    """The machines that have baselines, by key; BaselineError for a file that cannot be used."""
    found = []
    for key in _machine_keys(root):
        files = [parse(file, machine_key=key) for file in _files(root / key)]
        points = [point for file in files for points in file.metrics.values() for point in points]
        runs = {point.run.id: point.run for point in points}
        by_date = tuple(sorted(runs.values(), key=lambda run: (run.date, run.id)))
        found.append(MachineBaselines(machine_key=key, scenarios=len(files), runs=by_date))
    return tuple(found)


def _plan(
    root: Path, entries: Sequence[BaselineEntry], keep: int
) -> tuple[tuple[BaselineChange, ...], dict[Path, BaselineFile]]:
    before: dict[Path, BaselineFile] = {}
    after: dict[Path, BaselineFile] = {}
    for entry in entries:
        if not math.isfinite(entry.point.median):
            raise BaselineError(f"{entry.metric} is {entry.point.median}, which is no figure", where=entry.scenario_id)
        path = directory_of(root, entry.machine_key) / file_name(entry.scenario_id)
        if path not in before:
            before[path] = after[path] = _present(path, entry)
        after[path] = _with(after[path], entry)
    after = {path: _newest(content, keep) for path, content in after.items()}
    changes = [
        _change(before[path], content, metric=metric, path=path)
        for path, content in after.items()
        for metric in content.metrics
        if before[path].metrics.get(metric, ()) != content.metrics[metric]
    ]
    changes.sort(key=lambda change: (change.machine_key, change.scenario_id, change.metric))
    changed = {change.file for change in changes}
    return tuple(changes), {path: content for path, content in after.items() if path in changed}


def _present(path: Path, entry: BaselineEntry) -> BaselineFile:
    if path.exists():
        return parse(path, machine_key=entry.machine_key)
    return BaselineFile(machine_key=entry.machine_key, scenario_id=entry.scenario_id, metrics={})


def _with(content: BaselineFile, entry: BaselineEntry) -> BaselineFile:
    """`content` with one more point. The run's description replaces that of its other points."""
    run = entry.point.run
    metrics = {
        metric: tuple(replace(point, run=run) if point.run.id == run.id else point for point in points)
        for metric, points in content.metrics.items()
    }
    others = [point for point in metrics.get(entry.metric, ()) if point.run.id != run.id]
    points = sorted([*others, entry.point], key=lambda point: (point.run.date, point.run.id))
    return replace(content, metrics=metrics | {entry.metric: tuple(points)})


def _newest(content: BaselineFile, keep: int) -> BaselineFile:
    return replace(content, metrics={metric: points[-keep:] for metric, points in content.metrics.items()})


def _change(before: BaselineFile, after: BaselineFile, *, metric: str, path: Path) -> BaselineChange:
    old, new = before.metrics.get(metric, ()), after.metrics[metric]
    kept = {point.run.id for point in new}
    return BaselineChange(
        machine_key=after.machine_key,
        scenario_id=after.scenario_id,
        metric=metric,
        before=_centre(old),
        after=_centre(new),
        added=tuple(point.run.id for point in new if point not in old),
        dropped=tuple(point.run.id for point in old if point.run.id not in kept),
        file=path,
    )


def _centre(points: Sequence[BaselinePoint]) -> float | None:
    return statistics.median(point.median for point in points) if points else None


def _machine_keys(root: Path) -> tuple[str, ...]:
    return tuple(entry.name for entry in _entries(root) if entry.is_dir() and _files(entry))


def _files(directory: Path) -> tuple[Path, ...]:
    return tuple(entry for entry in _entries(directory) if entry.suffix == ".json")


def _entries(directory: Path) -> tuple[Path, ...]:
    try:
        return tuple(sorted(directory.iterdir()))
    except FileNotFoundError:
        return ()
    except OSError as error:
        # Not "no baseline": what cannot be seen may well be there.
        raise BaselineError(
            f"cannot be read ({error.strerror})", where=str(directory), remedy="make the directory readable"
        ) from error
