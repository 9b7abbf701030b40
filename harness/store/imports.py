"""Storing a run that was exported elsewhere: whole, in one transaction, or not at all."""

import re
from dataclasses import dataclass, replace
from itertools import chain, count
from typing import Final

from sqlalchemy import Connection, insert, update

from harness.core.errors import StoreError
from harness.core.records.run import RunData, RunStatus
from harness.core.redaction import published
from harness.store import queries
from harness.store.conclusions import conclusion_counts, insert_rows, replace_conclusions
from harness.store.rows import block_row, head_values, launch_row, repetition_rows, scenario_keys
from harness.store.schema import BLOCKS, LAUNCHES, REPETITIONS, RUNS

SAFE_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,149}")
"""Ids of runs, keys of machines and names of metrics become names of files in the report and the baselines."""

_REMEDY: Final = "export the run again: kokoro-bench runs export RUN --format jsonl"

STILL_RUNNING: Final = "it was exported while it was running"


@dataclass(frozen=True, slots=True, kw_only=True)
class Imported:
    """The id under which a run is stored, and whether it was stored already."""

    run_id: str
    is_new: bool


def check_names(data: RunData, *, where: str) -> None:
    """StoreError for a name that cannot be one of a file. `where` names the file that is read, for the message."""
    metrics = [each.metric for each in data.summaries] + [each.metric for each in data.verdicts]
    for name in (data.run.id, data.run.machine.key, *metrics):
        if not SAFE_NAME.fullmatch(name):
            raise StoreError(f"has the name {name[:60]!r}, which no kokoro-bench writes", where=where, remedy=_REMEDY)


def import_run(connection: Connection, data: RunData, *, now: float) -> Imported:
    """Store a run with all its records. `now` is the time of the write (seconds since the epoch).

    A run that is stored already is left as it is. If another run has its id, -2, -3, … is appended.
    """
    if data.run.status is RunStatus.RUNNING:
        data = replace(data, run=replace(data.run, status=RunStatus.INTERRUPTED, reason=STILL_RUNNING))
    for name in chain([data.run.id], (f"{data.run.id}-{number}" for number in count(2))):
        named = replace(data, run=replace(data.run, id=name))
        if not queries.has_run(connection, name):
            _insert(connection, named, now=now)
            return Imported(run_id=name, is_new=True)
        # What an export leaves out does not count.
        if published(queries.load(connection, name)) == published(named):
            return Imported(run_id=name, is_new=False)
    raise AssertionError


def _insert(connection: Connection, data: RunData, *, now: float) -> None:
    repetitions = data.repetitions
    ids = [*(each.id for each in data.run.scenarios), *(each.scenario_id for each in repetitions)]
    scenarios = scenario_keys(connection, list(dict.fromkeys(ids)))
    counts = {
        "touched_at": now,
        "blocks": len(data.blocks),
        "repetitions": len(repetitions),
        "invalid": sum(not each.outcome.valid for each in repetitions),
    }
    connection.execute(insert(RUNS).values(head_values(data.run) | counts))
    key = queries.run_key(connection, data.run.id)
    insert_rows(connection, LAUNCHES, (launch_row(each, run=key) for each in data.launches))
    insert_rows(connection, BLOCKS, (block_row(each, run=key) for each in data.blocks))
    insert_rows(connection, REPETITIONS, repetition_rows(repetitions, run=key, scenarios=scenarios))
    if data.summaries or data.verdicts or data.targets:
        replace_conclusions(connection, key, summaries=data.summaries, verdicts=data.verdicts, targets=data.targets)
        found = conclusion_counts(data.verdicts, data.targets)
        connection.execute(update(RUNS).where(RUNS.c.key == key).values(**found))
