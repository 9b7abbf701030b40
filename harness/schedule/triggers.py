"""When what is due: pure functions of jobs, their next times and now. Nothing here reads a clock.

Times are seconds since the epoch. The rules: what was missed is caught up once, however often it was missed; a due time
is never given twice; a job at a fixed hour runs once a day on the days on which the clocks change; a clock that was set
back does not keep a job waiting for longer than its own interval.
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
"""Hour fields of a cron that goes by elapsed time; any other names hours of the day, each of which comes once a day."""
EPOCH: Final = datetime(2000, 1, 1, tzinfo=UTC)
"""What intervals count from, so that their times do not depend on when somebody started a scheduler."""
COUNTED: Final = 10_000
"""Missed times that are counted one by one; what lies beyond is passed over at once."""
_STEP: Final = timedelta(microseconds=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Booked:
    """A job in the job store, with its next time; None where it is paused or will never be due."""

    job: "Job"
    next_at: float | None
    paused: bool = False
    origin: str = "file"
    """"file" or "command": where it was declared."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Move:
    """What is to be done for one job: run it for `due_at` if that is not None, then wait for `next_at`."""

    name: str
    due_at: float | None
    missed: int
    next_at: float | None
    note: str = ""


def plan(booked: Sequence[Booked], now: float) -> tuple[Move, ...]:
    """The moves that `now` asks for, in the order in which the jobs were due."""
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
    """The first time of `job` after a moment, both in seconds since the epoch; None where there is none."""
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
    """APScheduler's trigger. Raises ValueError or LookupError where the times make no sense.

    A cron trigger counts wall times, written as if they were UTC: APScheduler loses a time that clocks skip, and the
    whole day with it where they skip midnight. `wall_clock` finds the moments.
    """
    zone_of(job)
    if job.cron:
        return _cron(job.cron)
    from apscheduler.triggers.interval import IntervalTrigger

    return IntervalTrigger(seconds=round(job.every_s), start_date=EPOCH, timezone=UTC)


def zone_of(job: "Job") -> tzinfo:
    """The time zone of `job`. UTC needs no database of zones; LookupError or OSError where there is no such zone."""
    return UTC if job.timezone == "UTC" else ZoneInfo(job.timezone)


def _following_wall_time(trigger: Any, wall: datetime) -> datetime | None:  # noqa: ANN401 - as above
    found: datetime | None = trigger.get_next_fire_time(None, wall.replace(tzinfo=UTC))
    return None if found is None else found.replace(tzinfo=None)


def check_job(job: "Job", *, where: str) -> None:
    """Raise ConfigError where the times of `job` make no sense."""
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
            f"{job.cron!r} is no time: {error}",
            where=where,
            remedy='cron = "30 2 * * *" (minute hour day month weekday)',
        ) from error
    if never:
        raise ConfigError(f"{job.cron!r} never comes", where=where, remedy="correct the day or the month")


def moment(seconds: float | None) -> str:
    """A time for people, in UTC."""
    if seconds is None:
        return "never"
    return datetime.fromtimestamp(seconds, tz=UTC).strftime("%Y-%m-%d %H:%M:%S UTC")


def _fields(cron: str) -> list[str]:
    return SHORTHANDS.get(cron, cron).split()


def _cron(text: str) -> Any:  # noqa: ANN401 - APScheduler ships no types
    """A crontab's five fields. APScheduler counts weekdays from Monday, crontabs from Sunday: they go by name here."""
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
    """Every weekday that a crontab's field means, by name: `1-5` is mon,tue,wed,thu,fri, and 0 and 7 are Sunday."""
    if field == "*":
        return field
    chosen: set[int] = set()
    for part in field.split(","):
        match = re.fullmatch(r"(\*|[a-z]{3}|\d)(?:-([a-z]{3}|\d))?(?:/(\d+))?", part)
        if match is None or (match[1] == "*" and match[2]):
            raise ValueError(f"{part!r} is no weekday")
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
    raise ValueError(f"{name!r} is no weekday")
