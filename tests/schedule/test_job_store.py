"""The book of jobs in APScheduler's store, on both kinds of database, for several runners."""

import sqlite3
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

import pytest
from sqlalchemy import Engine, event

from harness.core.errors import UsageError
from harness.schedule.job import Job
from harness.schedule.job_store import JobStore
from harness.store.runs import open_store
from harness.store.schedule_log import ScheduleLog

START = 1_767_225_600.0
NIGHT = START + 2.5 * 3_600
NIGHTLY = Job(name="nightly", cron="30 2 * * *")


@pytest.fixture
def journal(store_url: str) -> Iterator[ScheduleLog]:
    with open_store(store_url) as store:
        yield store.journal()


def test_a_job_stays_when_its_scheduler_goes(journal: ScheduleLog) -> None:
    with JobStore(journal, "one") as job_store:
        job_store.put(NIGHTLY, now=START, origin="file")
        job_store.advance("nightly", NIGHT + 86_400)
    with JobStore(journal, "one") as job_store:
        [booked] = job_store.all()
    assert (booked.job, booked.next_at, booked.origin) == (NIGHTLY, NIGHT + 86_400, "file")


@pytest.fixture
def wants_to_write() -> Iterator[threading.Event]:
    """Set as soon as a connection of the store's asks SQLite for a transaction that writes."""
    asked = threading.Event()

    def notice(_connection: object, _cursor: object, statement: str, *_given: object) -> None:
        if statement == "BEGIN IMMEDIATE":
            asked.set()

    event.listen(Engine, "before_cursor_execute", notice)
    yield asked
    event.remove(Engine, "before_cursor_execute", notice)


def test_a_new_book_waits_for_whoever_is_writing(tmp_path: Path, wants_to_write: threading.Event) -> None:
    """A run may begin, or the database be made, in the very moment in which a schedule gets its table."""
    file = tmp_path / "results.sqlite"
    with open_store(file) as store, closing(sqlite3.connect(file, isolation_level=None)) as writer:
        writer.execute("BEGIN IMMEDIATE")
        with ThreadPoolExecutor() as pool:
            wants_to_write.clear()
            opening = pool.submit(JobStore, store.journal(), "one")
            assert wants_to_write.wait(240)
            assert not opening.done()
            writer.execute("COMMIT")
            with opening.result(timeout=240) as job_store:
                assert job_store.all() == ()


def test_each_runner_has_jobs_of_its_own(journal: ScheduleLog) -> None:
    with JobStore(journal, "one") as one, JobStore(journal, "other") as other:
        one.put(NIGHTLY, now=START, origin="file")
        assert other.all() == ()
        other.put(Job(name="nightly", every_s=60.0), now=START, origin="file")
        assert one.get("nightly").job.cron


def test_a_declaration_that_changes_keeps_its_time_unless_that_changed(journal: ScheduleLog) -> None:
    with JobStore(journal, "one") as job_store:
        job_store.sync([NIGHTLY], now=START)
        job_store.sync([Job(name="nightly", cron="30 2 * * *", budget_s=60.0)], now=START + 86_400)
        assert job_store.get("nightly").next_at == NIGHT  # missed, and still to be caught up
        job_store.sync([Job(name="nightly", cron="0 3 * * *")], now=START + 86_400)
        assert job_store.get("nightly").next_at == START + 86_400 + 3 * 3_600


def test_what_is_no_longer_declared_goes_and_what_was_added_stays(journal: ScheduleLog) -> None:
    with JobStore(journal, "one") as job_store:
        job_store.sync([NIGHTLY], now=START)
        job_store.put(Job(name="added", every_s=60.0), now=START, origin="command")
        job_store.sync([], now=START)
        assert [booked.job.name for booked in job_store.all()] == ["added"]


def test_a_paused_job_rests_through_a_restart_and_does_not_catch_up(journal: ScheduleLog) -> None:
    with JobStore(journal, "one") as job_store:
        job_store.sync([NIGHTLY], now=START)
        job_store.pause("nightly")
    with JobStore(journal, "one") as job_store:
        job_store.sync([NIGHTLY], now=START + 10 * 86_400)
        assert job_store.get("nightly").paused
        assert job_store.resume("nightly", now=START + 10 * 86_400).next_at == NIGHT + 10 * 86_400


def test_a_misspelt_name_is_told(journal: ScheduleLog) -> None:
    with JobStore(journal, "one") as job_store:
        job_store.sync([NIGHTLY], now=START)
        with pytest.raises(UsageError, match="did you mean 'nightly'"):
            job_store.pause("nightl")


def test_a_due_time_is_queued_once_for_each_runner(journal: ScheduleLog) -> None:
    def enqueue(runner: str) -> bool:
        return journal.enqueue(
            runner=runner, job="nightly", due_at=NIGHT, asked=False, missed=0, now=NIGHT, machine_key="m"
        )

    assert [enqueue("one"), enqueue("one"), enqueue("other")] == [True, False, True]
    [fire] = journal.open_fires("one")
    journal.change(fire.key, state="ended", outcome="ok", ended_at=NIGHT + 5, started_at=NIGHT + 1)
    assert journal.open_fires("one") == ()
    assert journal.fire(fire.key).duration_s == 4.0
    assert len(journal.fires()) == 2
    assert {(job, outcome.value): n for (job, outcome), n in journal.counts("one").items()} == {("nightly", "ok"): 1}
