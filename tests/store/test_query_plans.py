"""What the commands ask of the database is found by an index, however many repetitions are stored."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from sqlalchemy import event
from sqlalchemy.engine import Engine

from harness.schedule.job import Settings
from harness.schedule.retention import Retention
from harness.store.runs import open_store
from tests.conftest import Command

GROWING = ("repetitions", "blocks", "launches", "summaries", "verdicts", "targets")
"""Tables with rows for each run, the names without their prefix."""
Asked = dict[str, tuple[object, ...]]
"""Statement → the values of one execution."""


@pytest.fixture
def asked() -> Iterator[Asked]:
    """What this process asks of any database from now on."""
    found: Asked = {}

    def notice(_connection: object, _cursor: object, statement: str, values: tuple[object, ...], *_: object) -> None:
        if statement.startswith(("SELECT", "UPDATE", "DELETE", "INSERT", "WITH")):
            found[statement] = values[0] if values and isinstance(values[0], tuple) else values

    event.listen(Engine, "before_cursor_execute", notice)
    yield found
    event.remove(Engine, "before_cursor_execute", notice)


def scans(file: Path, asked: Asked) -> list[str]:
    """Each statement that reads all rows of a growing table, with SQLite's plan of it."""
    with closing(sqlite3.connect(file)) as connection:
        return [
            f"{statement}: {detail}"
            for statement, values in asked.items()
            for *_, detail in connection.execute(f"EXPLAIN QUERY PLAN {statement}", values)
            if detail.startswith(tuple(f"SCAN bench_{name}" for name in GROWING))
        ]


def test_no_command_reads_all_rows_of_all_runs(here: Command, tmp_path: Path, asked: Asked) -> None:
    measure = ("run", "--engine", "scripted", "--text", "chars-12", "--budget", "30s")
    for command in (
        measure,
        measure,
        ("runs", "list"),
        ("runs", "show", "latest"),
        ("runs", "export", "latest", "--format", "jsonl", "--output", "run.jsonl"),
        ("baseline", "promote", "latest~1", "--reason", "measured"),
        ("baseline", "diff", "latest"),
        ("report", "--single-file", "latest", "--output", "page.html"),
        ("report",),
        ("runs", "delete", "latest", "--yes"),
        ("runs", "import", "run.jsonl"),
    ):
        done = here(*command)
        assert done.returncode == 0, done.stderr
    file = tmp_path / ".kokoro-bench" / "results.sqlite"
    with open_store(file) as store:
        [row, *_] = store.list()
        settings = Settings(keep_raw_runs=0)
        retention = Retention(
            store=store, settings=settings, machine_key=row.machine_key, runner="night", promoted=frozenset
        )
        assert retention.apply(now=row.started_at)
    assert {each.split()[0] for each in asked} == {"SELECT", "UPDATE", "DELETE", "INSERT"}
    assert scans(file, asked) == []
