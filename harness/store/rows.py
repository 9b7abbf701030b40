"""The results of queries, and the conversion of records to rows and back."""

from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Final

import msgspec
from sqlalchemy import Connection, RowMapping, Table, insert, select, tuple_
from sqlalchemy.exc import IntegrityError

from harness.core.errors import StoreError
from harness.core.records.repetition import Block, Launch, Repetition
from harness.core.records.run import RunKind, RunRecord, RunStatus, kind_of
from harness.core.records.verdict import Summary, Verdict
from harness.store.payload import PAYLOAD_FORMAT, encode
from harness.store.schema import SCENARIOS, SERIES, SUMMARIES

_FIGURES: Final = ("median", "q1", "q3", "p90", "p95", "p99", "minimum", "maximum")
_INTERVAL: Final = ("point", "low", "high", "level", "method", "n", "launches")
SUMMARY_COLUMNS: Final = tuple(
    SUMMARIES.c[name] for name in ("definition", "n", "reason", *_FIGURES, *(f"interval_{name}" for name in _INTERVAL))
)
"""What `summaries_of` takes, in its order, after the scenario's id and the metric."""
_NAMED: Final = ("scenario_id", "metric", "definition", "n", "reason", *_FIGURES)

_AT_ONCE: Final = 300  # names asked for in one statement: every system takes as many parameters


@dataclass(frozen=True, slots=True, kw_only=True)
class RunRow:
    """One line of the list of runs. The counts of verdicts are None until the run is analysed."""

    id: str
    started_at: float
    ended_at: float | None
    status: RunStatus
    machine_key: str
    selection: str
    reason: str
    scenarios: int
    blocks: int
    repetitions: int
    invalid: int
    """Repetitions whose outcome is not valid, of every phase."""
    regressed: int | None
    """Regressions that fail the run."""
    improved: int | None
    missed: int | None
    """Targets missed."""
    touched_at: float
    """Time of the last write, in seconds since the epoch."""
    waived: int | None = None
    """Regressions that a waiver excuses; None also for a run that an earlier version analysed."""

    @property
    def kind(self) -> RunKind:
        return kind_of(self.selection)


@dataclass(frozen=True, slots=True, kw_only=True)
class SeriesPoint:
    """The value of one run in a trend."""

    run_id: str
    started_at: float
    status: RunStatus
    summary: Summary
    verdict: Verdict | None = None
    """The run's verdict on the value, where it was asked for and there is one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SeriesName:
    """The identity of a trend."""

    machine_key: str
    scenario_id: str
    metric: str


def head_values(run: RunRecord) -> dict[str, Any]:
    """The columns of `bench_runs` that depend only on the head."""
    return {
        "id": run.id,
        "started_at": run.started_at,
        "ended_at": run.ended_at,
        "status": run.status.value,
        "machine_key": run.machine.key,
        "selection": run.selection,
        "reason": run.reason,
        "scenarios": len(run.scenarios),
        "payload_format": PAYLOAD_FORMAT,
        "payload": encode(run),
    }


def run_row(row: RowMapping) -> RunRow:
    """An entry of the list of runs; `row` has a column for each of its fields, under the same name."""
    names = [name for name in RunRow.__dataclass_fields__ if name != "status"]
    return RunRow(status=RunStatus(row["status"]), **{name: row[name] for name in names})


def summary_values(summary: Summary) -> dict[str, Any]:
    """The columns of `bench_summaries`, keys apart."""
    values: dict[str, Any] = {name: getattr(summary, name) for name in ("definition", "n", "reason", *_FIGURES)}
    values |= {f"interval_{name}": getattr(summary.interval, name, None) for name in _INTERVAL}
    for name, value in values.items():
        # SQLite would keep a NaN as NULL, and an infinity is no figure either.
        if isinstance(value, float) and not abs(value) < float("inf"):
            raise StoreError(
                f"the {name} of {summary.metric} is {value}, which is no figure",
                where=summary.scenario_id,
                remedy="unknown figures are None with a reason; please report this as a defect of the metric",
            )
    return values


def summaries_of(rows: Iterable[Sequence[Any]]) -> tuple[Summary, ...]:
    """Summaries of rows that hold the scenario's id, the metric and the values of `SUMMARY_COLUMNS`.

    All at once and by msgspec, because trends make half a million of them: it fills a record in a quarter of the time.
    """
    figures = len(_NAMED)
    fields: list[dict[str, Any]] = []
    for row in rows:
        values = dict(zip(_NAMED, row, strict=False))
        interval = row[figures:]
        values["interval"] = None if interval[0] is None else dict(zip(_INTERVAL, interval, strict=True))
        fields.append(values)
    return msgspec.convert(fields, tuple[Summary, ...])


def launch_row(launch: Launch, *, run: int) -> dict[str, Any]:
    """A row of `bench_launches` for the run with the key `run`."""
    return {"run": run, "arm_id": launch.arm_id, "launch": launch.launch, "payload": encode(launch)}


def block_row(block: Block, *, run: int) -> dict[str, Any]:
    """A row of `bench_blocks` for the run with the key `run`."""
    return {"run": run, "launch": block.launch, "block": block.block, "payload": encode(block)}


def repetition_rows(
    repetitions: Sequence[Repetition], *, run: int, scenarios: Mapping[str, int]
) -> list[dict[str, Any]]:
    """Rows of `bench_repetitions` for the run with the key `run`. `scenarios`: scenario id → its key."""
    return [
        {
            "run": run,
            "scenario": scenarios[repetition.scenario_id],
            "launch": repetition.launch,
            "block": repetition.block,
            "phase": repetition.phase.value,
            "outcome": repetition.outcome.kind.value,
            "payload": encode(repetition),
        }
        for repetition in repetitions
    ]


def scenario_keys(connection: Connection, names: Sequence[str]) -> dict[str, int]:
    """Scenario id → its key. Unknown ids are added."""
    keys = _numbered(connection, SCENARIOS, ("id",), [(name,) for name in names])
    return {name: keys[(name,)] for name in names}


def series_keys(
    connection: Connection, summaries: Sequence[Summary], *, machine_key: str, scenarios: Mapping[str, int]
) -> list[int]:
    """The keys of the trends of `summaries`, in their order."""
    rows = [(machine_key, scenarios[summary.scenario_id], summary.metric) for summary in summaries]
    keys = _numbered(connection, SERIES, ("machine_key", "scenario", "metric"), rows)
    return [keys[row] for row in rows]


def _numbered(
    connection: Connection, table: Table, columns: tuple[str, ...], rows: Sequence[tuple[Any, ...]]
) -> dict[tuple[Any, ...], int]:
    wanted = sorted(set(rows))  # one order for all writers, or two could wait for each other
    found = _find(connection, table, columns, wanted)
    missing = [row for row in wanted if row not in found]
    for row in missing:
        # If another process adds the same name at the same time, its key is used.
        with suppress(IntegrityError), connection.begin_nested():
            connection.execute(insert(table).values(dict(zip(columns, row, strict=True))))
    return found | _find(connection, table, columns, missing)


def _find(
    connection: Connection, table: Table, columns: tuple[str, ...], rows: Sequence[tuple[Any, ...]]
) -> dict[tuple[Any, ...], int]:
    found: dict[tuple[Any, ...], int] = {}
    names = tuple_(*(table.c[name] for name in columns))
    for start in range(0, len(rows), _AT_ONCE):
        question = select(table.c.key, *(table.c[name] for name in columns))
        for key, *row in connection.execute(question.where(names.in_(rows[start : start + _AT_ONCE]))):
            found[tuple(row)] = key
    return found
