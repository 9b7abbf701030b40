"""What is due by a walk from minute to minute: an oracle that shares no code with the schedule.

It reads the five fields of a cron itself and asks the zone for one thing only: what its clocks show at a moment.
"""

from datetime import UTC, datetime, timedelta
from functools import cache
from zoneinfo import ZoneInfo

MINUTE = timedelta(minutes=1)
LOWEST_AND_HIGHEST = ((0, 59), (0, 23), (1, 31), (1, 12), (0, 6))


class Walk:
    """Every whole minute from `start` to `end` (UTC) in a zone; the first one is only looked at."""

    def __init__(self, zone: ZoneInfo, start: datetime, end: datetime) -> None:
        count = int((end - start) / MINUTE) + 1
        self.start = start
        clock = [(start + number * MINUTE).astimezone(zone).replace(tzinfo=None) for number in range(count)]
        self._shown = [_fields(number, wall) for number, wall in enumerate(clock) if number]
        self._first_passed = []
        latest = clock[0]
        for number, wall in enumerate(clock):
            while latest < wall:
                latest += MINUTE
                self._first_passed.append(_fields(number, latest))

    def due(self, cron: str) -> list[datetime]:
        """When a job comes: at each time shown where it comes every hour, else when a time is first shown or passed."""
        minutes, hours, days, months, weekdays = (
            values(field, low, high) for field, (low, high) in zip(cron.split(), LOWEST_AND_HIGHEST, strict=True)
        )
        readings = self._shown if len(hours) == 24 else self._first_passed
        due = {
            number
            for number, minute, hour, day, month, weekday in readings
            if minute in minutes and hour in hours and day in days and month in months and weekday in weekdays
        }
        return [self.start + number * MINUTE for number in sorted(due)]


def _fields(number: int, wall: datetime) -> tuple[int, int, int, int, int, int]:
    return number, wall.minute, wall.hour, wall.day, wall.month, wall.isoweekday() % 7


@cache
def values(field: str, low: int, high: int) -> frozenset[int]:
    """Every number that a field of a cron means."""
    found: set[int] = set()
    for part in field.split(","):
        span, _, step = part.partition("/")
        first, dash, last = (str(low), "-", str(high)) if span == "*" else span.partition("-")
        found |= set(range(int(first), int(last if dash else first) + 1, int(step or 1)))
    return frozenset(found)


@cache
def changes(name: str, year: int) -> tuple[datetime, ...]:
    """Every minute of a year (UTC) at which the clocks of a zone are set, looked for in steps of six hours."""
    zone = ZoneInfo(name)
    at, end, step = datetime(year, 1, 1, tzinfo=UTC), datetime(year + 1, 1, 1, tzinfo=UTC), timedelta(hours=6)
    found = []
    while at < end:
        if at.astimezone(zone).utcoffset() != (at + step).astimezone(zone).utcoffset():
            minute = at
            while minute.astimezone(zone).utcoffset() == at.astimezone(zone).utcoffset():
                minute += MINUTE
            found.append(minute)
        at += step
    return tuple(found)
