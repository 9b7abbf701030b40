"""Runs whose process has ended before they did."""

from collections.abc import Callable
from dataclasses import replace
from typing import Final

from sqlalchemy import Connection, select, update

from harness.core.records.run import RunRecord, RunStatus
from harness.store.queries import Running
from harness.store.rows import head_values
from harness.store.schema import RUNS

SILENT_LIMIT_S: Final = 86_400.0
"""A run of another boot on a shared server is abandoned if nothing was written for this long beyond its budget."""


def may_be_running(entry: Running, *, boot: str, alive: Callable[[int, float], bool], local: bool, now: float) -> bool:
    """Whether a run that is marked as running may still be so.

    `boot` identifies this start of the machine, `alive` takes a process number and the start of its run. `local` says
    that the database is a file of this machine, `now` is in seconds since the epoch.
    """
    if entry.run.boot == boot:
        return alive(entry.run.pid, entry.run.started_at)
    return not local and now < entry.touched_at + entry.run.budget_s + SILENT_LIMIT_S


def mark_interrupted(connection: Connection, run: RunRecord) -> bool:
    """Mark a run that has died; False where it has ended in order since it was read."""
    row = connection.execute(
        select(RUNS.c.key, RUNS.c.status, RUNS.c.touched_at).where(RUNS.c.id == run.id)
    ).one_or_none()
    if row is None or row.status != RunStatus.RUNNING.value:
        return False
    ended = replace(
        run,
        status=RunStatus.INTERRUPTED,
        ended_at=row.touched_at,
        reason=f"its process ({run.pid}) ended before the run did; every finished block is here",
    )
    connection.execute(update(RUNS).where(RUNS.c.key == row.key).values(**head_values(ended)))
    return True
