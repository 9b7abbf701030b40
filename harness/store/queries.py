"""Queries of the results database. Each runs in the caller's transaction."""

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from sqlalchemy import ColumnElement, Connection, Table, select

from harness.core.errors import UsageError, did_you_mean
from harness.core.records.repetition import Block, Launch, Repetition
from harness.core.records.run import RunData, RunKind, RunRecord, RunStatus, kind_of
from harness.core.records.verdict import Summary, TargetResult, Verdict
from harness.store.earlier import as_of_now, without_self_comparisons
from harness.store.payload import decode, decode_all
from harness.store.rows import SUMMARY_COLUMNS, RunRow, SeriesName, SeriesPoint, run_row, summaries_of
from harness.store.schema import BLOCKS, LAUNCHES, REPETITIONS, RUNS, SCENARIOS, SERIES, SUMMARIES, TARGETS, VERDICTS

_Record = TypeVar("_Record")

_NEWEST_FIRST = (RUNS.c.started_at.desc(), RUNS.c.key.desc())


@dataclass(frozen=True, slots=True, kw_only=True)
class Running:
    """A run that is stored as running, and the time of its last write (seconds since the epoch)."""

    run: RunRecord
    touched_at: float


def has_run(connection: Connection, run_id: str) -> bool:
    """Whether a run with this id exists."""
    return connection.execute(select(RUNS.c.key).where(RUNS.c.id == run_id)).first() is not None


def run_key(connection: Connection, run_id: str) -> int:
    """The primary key of a run. Raises UsageError for an unknown id."""
    key = connection.scalars(select(RUNS.c.key).where(RUNS.c.id == run_id)).one_or_none()
    if key is None:
        raise _no_such_run(connection, run_id)
    return int(key)


def head(connection: Connection, run_id: str) -> RunRecord:
    """A run without its observations."""
    row = connection.execute(select(RUNS).where(RUNS.c.id == run_id)).mappings().one_or_none()
    if row is None:
        raise _no_such_run(connection, run_id)
    return decode(row["payload"], RunRecord, payload_format=row["payload_format"], where=f"run {run_id}")


def load(connection: Connection, run_id: str) -> RunData:
    """A run with all its records, each kind in the order of storing."""
    head = heads_of(connection, [run_id])[run_id]
    key, formats = head.key, {head.key: head.payload_format}
    return RunData(
        run=head.run,
        launches=payloads_of(connection, LAUNCHES, Launch, formats=formats, order=LAUNCHES.c.key)[key],
        blocks=payloads_of(connection, BLOCKS, Block, formats=formats, order=BLOCKS.c.key)[key],
        repetitions=payloads_of(connection, REPETITIONS, Repetition, formats=formats, order=REPETITIONS.c.key)[key],
        summaries=without_self_comparisons(_summaries(connection, key), head.run.scenarios),
        verdicts=as_of_now(payloads_of(connection, VERDICTS, Verdict, formats=formats, order=VERDICTS.c.position)[key]),
        targets=payloads_of(connection, TARGETS, TargetResult, formats=formats, order=TARGETS.c.position)[key],
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredHead:
    """The head of a run, its primary key, and the format of its payloads."""

    key: int
    payload_format: int
    run: RunRecord


def heads_of(connection: Connection, run_ids: Sequence[str]) -> dict[str, StoredHead]:
    """Run id → its head. Raises UsageError for an unknown id."""
    question = select(RUNS.c.id, RUNS.c.key, RUNS.c.payload_format, RUNS.c.payload).where(RUNS.c.id.in_(run_ids))
    found = {
        row.id: StoredHead(
            key=row.key,
            payload_format=row.payload_format,
            run=decode(row.payload, RunRecord, payload_format=row.payload_format, where=f"run {row.id}"),
        )
        for row in connection.execute(question)
    }
    for run_id in run_ids:
        if run_id not in found:
            raise _no_such_run(connection, run_id)
    return found


def list_runs(
    connection: Connection,
    *,
    machine_key: str | None = None,
    status: RunStatus | None = None,
    run_id: str | None = None,
    limit: int | None = None,
) -> tuple[RunRow, ...]:
    """The runs, newest first."""
    columns = [RUNS.c[name] for name in RunRow.__dataclass_fields__]
    question = select(*columns).order_by(*_NEWEST_FIRST).limit(limit)
    if machine_key is not None:
        question = question.where(RUNS.c.machine_key == machine_key)
    if status is not None:
        question = question.where(RUNS.c.status == status.value)
    if run_id is not None:
        question = question.where(RUNS.c.id == run_id)
    return tuple(run_row(row) for row in connection.execute(question).mappings())


def running(connection: Connection, machine_key: str) -> tuple[Running, ...]:
    """The runs of a machine that are stored as running."""
    question = select(RUNS.c.id, RUNS.c.touched_at, RUNS.c.payload, RUNS.c.payload_format).where(
        RUNS.c.status == RunStatus.RUNNING.value, RUNS.c.machine_key == machine_key
    )
    return tuple(
        Running(
            run=decode(row.payload, RunRecord, payload_format=row.payload_format, where=f"run {row.id}"),
            touched_at=row.touched_at,
        )
        for row in connection.execute(question)
    )


def resolve(
    connection: Connection, name: str, *, machine_key: str | None = None, among: Collection[RunKind] | None = None
) -> str:
    """The id for `name`: an id, a unique prefix of one, "latest" or "latest~N".

    The latest are of the kinds `among`; None is every kind but replays, each of which is a part of its run.
    """
    question = select(RUNS.c.id, RUNS.c.selection).order_by(*_NEWEST_FIRST)
    if machine_key is not None:
        question = question.where(RUNS.c.machine_key == machine_key)
    selections: dict[str, str] = {row.id: row.selection for row in connection.execute(question)}
    ids = tuple(selections)
    if not ids:
        raise UsageError("no run is stored yet", where=name, remedy="measure one with `kokoro-bench run`")
    if latest := re.fullmatch(r"latest(?:~(\d{1,9}))?", name):
        back = int(latest[1] or 0)
        kinds = among if among is not None else set(RunKind) - {RunKind.REPLAY}
        ids = tuple(run_id for run_id, selection in selections.items() if kind_of(selection) in kinds)
        if back < len(ids):
            return ids[back]
        if not ids:
            found = " or ".join(sorted(each.value for each in kinds))
            raise UsageError(
                f"no {found} is stored yet",
                where=name,
                remedy="`kokoro-bench runs list` shows what is; name it by its id",
            )
        stored = "there is only 1 run" if len(ids) == 1 else f"there are only {len(ids)} runs"
        raise UsageError(stored, where=name, remedy=f"the oldest is latest~{len(ids) - 1}, {ids[-1]}")
    if name in ids:
        return name
    meant = [run_id for run_id in ids if name and run_id.startswith(name)]
    if len(meant) == 1:
        return meant[0]
    if meant:
        some = ", ".join(meant[:5]) + (", …" if len(meant) > 5 else "")
        raise UsageError(f"{len(meant)} runs begin like this: {some}", where=name, remedy="give more of the id")
    raise _no_such_run(connection, name)


def series(
    connection: Connection, name: SeriesName, *, limit: int | None = None, verdicts: bool = False
) -> tuple[SeriesPoint, ...]:
    """A trend, oldest first, of the newest `limit` runs that have a summary for it; with their `verdicts` on it."""
    question = (
        select(RUNS.c.id, RUNS.c.started_at, RUNS.c.status, *SUMMARY_COLUMNS)
        .join_from(SUMMARIES, RUNS, RUNS.c.key == SUMMARIES.c.run)
        .join(SERIES, SERIES.c.key == SUMMARIES.c.series)
        .join(SCENARIOS, SCENARIOS.c.key == SERIES.c.scenario)
        .where(
            SCENARIOS.c.id == name.scenario_id,
            SERIES.c.machine_key == name.machine_key,
            SERIES.c.metric == name.metric,
        )
        .order_by(*_NEWEST_FIRST)
        .limit(limit)
    )
    statuses = {status.value: status for status in RunStatus}
    rows = connection.execute(question).all()
    summaries = summaries_of((name.scenario_id, name.metric, *values) for _, _, _, *values in rows)
    found = _verdicts_on(connection, name, since=rows[-1][1]) if verdicts and rows else {}
    newest_first = [
        SeriesPoint(
            run_id=row[0], started_at=row[1], status=statuses[row[2]], summary=summary, verdict=found.get(row[0])
        )
        for row, summary in zip(rows, summaries, strict=True)
    ]
    return tuple(reversed(newest_first))


def _verdicts_on(connection: Connection, name: SeriesName, *, since: float) -> dict[str, Verdict]:
    """Run id → its verdict on the value of a trend, of the runs that started at `since` or later."""
    question = (
        select(RUNS.c.id, RUNS.c.payload_format, VERDICTS.c.payload)
        .join_from(VERDICTS, RUNS, RUNS.c.key == VERDICTS.c.run)
        .join(SCENARIOS, SCENARIOS.c.key == VERDICTS.c.scenario)
        .where(
            SCENARIOS.c.id == name.scenario_id,
            VERDICTS.c.metric == name.metric,
            RUNS.c.machine_key == name.machine_key,
            RUNS.c.started_at >= since,
        )
    )
    return {
        run_id: decode(payload, Verdict, payload_format=payload_format, where=f"run {run_id}")
        for run_id, payload_format, payload in connection.execute(question)
    }


def series_names(connection: Connection, *, machine_key: str | None = None) -> tuple[SeriesName, ...]:
    """The names of all trends with at least one summary, sorted."""
    question = (
        select(SERIES.c.machine_key, SCENARIOS.c.id.label("scenario_id"), SERIES.c.metric)
        .join(SCENARIOS, SCENARIOS.c.key == SERIES.c.scenario)
        .where(select(SUMMARIES.c.run).where(SUMMARIES.c.series == SERIES.c.key).exists())
    )
    if machine_key is not None:
        question = question.where(SERIES.c.machine_key == machine_key)
    rows = sorted(tuple(row) for row in connection.execute(question))  # not by the server, which sorts by its locale
    return tuple(SeriesName(machine_key=row[0], scenario_id=row[1], metric=row[2]) for row in rows)


def payloads_of(
    connection: Connection,
    table: Table,
    kind: type[_Record],
    *,
    formats: Mapping[int, int],
    order: Any,  # noqa: ANN401 - any column
    where: ColumnElement[bool] | None = None,
) -> dict[int, tuple[_Record, ...]]:
    """Primary key of a run → its records in `table`, or some of them. `formats`: primary key → payload format."""
    question = select(table.c.run, table.c.payload).where(table.c.run.in_(list(formats))).order_by(table.c.run, order)
    if where is not None:
        question = question.where(where)
    found: dict[int, list[bytes]] = {key: [] for key in formats}
    for key, payload in connection.execute(question).all():
        found[key].append(payload)
    return {
        key: tuple(decode_all(payloads, kind, payload_format=formats[key], where=f"run {key} in {table.name}"))
        for key, payloads in found.items()
    }


def _summaries(connection: Connection, key: int) -> tuple[Summary, ...]:
    question = (
        select(SCENARIOS.c.id, SERIES.c.metric, *SUMMARY_COLUMNS)
        .join_from(SUMMARIES, SERIES, SERIES.c.key == SUMMARIES.c.series)
        .join(SCENARIOS, SCENARIOS.c.key == SERIES.c.scenario)
        .where(SUMMARIES.c.run == key)
        .order_by(SUMMARIES.c.position)
    )
    return summaries_of(connection.execute(question).all())


def _no_such_run(connection: Connection, run_id: str) -> UsageError:
    known = tuple(connection.scalars(select(RUNS.c.id).order_by(*_NEWEST_FIRST).limit(500)))
    remedy = did_you_mean(run_id, known) or "see `kokoro-bench runs list`"
    return UsageError("no run of this name is stored", where=run_id, remedy=remedy)
