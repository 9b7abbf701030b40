"""The results database: stores runs block by block during the measurement, and reads them afterwards."""

import time
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from itertools import chain, count
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Self

from sqlalchemy import Connection, delete, insert, update
from sqlalchemy.exc import IntegrityError, SQLAlchemyError

from harness.core.errors import StoreError
from harness.core.records.environment import Conditions
from harness.core.records.repetition import Block, Launch, Repetition
from harness.core.records.run import RunData, RunKind, RunOutline, RunRecord, RunStatus
from harness.core.records.verdict import Summary, TargetResult, Verdict
from harness.store import queries
from harness.store.abandoned import mark_interrupted, may_be_running
from harness.store.conclusions import conclusion_counts, insert_rows, replace_conclusions
from harness.store.databases import Database, connect, give_back_space, identity
from harness.store.errors import explain, explained, reading
from harness.store.imports import Imported, import_run
from harness.store.liveness import process_alive
from harness.store.migrate import bring_up_to_date
from harness.store.outlines import outlines
from harness.store.rows import (
    RunRow,
    SeriesName,
    SeriesPoint,
    block_row,
    head_values,
    launch_row,
    repetition_rows,
    scenario_keys,
)
from harness.store.schema import BLOCKS, LAUNCHES, REPETITIONS, RUNS

if TYPE_CHECKING:
    from harness.store.schedule_log import ScheduleLog


def open_store(
    url_or_path: str | Path, *, lock_wait_s: float = 60.0, now: Callable[[], float] = time.time
) -> "RunStore":
    """Open the results database at a file name or SQLAlchemy URL, creating or migrating it as needed.

    `lock_wait_s` is how long (s) to wait for another writer. Raises StoreError if the database cannot be used. A
    damaged file is renamed, and the error states the new name.
    """
    database = connect(url_or_path, lock_wait_s=lock_wait_s)
    try:
        bring_up_to_date(database)
    except BaseException as error:
        database.dispose()
        if isinstance(error, SQLAlchemyError):
            raise explain(error, database) from error
        raise
    return RunStore(replace(database, identity=identity(database.file)), now=now)


class RunStore:
    """The runs in a database. Every method is one transaction. Several processes and threads may use it at once.

    All methods raise StoreError if the database fails, and UsageError for an unknown run.
    """

    def __init__(self, database: Database, *, now: Callable[[], float] = time.time) -> None:
        self._database = database
        self._now = now
        self._scenarios: dict[str, int] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    @property
    def place(self) -> str:
        """The location of the database for messages, without passwords."""
        return self._database.place

    @property
    def address(self) -> str | Path | None:
        """The address by which another process opens the same database. It may have a password: do not print it.

        None for a database in memory, which no other process can open.
        """
        if self._database.file is None and self._database.is_local:
            return None
        return self._database.file or self._database.readers.url.render_as_string(hide_password=False)

    def close(self) -> None:
        """Close every connection. A later call opens a new one."""
        self._database.dispose()

    # Writing, in the order of a run.

    def begin(self, run: RunRecord) -> str:
        """Store the head of a run and return its id: that of `run`, with -2, -3, … appended if it is taken."""
        names = chain([run.id], (f"{run.id}-{number}" for number in count(2)))
        while True:
            named = replace(run, id=next(names))
            # Look it up first, because each failed attempt writes a line into a database server's log.
            if self._has(named.id):
                continue
            try:
                self._begin(named)
            except _AlreadyThereError:
                continue  # another run has taken it since the look-up
            return named.id

    def add_launch(self, run_id: str, launch: Launch) -> None:
        with self._writing() as connection:
            key = queries.run_key(connection, run_id)
            connection.execute(insert(LAUNCHES).values(launch_row(launch, run=key)))
            self._touch(connection, key)

    def add_repetitions(self, run_id: str, repetitions: Sequence[Repetition]) -> None:
        """Store repetitions outside the blocks: first inferences and warm-ups."""
        with self._writing() as connection:
            self._add_repetitions(connection, queries.run_key(connection, run_id), repetitions)

    def add_block(self, run_id: str, block: Block, repetitions: Sequence[Repetition]) -> None:
        """Store a block with its repetitions. Raises StoreError if the launch already has this block."""
        try:
            with self._writing() as connection:
                key = queries.run_key(connection, run_id)
                connection.execute(insert(BLOCKS).values(block_row(block, run=key)))
                self._add_repetitions(connection, key, repetitions, blocks=1)
        except _AlreadyThereError as error:
            raise StoreError(
                f"block {block.block} of launch {block.launch} is stored already", where=f"{self.place}, run {run_id}"
            ) from error

    def conclude(
        self,
        run_id: str,
        summaries: Sequence[Summary],
        verdicts: Sequence[Verdict],
        targets: Sequence[TargetResult],
    ) -> None:
        """Store the conclusions of a run. They replace earlier ones."""
        with self._writing() as connection:
            key = queries.run_key(connection, run_id)
            replace_conclusions(connection, key, summaries=summaries, verdicts=verdicts, targets=targets)
            self._touch(connection, key, **conclusion_counts(verdicts, targets))

    def add(self, data: RunData) -> Imported:
        """Store a run from another database, whole or not at all; see `import_run`."""
        try:
            with self._writing() as connection:
                return import_run(connection, data, now=self._now())
        except _AlreadyThereError as error:
            raise StoreError(
                "has two records of the same thing, so none of it is stored",
                where=f"run {data.run.id}",
                remedy="export it again: kokoro-bench runs export RUN --format jsonl",
            ) from error

    def finish(
        self,
        run_id: str,
        *,
        status: RunStatus,
        ended_at: float,
        conditions_at_end: Conditions | None = None,
        reason: str = "",
        notes: Sequence[str] | None = None,
    ) -> RunRecord:
        """Store the end of a run and return its head. `notes`, if given, replace the earlier ones."""
        with self._writing() as connection:
            key = queries.run_key(connection, run_id)
            run = queries.head(connection, run_id)
            ended = replace(
                run,
                status=status,
                ended_at=ended_at,
                conditions_at_end=conditions_at_end,
                reason=reason,
                notes=run.notes if notes is None else tuple(notes),
            )
            self._touch(connection, key, **head_values(ended))
            return ended

    def delete(self, run_id: str) -> None:
        """Delete a run with all its records."""
        with self._writing() as connection:
            key = queries.run_key(connection, run_id)
            connection.execute(delete(RUNS).where(RUNS.c.key == key))
        self.give_back_space()

    def thin(self, run_id: str, *, note: str) -> int:
        """Delete a run's raw repetitions and return their number. Its summaries, verdicts and blocks stay.

        `note` is added to the run. It should state why the run has no repetitions.
        """
        with self._writing() as connection:
            key = queries.run_key(connection, run_id)
            removed = connection.execute(delete(REPETITIONS).where(REPETITIONS.c.run == key)).rowcount
            if removed:
                run = queries.head(connection, run_id)
                noted = replace(run, notes=(*run.notes, note))
                connection.execute(update(RUNS).where(RUNS.c.key == key).values(**head_values(noted)))
        return removed

    def journal(self) -> "ScheduleLog":
        """The schedule's log, in the same database."""
        from harness.store.schedule_log import ScheduleLog

        return ScheduleLog(self._database)

    def give_back_space(self) -> None:
        """Shrink the database file after deletions."""
        if self._database.file is not None:
            give_back_space(self._database.file)

    def mark_abandoned(
        self, *, machine_key: str, boot: str, alive: Callable[[int, float], bool] = process_alive
    ) -> tuple[str, ...]:
        """Mark as interrupted the runs of this machine that are stored as running but have ended. Return their ids.

        `boot` identifies the current boot of the machine, as `RunRecord.boot` does. `alive` takes a process id and the
        start of its run. Running runs and those of other machines are unchanged. Machines of the same kind share a
        key, so on a database server a run of another boot is marked only a day after its budget, without any write.
        """
        with reading(self._database) as connection:
            running = queries.running(connection, machine_key)
        local, now = self._database.is_local, self._now()
        dead = [
            entry.run for entry in running if not may_be_running(entry, boot=boot, alive=alive, local=local, now=now)
        ]
        found = []
        for run in dead:
            with self._writing() as connection:
                if mark_interrupted(connection, run):
                    found.append(run.id)
        return tuple(found)

    # Reading.

    def load(self, run_id: str) -> RunData:
        """A run with all its observations and conclusions, read in one transaction."""
        with reading(self._database) as connection:
            return queries.load(connection, run_id)

    def outlines(self, run_ids: Sequence[str]) -> tuple[RunOutline, ...]:
        """Several runs with their conclusions and failures, in a fraction of the time of loading each run."""
        with reading(self._database) as connection:
            return outlines(connection, run_ids)

    def head(self, run_id: str) -> RunRecord:
        """A run without its observations."""
        with reading(self._database) as connection:
            return queries.head(connection, run_id)

    def list(
        self, *, machine_key: str | None = None, status: RunStatus | None = None, limit: int | None = None
    ) -> tuple[RunRow, ...]:
        """The runs, newest first."""
        with reading(self._database) as connection:
            return queries.list_runs(connection, machine_key=machine_key, status=status, limit=limit)

    def row(self, run_id: str) -> RunRow | None:
        """A run's row of the list; None for an unknown id."""
        with reading(self._database) as connection:
            return next(iter(queries.list_runs(connection, run_id=run_id)), None)

    def resolve(self, name: str, *, machine_key: str | None = None, among: Collection[RunKind] | None = None) -> str:
        """The id for `name`: an id, a unique prefix of one, "latest", or "latest~N", of those `among` (not replays)."""
        with reading(self._database) as connection:
            return queries.resolve(connection, name, machine_key=machine_key, among=among)

    def series(
        self, metric: str, scenario_id: str, machine_key: str, limit: int | None = None, *, verdicts: bool = False
    ) -> tuple[SeriesPoint, ...]:
        """A trend, oldest first, of the newest `limit` runs that have a summary for it; with their `verdicts` on it."""
        name = SeriesName(machine_key=machine_key, scenario_id=scenario_id, metric=metric)
        with reading(self._database) as connection:
            return queries.series(connection, name, limit=limit, verdicts=verdicts)

    def series_names(self, *, machine_key: str | None = None) -> tuple[SeriesName, ...]:
        """The names of all trends, sorted."""
        with reading(self._database) as connection:
            return queries.series_names(connection, machine_key=machine_key)

    # Internal.

    def _has(self, run_id: str) -> bool:
        with reading(self._database) as connection:
            return queries.has_run(connection, run_id)

    def _begin(self, run: RunRecord) -> None:
        counts = {"touched_at": self._now(), "blocks": 0, "repetitions": 0, "invalid": 0}
        with self._writing() as connection:
            keys = scenario_keys(connection, [scenario.id for scenario in run.scenarios])
            connection.execute(insert(RUNS).values(head_values(run) | counts))
        self._scenarios |= keys

    @contextmanager
    def _writing(self) -> Iterator[Connection]:
        with explained(self._database):
            try:
                with self._database.writers.begin() as connection:
                    yield connection
            except IntegrityError as error:
                raise _AlreadyThereError(
                    "what was to be stored contradicts what is there",
                    where=self.place,
                    remedy="run `kokoro-bench doctor`",
                ) from error

    def _touch(self, connection: Connection, key: int, **values: object) -> None:
        connection.execute(update(RUNS).where(RUNS.c.key == key).values(touched_at=self._now(), **values))

    def _add_repetitions(
        self, connection: Connection, key: int, repetitions: Sequence[Repetition], *, blocks: int = 0
    ) -> None:
        new = [repetition.scenario_id for repetition in repetitions if repetition.scenario_id not in self._scenarios]
        # Cache only the keys that were stored before: this transaction may still be rolled back.
        scenarios = self._scenarios | scenario_keys(connection, new)
        rows = repetition_rows(repetitions, run=key, scenarios=scenarios)
        insert_rows(connection, REPETITIONS, rows)
        invalid = sum(not repetition.outcome.valid for repetition in repetitions)
        self._touch(
            connection,
            key,
            blocks=RUNS.c.blocks + blocks,
            repetitions=RUNS.c.repetitions + len(rows),
            invalid=RUNS.c.invalid + invalid,
        )


class _AlreadyThereError(StoreError):
    """A row with the same key exists."""
