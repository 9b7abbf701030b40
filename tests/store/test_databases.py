"""Opening a SQLite file while another process does the same."""

import sqlite3
from pathlib import Path

import pytest

from harness.store.databases import _enter_wal_mode


class Cursor:
    """Refuses the first `refusals` switches as SQLite does when two processes open a new file at the same moment."""

    def __init__(self, refusals: int, code: int = sqlite3.SQLITE_BUSY) -> None:
        self.refusals = refusals
        self.code = code
        self.statements: list[str] = []

    def execute(self, statement: str) -> None:
        self.statements.append(statement)
        if len(self.statements) <= self.refusals:
            error = sqlite3.OperationalError("database is locked")
            error.sqlite_errorcode = self.code
            raise error


@pytest.mark.parametrize("code", [sqlite3.SQLITE_BUSY, sqlite3.SQLITE_BUSY_RECOVERY])
def test_a_switch_that_another_process_is_making_is_waited_for(code: int) -> None:
    cursor = Cursor(refusals=3, code=code)
    _enter_wal_mode(cursor, lock_wait_s=60)  # type: ignore[arg-type]
    assert cursor.statements == ["PRAGMA journal_mode=WAL"] * 4


def test_the_wait_has_an_end() -> None:
    with pytest.raises(sqlite3.OperationalError, match="locked"):
        _enter_wal_mode(Cursor(refusals=10**9), lock_wait_s=0.02)  # type: ignore[arg-type]


def test_what_is_no_lock_is_not_waited_for() -> None:
    cursor = Cursor(refusals=1, code=sqlite3.SQLITE_CANTOPEN)
    with pytest.raises(sqlite3.OperationalError):
        _enter_wal_mode(cursor, lock_wait_s=60)  # type: ignore[arg-type]
    assert len(cursor.statements) == 1


def test_a_reader_in_a_file_that_is_no_wal_yet_is_waited_for(tmp_path: Path) -> None:
    """With the real SQLite: the switch needs the file alone, and comes when the reader has gone."""
    file = f"{tmp_path}/results.sqlite"
    reader = sqlite3.connect(file, isolation_level=None)
    reader.execute("CREATE TABLE a (b)")
    reader.execute("BEGIN")
    reader.execute("SELECT * FROM a").fetchall()
    writer = sqlite3.connect(file, isolation_level=None, timeout=0)
    try:
        with pytest.raises(sqlite3.OperationalError, match="locked"):
            _enter_wal_mode(writer.cursor(), lock_wait_s=0.02)
        reader.execute("COMMIT")
        _enter_wal_mode(writer.cursor(), lock_wait_s=1)
        assert writer.execute("PRAGMA journal_mode").fetchone() == ("wal",)
    finally:
        reader.close()
        writer.close()
