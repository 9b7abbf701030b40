"""Storing what was concluded of a run: summaries as columns, verdicts and targets as payloads."""

from collections.abc import Iterable, Sequence
from typing import Any

from sqlalchemy import Connection, Table, delete, insert, select

from harness.core.records.verdict import Leniency, Summary, TargetKind, TargetResult, Verdict, VerdictKind
from harness.store.payload import encode
from harness.store.rows import scenario_keys, series_keys, summary_values
from harness.store.schema import RUNS, SUMMARIES, TARGETS, VERDICTS


def conclusion_counts(verdicts: Sequence[Verdict], targets: Sequence[TargetResult]) -> dict[str, int]:
    """The columns of `bench_runs` that count what was concluded."""
    return {
        "regressed": sum(verdict.fails for verdict in verdicts),
        "waived": sum(verdict.leniency is Leniency.WAIVED for verdict in verdicts),
        "improved": sum(verdict.kind is VerdictKind.IMPROVED for verdict in verdicts),
        "missed": sum(target.kind is TargetKind.MISSED for target in targets),
    }


def replace_conclusions(
    connection: Connection,
    key: int,
    *,
    summaries: Sequence[Summary],
    verdicts: Sequence[Verdict],
    targets: Sequence[TargetResult],
) -> None:
    """Put these conclusions in place of those that run `key` had."""
    for table in (SUMMARIES, VERDICTS, TARGETS):
        connection.execute(delete(table).where(table.c.run == key))
    names = [
        *(summary.scenario_id for summary in summaries),
        *(verdict.scenario_id for verdict in verdicts),
        *(target.scenario_id for target in targets),
    ]
    scenarios = scenario_keys(connection, names)
    machine_key = connection.scalars(select(RUNS.c.machine_key).where(RUNS.c.key == key)).one()
    series = series_keys(connection, summaries, machine_key=machine_key, scenarios=scenarios)
    rows = [
        summary_values(summary) | {"run": key, "series": number, "position": position}
        for position, (summary, number) in enumerate(zip(summaries, series, strict=True))
    ]
    insert_rows(connection, SUMMARIES, rows)
    for table, conclusions in ((VERDICTS, verdicts), (TARGETS, targets)):
        insert_rows(connection, table, _rows(key, conclusions, scenarios))


def _rows(key: int, conclusions: Sequence[Verdict | TargetResult], scenarios: dict[str, int]) -> list[dict[str, Any]]:
    return [
        {
            "run": key,
            "position": position,
            "scenario": scenarios[conclusion.scenario_id],
            "metric": conclusion.metric,
            "kind": conclusion.kind.value,
            "payload": encode(conclusion),
        }
        for position, conclusion in enumerate(conclusions)
    ]


def insert_rows(connection: Connection, table: Table, rows: Iterable[dict[str, Any]]) -> None:
    """Insert all rows, of which there may be none."""
    # SQLAlchemy takes an empty list for one row of defaults.
    if found := list(rows):
        connection.execute(insert(table), found)
