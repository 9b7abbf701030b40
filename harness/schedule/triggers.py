"""When jobs are due: pure functions of jobs, their next times and the current time. Nothing here reads a clock.

Times are seconds since the epoch. Rules:

- If a job missed several due times, it runs once for all of them.
- A due time is never returned twice.
- A job at a fixed hour runs once a day, also on days on which clocks change.
- After a clock was set back, a job waits at most its own interval.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, tzinfo
from functools import lru_cache, partial
from typing import TYPE_CHECKING, Any, Final
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError, available_timezones

from harness.core.errors import ConfigError
from harness.schedule.wall_clock import next_matching_moment, next_named_time

if TYPE_CHECKING:
    from harness.schedule.job import Job

DAYS: Final = ("sun", "mon", "tue", "wed", "thu", "fri", "sat")
SHORTHANDS: Final = {
    "@hourly": "0 * * * *",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@weekly": "0 0 * * 0",
    "@monthly": "0 0 1 * *",
}
EVERY_HOUR: Final = ("*", "*/1", "0-23")
"""Hour fields of a cron job that runs by elapsed time. All other fields name hours, each of which occurs once a day."""
EPOCH: Final = datetime(2000, 1, 1, tzinfo=UTC)
"""Intervals start at this time, so that due times do not depend on when a scheduler was started."""
COUNTED: Final = 10_000
"""The maximum number of missed times that are counted one by one; further ones are skipped at once."""
_STEP: Final = timedelta(microseconds=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Booked:
    """A job in the job store with its next time; None if it is paused or never due again."""

    job: "Job"
    next_at: float | None
    paused: bool = False
    origin: str = "file"
    """Where the job was declared: "file" or "command"."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Move:
    """An action for a job: run it for `due_at`, unless that is None, then wait for `next_at`."""

    name: str
    due_at: float | None
    missed: int
    next_at: float | None
    note: str = ""


def plan(booked: Sequence[Booked], now: float) -> tuple[Move, ...]:
    """The actions that are due at `now`, in the order of the jobs' due times."""
    moves = [move for each in booked if (move := _move(each, now)) is not None]
    return tuple(sorted(moves, key=lambda move: (move.due_at or 0.0, move.name)))


def _move(booked: Booked, now: float) -> Move | None:
    job, stored = booked.job, booked.next_at
    if stored is None:
        return None
    if stored > now:
        first = next_after(job, now)
        second = None if first is None else next_after(job, first)
        if second is None or stored <= second:
            return None
        note = f"the clock was set back; the next time is {moment(first)} instead of {moment(stored)}"
        return Move(name=job.name, due_at=None, missed=0, next_at=first, note=note)
    due_at, missed = stored, 0
    following = next_after(job, due_at)
    while following is not None and following <= now and missed < COUNTED:
        due_at, missed = following, missed + 1
        following = next_after(job, due_at)
    if following is not None and following <= now:
        following = next_after(job, now)
    return Move(name=job.name, due_at=due_at, missed=missed, next_at=following)


def next_after(job: "Job", moment_s: float) -> float | None:
    """The first due time of `job` after a moment, both in seconds since the epoch; None if there is none."""
    trigger = trigger_of(job)
    at = datetime.fromtimestamp(moment_s, tz=UTC)
    found: datetime | None
    if not job.cron:
        found = trigger.get_next_fire_time(None, at + _STEP)
    else:
        every_hour = _fields(job.cron)[1] in EVERY_HOUR
        following = partial(_following_wall_time, trigger)
        found = (next_matching_moment if every_hour else next_named_time)(following, zone_of(job), at)
    return None if found is None else found.timestamp()


@lru_cache(maxsize=256)
def trigger_of(job: "Job") -> Any:  # noqa: ANN401 - APScheduler ships no types
    """APScheduler's trigger. Raises ValueError or LookupError if the times are invalid.

    A cron trigger uses wall times, treated as UTC, and `wall_clock` converts them to moments. With a time zone,
    APScheduler would lose a time that clocks skip, and the whole day if they skip midnight.
    """
    zone_of(job)
    if job.cron:
        return _cron(job.cron)
    from apscheduler.triggers.interval import IntervalTrigger

    return IntervalTrigger(seconds=round(job.every_s), start_date=EPOCH, timezone=UTC)


def zone_of(job: "Job") -> tzinfo:
    """The time zone of `job`. UTC needs no zone database. Raises LookupError or OSError for an unknown zone."""
    return UTC if job.timezone == "UTC" else ZoneInfo(job.timezone)


def _following_wall_time(trigger: Any, wall: datetime) -> datetime | None:  # noqa: ANN401 - as above
    found: datetime | None = trigger.get_next_fire_time(None, wall.replace(tzinfo=UTC))
    return None if found is None else found.replace(tzinfo=None)


def check_job(job: "Job", *, where: str) -> None:
    """Raise ConfigError if the times of `job` are invalid."""
    try:
        trigger_of(job)
        never = next_after(job, EPOCH.timestamp()) is None
    except (ZoneInfoNotFoundError, IsADirectoryError, PermissionError) as error:
        if not available_timezones():
            raise ConfigError(
                f"time zone {job.timezone!r} cannot be read: this Python has no database of time zones",
                where=where,
                remedy="pip install tzdata",
            ) from error
        raise ConfigError(
            f"unknown time zone {job.timezone!r}", where=where, remedy='timezone = "Europe/Berlin", or leave it out'
        ) from error
    except (ValueError, LookupError, TypeError) as error:
        raise ConfigError(
            f"{job.cron!r} is not a valid cron time: {error}",
            where=where,
            remedy='cron = "30 2 * * *" (minute hour day month weekday)',
        ) from error
    if never:
        raise ConfigError(f"{job.cron!r} never comes", where=where, remedy="correct the day or the month")


def moment(seconds: float | None) -> str:
    """A time as text, in UTC."""
    if seconds is None:
        return "never"
    return datetime.fromtimestamp(seconds, tz=UTC).strftime("%Y-%m-%d %H:%M:%S UTC")


def _fields(cron: str) -> list[str]:
    return SHORTHANDS.get(cron, cron).split()


def _cron(text: str) -> Any:  # noqa: ANN401 - APScheduler ships no types
    """A trigger of a crontab's five fields. It names weekdays: APScheduler counts from Monday, crontabs from Sunday."""
    from apscheduler.triggers.cron import CronTrigger

    found = _fields(text)
    if len(found) != 5:
        raise ValueError(f"it has {len(found)} fields instead of 5")
    minute, hour, day, month, weekday = found
    if day != "*" and weekday != "*":
        raise ValueError(
            "a day of the month and a weekday at once: cron programs disagree on its meaning; use two jobs"
        )
    return CronTrigger(
        minute=minute, hour=hour, day=day, month=month.lower(), day_of_week=_weekdays(weekday.lower()), timezone=UTC
    )


def _weekdays(field: str) -> str:
    """The weekdays of a crontab's field by name: `1-5` is mon,tue,wed,thu,fri; 0 and 7 are Sunday."""
    if field == "*":
        return field
    chosen: set[int] = set()
    for part in field.split(","):
        match = re.fullmatch(r"(\*|[a-z]{3}|\d)(?:-([a-z]{3}|\d))?(?:/(\d+))?", part)
        if match is None or (match[1] == "*" and match[2]):
            raise ValueError(f"{part!r} is not a weekday")
        step = int(match[3] or 1)
        if match[1] == "*":
            first, last = 0, 6
        else:
            first = _weekday(match[1])
            last = _weekday(match[2]) if match[2] else (6 if match[3] else first)
        last += 7 if last < first else 0
        chosen |= {number % 7 for number in range(first, last + 1, step)}
    return ",".join(DAYS[number] for number in sorted(chosen))


def _weekday(name: str) -> int:
    if name.isdecimal() and int(name) <= 7:
        return int(name)
    if name in DAYS:
        return DAYS.index(name)
    raise ValueError(f"{name!r} is not a weekday")
