"""Waiting for a database that is away, on a scripted clock."""

import sqlite3
from pathlib import Path

import pytest

from harness.core.clock import ScriptedClock
from harness.core.errors import StoreError
from harness.store.errors import AwayError
from harness.store.retry import with_retries
from harness.store.rows import scenario_keys
from harness.store.runs import open_store


class Away:
    """A database that fails so many times."""

    def __init__(self, times: int, error: StoreError) -> None:
        self.left, self.error = times, error

    def __call__(self) -> str:
        if self.left:
            self.left -= 1
            raise self.error
        return "stored"


def test_what_comes_back_is_waited_for_and_said_once() -> None:
    clock, said = ScriptedClock(), []
    away = Away(5, AwayError("the disk is full", where="results.sqlite"))
    assert with_retries(away, clock=clock, report=said.append, wait_s=90.0) == "stored"
    assert clock.elapsed_ns == round((0.5 + 1 + 2 + 4 + 8) * 1e9)
    assert said == ["results.sqlite: the disk is full; trying again for 90 s"]


def test_what_stays_away_is_an_error_after_the_wait() -> None:
    clock = ScriptedClock()
    with pytest.raises(AwayError, match="disk is full"):
        with_retries(Away(1_000, AwayError("the disk is full")), clock=clock, report=lambda _: None, wait_s=60.0)
    assert clock.elapsed_ns == 60_000_000_000


def test_what_waiting_does_not_mend_is_told_at_once() -> None:
    clock = ScriptedClock()
    with pytest.raises(StoreError, match="newer"):
        with_retries(Away(1, StoreError("of a newer version")), clock=clock, report=lambda _: None)
    assert clock.elapsed_ns == 0


def test_a_locked_file_is_one_that_comes_back(tmp_path: Path) -> None:
    file = tmp_path / "results.sqlite"
    with open_store(file, lock_wait_s=0.0) as store:
        other = sqlite3.connect(file, isolation_level=None)
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(AwayError, match="too long"):
            store.journal().close_alerts([1], closed_at=0.0, closed_by="")
        other.close()


@pytest.mark.parametrize("in_a_savepoint", [True, False])
def test_a_full_disk_is_one_that_comes_back(tmp_path: Path, *, in_a_savepoint: bool) -> None:
    with open_store(tmp_path / "results.sqlite") as store:
        with store._database.writers.connect() as connection:
            pages = connection.exec_driver_sql("PRAGMA page_count").scalar()
            connection.exec_driver_sql(f"PRAGMA max_page_count={pages}")

        def fill() -> None:
            for number in range(1_000):
                if in_a_savepoint:
                    with store._writing() as connection:
                        scenario_keys(connection, [f"{number:0700}"])
                else:
                    store.journal().enqueue(
                        runner="r" * 190, job="j", due_at=number, asked=False, missed=0, now=0.0, machine_key=""
                    )

        with pytest.raises(AwayError, match="disk is full"):
            fill()


def test_a_server_that_is_away_is_one_that_comes_back() -> None:
    pytest.importorskip("psycopg")
    with pytest.raises(AwayError, match="cannot be reached"):
        open_store("postgresql://nobody@127.0.0.1:1/none")
