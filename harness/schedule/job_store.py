"""The job store: APScheduler's, in the results database.

APScheduler stores jobs, times and triggers. Its loop is not used: it sleeps until the next time by its own clock, so it
would notice too late that the clock was set, and could not run on a scripted clock. The daemon uses
`harness.schedule.triggers` to determine what is due.
"""

import hashlib
from collections.abc import Sequence
from datetime import UTC, datetime
from types import TracebackType
from typing import Any, Self

from apscheduler.jobstores.sqlalchemy import SQLAlchemyJobStore
from apscheduler.schedulers.base import BaseScheduler

from harness.core.errors import UsageError, nearest
from harness.schedule.job import Job, from_plain, to_plain
from harness.schedule.triggers import Booked, next_after, trigger_of
from harness.store.schedule_log import ScheduleLog


def due(**_job: object) -> None:
    """The function that a stored job refers to. It does nothing: the daemon starts a process instead."""


class _MemoryStore(BaseScheduler):  # type: ignore[misc]  # APScheduler ships no types
    """A scheduler that stores jobs and never starts one."""

    def wakeup(self) -> None:
        """Nothing to wake up: this scheduler never runs."""

    def shutdown(self, wait: bool = True) -> None:  # noqa: FBT001, FBT002 - APScheduler's signature
        super().shutdown(wait)


class JobStore:
    """The jobs of one runner, in a separate table, so that a job that a runner cannot read does not affect others."""

    def __init__(self, journal: ScheduleLog, runner: str) -> None:
        self._journal = journal
        table = f"bench_jobs_{hashlib.sha256(runner.encode()).hexdigest()[:10]}"
        self._scheduler = _MemoryStore(timezone=UTC)
        store = SQLAlchemyJobStore(engine=journal.engine, tablename=table)
        journal.provide(store.jobs_t)
        self._scheduler.add_jobstore(store)
        with journal.explained():
            self._scheduler.start(paused=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._scheduler.shutdown()

    def all(self) -> tuple[Booked, ...]:
        """Every job, by name."""
        with self._journal.explained():
            jobs = self._scheduler.get_jobs()
        return tuple(sorted((_booked(job) for job in jobs), key=lambda booked: booked.job.name))

    def get(self, name: str) -> Booked:
        """The job of this name. Raises UsageError if there is none."""
        with self._journal.explained():
            job = self._scheduler.get_job(name)
        if job is None:
            self.check(name)
        return _booked(job)

    def check(self, name: str, declared: Sequence[Job] = ()) -> None:
        """Raise UsageError if no job of this name is stored or declared in the file."""
        known = sorted({booked.job.name for booked in self.all()} | {job.name for job in declared})
        if name not in known:
            raise UsageError("no job of this name", where=name, remedy=nearest(name, known))

    def adopt(self, name: str, declared: Sequence[Job], *, now: float) -> None:
        """Store the job of this name as the file declares it, if it does. Raises UsageError if there is none."""
        self.check(name, declared)
        for job in declared:
            if job.name == name:
                self.put(job, now=now, origin="file")

    def put(self, job: Job, *, now: float, origin: str) -> Booked:
        """Add a job or replace the one of the same name. If its times are unchanged, so is its next time."""
        before = next((booked for booked in self.all() if booked.job.name == job.name), None)
        same = before is not None and _times(before.job) == _times(job)
        if before is not None and same and (before.job, before.origin) == (job, origin):
            return before
        next_at = before.next_at if before is not None and same else next_after(job, now)
        if before is not None and before.paused:
            next_at = None
        with self._journal.explained():
            self._scheduler.add_job(
                due,
                trigger_of(job),
                id=job.name,
                name=job.name,
                kwargs={"job": to_plain(job), "origin": origin},
                next_run_time=_time(next_at),
                replace_existing=True,
                coalesce=True,
                max_instances=1,
                misfire_grace_time=None,
            )
        return self.get(job.name)

    def sync(self, jobs: Sequence[Job], *, now: float) -> None:
        """Store the jobs declared in the file. Jobs that a command added stay, unless the file has their name."""
        for job in jobs:
            self.put(job, now=now, origin="file")
        names = {job.name for job in jobs}
        for booked in self.all():
            if booked.origin == "file" and booked.job.name not in names:
                self.remove(booked.job.name)

    def remove(self, name: str) -> None:
        """Remove a job. Raises UsageError if there is none of this name."""
        self.get(name)
        with self._journal.explained():
            self._scheduler.remove_job(name)

    def pause(self, name: str) -> None:
        self.get(name)
        self.advance(name, None)

    def resume(self, name: str, *, now: float) -> Booked:
        """Resume a job. Times that it missed while paused are not made up for."""
        booked = self.get(name)
        if booked.paused:
            self.advance(name, next_after(booked.job, now))
        return self.get(name)

    def advance(self, name: str, next_at: float | None) -> None:
        """Set a job's next time."""
        with self._journal.explained():
            self._scheduler.modify_job(name, next_run_time=_time(next_at))


def _times(job: Job) -> tuple[str, float, str]:
    return job.cron, job.every_s, job.timezone


def _time(seconds: float | None) -> datetime | None:
    return None if seconds is None else datetime.fromtimestamp(seconds, tz=UTC)


def _booked(job: Any) -> Booked:  # noqa: ANN401 - APScheduler ships no types
    at: datetime | None = job.next_run_time
    return Booked(
        job=from_plain(job.kwargs["job"]),
        next_at=None if at is None else at.timestamp(),
        paused=at is None,
        origin=job.kwargs["origin"],
    )
