"""What a soak leaves: the schedule's log, the runs, the messages, and what the soak did, read once for all checks."""

import json
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.soak_site import Event, Site
from harness.core.records.schedule import Alert, Fire
from harness.schedule.job_store import JobStore
from harness.store.rows import RunRow
from harness.store.runs import RunStore

AFTER_FULL_S = 20.0
"""How long after the disk was freed a run may still end by it: the pauses between two attempts reach 10 s."""


@dataclass(frozen=True, slots=True)
class Check:
    """One line of the table. `holds` is None if it could not be shown; `details` name what does not hold."""

    name: str
    holds: bool | None
    figure: str
    details: Sequence[str] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """Times are in seconds since the epoch. Due times, alerts and runs are oldest first."""

    store_file: Path
    fires: Sequence[Fire]
    alerts: Sequence[Alert]
    rows: Mapping[str, RunRow]
    logged_blocks: Mapping[str, frozenset[tuple[int, int]]]
    """Run → the blocks (launch, block) that its log says were stored."""
    periods: Mapping[str, tuple[float, float]]
    """Job → its interval (s) and its next due time."""
    events: Sequence[Event]
    disturbances: Sequence[tuple[float, float]]
    """The times of kills and of a full disk, each as begin and end."""
    in_file: Sequence[Mapping[str, Any]]
    """The messages of alerts that a file got."""
    broken_lines: int
    """Lines of that file that are no JSON."""
    in_webhook: Sequence[Mapping[str, Any]]
    stopping_at: float

    def job_of(self, run_id: str) -> str:
        """The declared job that made a run; "" if none did."""
        return next((fire.declared_job for fire in self.fires if fire.run_id == run_id), "")


def read_evidence(site: Site, store: RunStore) -> Evidence:
    """Read everything. The scheduler has been stopped."""
    journal = store.journal()
    fires = tuple(reversed(journal.fires()))
    with JobStore(journal, fires[0].runner) as job_store:
        periods = {each.job.name: (each.job.every_s, each.next_at or 0.0) for each in job_store.all()}
    in_file, broken = json_lines(site.root / "alerts.jsonl")
    return Evidence(
        store_file=site.store,
        fires=fires,
        alerts=tuple(reversed(journal.alerts())),
        rows={row.id: row for row in reversed(store.list())},
        logged_blocks=_logged_blocks(site.root / ".kokoro-bench" / "schedule"),
        periods=periods,
        events=site.events,
        disturbances=_disturbances(site.events),
        in_file=in_file,
        broken_lines=broken,
        in_webhook=tuple(site.webhook.got),
        stopping_at=next(each.at for each in reversed(site.events) if each.kind == "stop"),
    )


def json_lines(file: Path) -> tuple[list[dict[str, Any]], int]:
    """The lines of a file of JSON lines, and how many of its lines are none."""
    found, broken = [], 0
    for line in file.read_text(encoding="utf-8", errors="replace").splitlines() if file.exists() else []:
        try:
            found.append(json.loads(line))
        except ValueError:
            broken += 1
    return found, broken


def _logged_blocks(folder: Path) -> dict[str, frozenset[tuple[int, int]]]:
    """By the runs' own logs. The log of a due time that was tried again has several runs."""
    blocks: dict[str, set[tuple[int, int]]] = defaultdict(set)
    for file in sorted(folder.glob("*.events")):
        run_id = ""
        for line in json_lines(file)[0]:
            if line["event"] == "begun":
                run_id = line["run_id"]
                blocks[run_id] |= set()
            elif line["event"] == "block" and run_id:
                blocks[run_id].add((line["launches"], line["blocks"]))
    return {run_id: frozenset(found) for run_id, found in blocks.items()}


def _disturbances(events: Sequence[Event]) -> list[tuple[float, float]]:
    found = [(each.at, each.at) for each in events if each.kind == "kill -9"]
    disk = [each for each in events if each.kind == "disk"]
    found += [(full.at, freed.at + AFTER_FULL_S) for full, freed in zip(disk[::2], disk[1::2], strict=False)]
    return found
