"""Converts wall times to moments, also on the days on which clocks change.

A wall time is a datetime without a zone. If clocks skip a wall time, it is due at the moment of the change. If a wall
time occurs twice, the first counts. Clocks change at any hour, midnight included (Cairo, Beirut, Santiago, Havana).
"""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta, tzinfo
from typing import Final

Following = Callable[[datetime], datetime | None]
"""Returns the first wall time of a job at or after a given one; None if there is none."""

_PROBE_S: Final = 12 * 3_600
"""No zone changes its offset twice within this time (s); tests check all zones minute by minute."""
_STEP: Final = timedelta(microseconds=1)


def next_named_time(following: Following, zone: tzinfo, after: datetime) -> datetime | None:
    """The next moment (UTC) of a job at fixed times of the day. Each time occurs once, even if clocks change."""
    wall = following(_wall(zone, after) + _STEP)
    while wall is not None:
        found = moment_of(wall, zone)
        if found > after:
            return found
        # Clocks went back: this is the second occurrence of the wall time.
        wall = following(wall + _STEP)
    return None


def next_matching_moment(following: Following, zone: tzinfo, after: datetime) -> datetime | None:
    """The next moment (UTC) of a job that runs every hour.

    The times of an hour that occurs twice are due twice, and those of a skipped hour are not due, so the job runs by
    elapsed time.
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


def moment_of(wall: datetime, zone: tzinfo) -> datetime:
    """The first moment (UTC) at which the clocks of `zone` show `wall` or have just skipped it."""
    before, after = (_offset_at(wall, zone, fold) for fold in (0, 1))
    first = (wall - before).replace(tzinfo=UTC)
    if before >= after:
        return first
    change = _change(zone, (wall - after).replace(tzinfo=UTC), first)
    return first if change is None else change


def _change(zone: tzinfo, start: datetime, end: datetime) -> datetime | None:
    """The first moment after `start`, and not after `end`, at which the offset of `zone` changes."""
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


def _wall(zone: tzinfo, moment: datetime) -> datetime:
    return moment.astimezone(zone).replace(tzinfo=None)


def _utc(seconds: int) -> datetime:
    return datetime.fromtimestamp(seconds, tz=UTC)


def _offset(zone: tzinfo, moment: datetime) -> timedelta:
    return _offset_at(_wall(zone, moment), zone, moment.astimezone(zone).fold)


def _offset_at(wall: datetime, zone: tzinfo, fold: int) -> timedelta:
    """The UTC offset of `zone` at a wall time. For a skipped time, fold 0 gives the offset before the change."""
    return zone.utcoffset(wall.replace(tzinfo=zone, fold=fold)) or timedelta()
