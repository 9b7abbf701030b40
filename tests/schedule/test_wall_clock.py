"""Nights in which clocks are set: known answers, and every cron held against a walk from minute to minute."""

from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo, available_timezones

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.schedule.job import Job
from harness.schedule.launcher import Exit
from harness.schedule.triggers import next_after
from tests.schedule.cron_walk import MINUTE, Walk, changes

CRONS = (
    "0 0 * * *",
    "30 0 * * *",
    "59 23 * * *",
    "0,30 23 * * *",
    "30 2 * * *",
    "0 1,2,3 * * *",
    "*/20 0-3 * * *",
    "45 1-2 * * *",
    "0 */2 * * *",
    "15 */6 * * *",
    "0 * * * *",
    "10,50 * * * *",
    "*/15 */1 * * *",
    "0 0 * * 0",
    "30 2 * * 0",
    "30 0 * * 5",
    "59 23 * * 6",
    "0 * * * 0",
    "0 0 1 * *",
    "30 1 26-31 * *",
    "0 0 29 2 *",
    "0 12 * 3,10 *",
)
SPECIAL_YEARS = (
    ("Africa/Cairo", 2026),  # forward at midnight on a Friday, back at midnight
    ("Asia/Beirut", 2026),  # forward at midnight on a Sunday
    ("America/Santiago", 2026),  # forward at midnight, the south's spring
    ("America/Havana", 2026),  # forward at midnight, back from 01:00 to midnight
    ("Asia/Gaza", 2026),  # set about Ramadan too: four changes a year
    ("Africa/Casablanca", 2026),  # winter time is what the database calls saving
    ("Europe/Dublin", 2026),  # likewise
    ("Europe/Berlin", 2026),
    ("America/Nuuk", 2026),  # from 23:00 to midnight: the skipped hour is the day before's
    ("Australia/Lord_Howe", 2026),  # by half an hour
    ("Antarctica/Troll", 2026),  # by two hours
    ("Asia/Pyongyang", 2018),  # by half an hour at 23:30
    ("Pacific/Apia", 2011),  # a whole day skipped
)


def due_times(cron: str, zone: str, start: datetime, end: datetime) -> list[datetime]:
    """Every time after `start` and up to `end` at which the schedule finds a job due, each asked for after the last."""
    job = Job(name="nightly", cron=cron, timezone=zone)
    found = []
    at: float | None = start.timestamp()
    while (at := next_after(job, at)) is not None and at <= end.timestamp():
        found.append(datetime.fromtimestamp(at, tz=UTC))
    return found


def expect_as_walked(zone: str, change: datetime, crons: tuple[str, ...]) -> None:
    """From a day before clocks are set to a day after it."""
    start, end = change - timedelta(hours=26), change + timedelta(hours=26)
    walk = Walk(ZoneInfo(zone), start, end)
    for cron in crons:
        assert due_times(cron, zone, start, end) == walk.due(cron), f"{cron} in {zone} about {change}"


@pytest.mark.parametrize(
    ("zone", "cron", "from_day", "expected"),
    [
        ("Africa/Cairo", "0 0 * * *", "2026-04-23", ["23 00:00", "24 01:00", "25 00:00", "26 00:00"]),
        ("Asia/Beirut", "0 0 * * *", "2026-03-28", ["28 00:00", "29 01:00", "30 00:00", "31 00:00"]),
        ("America/Santiago", "0 0 * * *", "2026-09-05", ["05 00:00", "06 01:00", "07 00:00", "08 00:00"]),
        ("America/Havana", "0 0 * * *", "2026-03-07", ["07 00:00", "08 01:00", "09 00:00", "10 00:00"]),
        ("Africa/Cairo", "30 0 * * *", "2026-04-23", ["23 00:30", "24 01:00", "25 00:30"]),
        ("Asia/Beirut", "0 0 * * 0", "2026-03-22", ["22 00:00", "29 01:00", "05 00:00"]),
        ("Asia/Beirut", "0 0 29 * *", "2026-02-01", ["29 01:00", "29 00:00"]),
        ("Africa/Cairo", "0 0 * * *", "2026-10-29", ["29 00:00", "30 00:00", "31 00:00"]),
        ("America/Havana", "0 0 * * *", "2026-10-31", ["31 00:00", "01 00:00", "02 00:00"]),
        ("America/Havana", "30 0 * * 0", "2026-10-25", ["25 00:30", "01 00:30", "08 00:30"]),
        ("America/Nuuk", "30 23 * * 6", "2026-03-21", ["21 23:30", "29 00:00", "04 23:30"]),
        ("Europe/Berlin", "30 2 * * *", "2026-03-28", ["28 02:30", "29 03:00", "30 02:30"]),
    ],
)
def test_no_night_is_lost_or_doubled_where_clocks_are_set(
    zone: str, cron: str, from_day: str, expected: list[str]
) -> None:
    """Days and times as the clocks of the zone show them."""
    start = datetime.fromisoformat(from_day).replace(tzinfo=ZoneInfo(zone)) - MINUTE
    found = due_times(cron, zone, start, start + timedelta(days=90))
    assert [moment.astimezone(ZoneInfo(zone)).strftime("%d %H:%M") for moment in found[: len(expected)]] == expected


@pytest.mark.parametrize(("zone", "year"), SPECIAL_YEARS)
def test_due_times_are_those_of_a_walk_by_minutes(zone: str, year: int) -> None:
    assert changes(zone, year)
    for change in changes(zone, year):
        expect_as_walked(zone, change, CRONS)


def test_the_daemon_runs_each_night_of_a_change_at_midnight_once(bench: Any) -> None:
    zone = ZoneInfo("Asia/Beirut")
    bench.clock.set(datetime(2026, 3, 27, 12, tzinfo=zone).timestamp() - bench.clock.wall())
    bench.put(cron="0 0 * * *", timezone="Asia/Beirut")
    bench.launcher.on_go = lambda process: setattr(process, "ends", Exit(code=0))
    started = bench.clock.wall()
    for hours in range(4 * 24):
        bench.at(started + hours * 3_600)
    due = [datetime.fromtimestamp(fire.due_at, tz=zone).strftime("%d %H:%M") for fire in bench.fires()]
    assert due == ["28 00:00", "29 01:00", "30 00:00", "31 00:00"]


def test_a_job_of_every_hour_waits_years_for_its_day() -> None:
    found = due_times(
        "30 * 29 2 *", "Europe/Berlin", datetime(2025, 1, 1, tzinfo=UTC), datetime(2029, 1, 1, tzinfo=UTC)
    )
    assert found == [datetime(2028, 2, 28, 23, 30, tzinfo=UTC) + timedelta(hours=number) for number in range(24)]


fields_of_minutes = st.one_of(
    st.integers(0, 59).map(str),
    st.sampled_from(["*/7", "*/20", "0,59"]),
    st.integers(0, 50).map(lambda low: f"{low}-59/9"),
)
fields_of_hours = st.one_of(
    st.integers(0, 23).map(str), st.sampled_from(["*", "*/1", "*/2", "*/5", "0-3", "22-23", "0,1,2,23"])
)
dates_and_weekdays = st.one_of(
    st.just("* * *"),
    st.integers(1, 31).map(lambda day: f"{day} * *"),
    st.integers(0, 6).map(lambda weekday: f"* * {weekday}"),
    st.integers(1, 12).map(lambda month: f"* {month} *"),
)
crons = st.tuples(fields_of_minutes, fields_of_hours, dates_and_weekdays).map(" ".join)


@settings(max_examples=40)
@given(
    zone=st.sampled_from(sorted(available_timezones())),
    year=st.integers(2000, 2037),
    which=st.integers(0, 3),
    tried=st.lists(crons, min_size=1, max_size=3).map(tuple),
)
def test_any_cron_in_any_zone_is_as_walked(zone: str, year: int, which: int, tried: tuple[str, ...]) -> None:
    """Where the zone sets no clocks in that year, a day at its beginning."""
    found = changes(zone, year) or (datetime(year, 1, 2, tzinfo=UTC),)
    expect_as_walked(zone, found[which % len(found)], tried)


@pytest.fixture(scope="module")
def walked() -> set[tuple[tuple[datetime, datetime], ...]]:
    """The histories that were walked: many zones of the database are another's under a second name."""
    return set()


@pytest.mark.exhaustive
@pytest.mark.parametrize("zone", sorted(available_timezones()))
def test_every_change_of_every_zone_is_as_walked(zone: str, walked: set[tuple[tuple[datetime, datetime], ...]]) -> None:
    found = [change for year in range(2000, 2038) for change in changes(zone, year)]
    history = tuple((change, change.astimezone(ZoneInfo(zone)).replace(tzinfo=None)) for change in found)
    if history not in walked:
        walked.add(history)
        for change in found:
            expect_as_walked(zone, change, CRONS)
