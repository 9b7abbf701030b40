"""Retention: deletes the raw repetitions and traces of old runs, and old logs.

Summaries, verdicts and promoted runs are kept.
"""

from collections.abc import Callable, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path

from harness.core.records.run import RunStatus
from harness.core.records.schedule import Fire
from harness.schedule.job import Settings
from harness.schedule.launcher import events_of
from harness.store.rows import RunRow
from harness.store.runs import RunStore
from harness.store.schedule_log import ScheduleLog
from harness.store.traces import delete_traces

FRESH = 50
"""An upper bound for the number of new runs between two calls."""

THINNED = "raw repetitions were removed by retention"


def to_thin(
    rows: Sequence[RunRow], *, machine_key: str, promoted: frozenset[str], settings: Settings, now: float
) -> tuple[str, ...]:
    """The ids of this machine's runs that are too old or beyond the limit. `rows` are newest first."""
    mine = [row for row in rows if row.machine_key == machine_key and row.status is not RunStatus.RUNNING]
    return tuple(
        row.id
        for place, row in enumerate(mine)
        if row.id not in promoted and (place >= settings.keep_raw_runs or row.started_at < now - settings.keep_raw_s)
    )


class Retention:
    """Applies retention after each run. It remembers which runs have no raw repetitions, so it checks only new ones."""

    def __init__(
        self,
        *,
        store: RunStore,
        settings: Settings,
        machine_key: str,
        runner: str,
        promoted: Callable[[], frozenset[str]],
        traces: Path | None = None,
    ) -> None:
        """`traces` is the folder of all runs' traces, which are kept as long as the raw repetitions."""
        self._store = store
        self._settings = settings
        self._machine_key = machine_key
        self._runner = runner
        self._promoted = promoted
        self._traces = traces
        self._done: set[str] = set()
        self._looked = False

    def apply(self, *, now: float) -> tuple[str, ...]:
        """Delete due raw repetitions and old logs. Return the ids of the runs that lost their repetitions."""
        # The first call has checked all older runs. The next daemon handles a run that is no longer promoted.
        limit = self._settings.keep_raw_runs + FRESH if self._looked else None
        rows = self._store.list(machine_key=self._machine_key, limit=limit)
        self._looked = True
        found = to_thin(
            rows, machine_key=self._machine_key, promoted=self._promoted(), settings=self._settings, now=now
        )
        day = datetime.fromtimestamp(now, tz=UTC).strftime("%Y-%m-%d")
        fresh = [run_id for run_id in found if run_id not in self._done]
        thinned = tuple(run_id for run_id in fresh if self._store.thin(run_id, note=f"{THINNED} on {day}"))
        if self._traces is not None:
            for run_id in fresh:
                delete_traces(self._traces, run_id)
        self._done = set(found)
        if thinned:
            self._store.give_back_space()
        journal = self._store.journal()
        for fire in journal.logs_before(now - self._settings.keep_logs_s, runner=self._runner):
            _remove_log(journal, fire)
        return thinned


def _remove_log(journal: ScheduleLog, fire: Fire) -> None:
    log = Path(fire.log)
    for file in (log, events_of(log)):
        with suppress(OSError):
            file.unlink()
    journal.change(fire.key, log="")
