"""From the times that a clock on the wall shows to moments, on the days on which clocks change too.

A wall time is a datetime without a zone. When clocks go forward, they skip wall times: such a time is due at the moment
of the change, the first one after it that exists. When clocks go back, wall times come twice: the first counts. Clocks
change at any hour, midnight included (Cairo, Beirut, Santiago, Havana).
"""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Final
from zoneinfo import ZoneInfo

Following = Callable[[datetime], datetime | None]
"""The first wall time of a job at or after a given one; None where there is none."""

_PROBE_S: Final = 12 * 3_600
"""No zone changes its offset twice within so many seconds; the tests hold all zones against a walk by minutes."""
_STEP: Final = timedelta(microseconds=1)


def next_named_time(following: Following, zone: ZoneInfo, after: datetime) -> datetime | None:
    """The next moment of a job at named times of the day: each comes once, whatever clocks do. In UTC."""
    wall = following(_wall(zone, after) + _STEP)
    while wall is not None:
        found = moment_of(wall, zone)
        if found > after:
            return found
        # Clocks went back: this wall time was reached before, when it came for the first time.
        wall = following(wall + _STEP)
    return None


def next_matching_moment(following: Following, zone: ZoneInfo, after: datetime) -> datetime | None:
    """The next moment of a job that comes every hour: whenever the clock shows one of its times. In UTC.

    An hour that comes twice has its times twice, and one that is skipped has none, so that elapsed time decides.
    """
    start = after + _STEP
    while True:
        offset = _offset(zone, start)
        wall = following(start.replace(tzinfo=None) + offset)
        if wall is None:
            return None
        found = (wall - offset).replace(tzinfo=UTC)
        change = _change(zone, start, found)
        if change is None:
            return found
        start = change


def moment_of(wall: datetime, zone: ZoneInfo) -> datetime:
    """The first moment at which the clocks of `zone` show `wall`, or have just skipped it. In UTC."""
    before, after = (_offset_at(wall, zone, fold) for fold in (0, 1))
    first = (wall - before).replace(tzinfo=UTC)
    if before >= after:
        return first
    change = _change(zone, (wall - after).replace(tzinfo=UTC), first)
    return first if change is None else change


def _change(zone: ZoneInfo, start: datetime, end: datetime) -> datetime | None:
    """The first moment after `start`, and not after `end`, at which the offset of `zone` becomes another."""
    offset = _offset(zone, start)
    low, last = int(start.timestamp()), int(end.timestamp())
    while low < last:
        high = min(low + _PROBE_S, last)
        if _offset(zone, _utc(high)) != offset:
            while high - low > 1:
                middle = (low + high) // 2
                low, high = (middle, high) if _offset(zone, _utc(middle)) == offset else (low, middle)
            return _utc(high)
        low = high
    return None


def _wall(zone: ZoneInfo, moment: datetime) -> datetime:
    return moment.astimezone(zone).replace(tzinfo=None)


def _utc(seconds: int) -> datetime:
    return datetime.fromtimestamp(seconds, tz=UTC)


def _offset(zone: ZoneInfo, moment: datetime) -> timedelta:
    return _offset_at(_wall(zone, moment), zone, moment.astimezone(zone).fold)


def _offset_at(wall: datetime, zone: ZoneInfo, fold: int) -> timedelta:
    """What `zone` is ahead of UTC at a wall time; where it is skipped, fold 0 tells the offset before the change."""
    return zone.utcoffset(wall.replace(tzinfo=zone, fold=fold)) or timedelta()
