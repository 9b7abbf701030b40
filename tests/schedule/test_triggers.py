"""When what is due: a pure function of jobs, next times and now."""

from datetime import UTC, datetime
from itertools import pairwise
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.core.errors import ConfigError
from harness.schedule.job import Job
from harness.schedule.triggers import Booked, check_job, next_after, plan

HOUR = 3_600.0
DAY = 86_400.0
BERLIN = "Europe/Berlin"


def at(text: str, zone: str = "UTC") -> float:
    return datetime.fromisoformat(text).replace(tzinfo=ZoneInfo(zone)).timestamp()


def nightly(cron: str = "30 2 * * *", zone: str = BERLIN) -> Job:
    return Job(name="nightly", cron=cron, timezone=zone)


def times(job: Job, start: float, count: int) -> list[str]:
    found = []
    moment: float | None = start
    for _ in range(count):
        assert moment is not None
        moment = next_after(job, moment)
        assert moment is not None
        found.append(datetime.fromtimestamp(moment, tz=UTC).strftime("%m-%d %H:%M"))
    return found


def walk(job: Job, start: float, end: float, step: float = 60.0) -> list[float]:
    """Every due time that a scheduler sees which looks each `step` seconds."""
    seen = []
    booked = Booked(job=job, next_at=next_after(job, start))
    now = start
    while now <= end:
        for move in plan([booked], now):
            if move.due_at is not None:
                seen.append(move.due_at)
            booked = Booked(job=job, next_at=move.next_at)
        now += step
    return seen


def test_clocks_forward_a_night_is_neither_lost_nor_doubled() -> None:
    start = at("2026-03-28T00:00", BERLIN)
    # 02:30 does not exist on the 29th: the job comes at the first moment that does, when the clocks show 03:00.
    assert times(nightly(), start, 3) == ["03-28 01:30", "03-29 01:00", "03-30 00:30"]
    assert len(walk(nightly(), start, start + 3 * DAY)) == 3


def test_clocks_back_a_night_is_not_doubled() -> None:
    start = at("2026-10-24T00:00", BERLIN)
    # 02:30 comes twice on the 25th: the first is taken.
    assert times(nightly(), start, 3) == ["10-24 00:30", "10-25 00:30", "10-26 01:30"]
    assert len(walk(nightly(), start, start + 3 * DAY)) == 3


@pytest.mark.parametrize(("day", "hours"), [("2026-03-29", 23), ("2026-10-25", 25)])
def test_what_comes_every_half_hour_comes_by_elapsed_time(day: str, hours: int) -> None:
    job = nightly("*/30 * * * *")
    start = at(f"{day}T00:00", BERLIN) - 1
    seen = walk(job, start, start + hours * HOUR)
    assert len(seen) == 2 * hours
    assert {later - earlier for earlier, later in pairwise(seen)} == {1_800.0}


def test_what_was_missed_is_caught_up_once() -> None:
    job = nightly(zone="UTC")
    booked = Booked(job=job, next_at=at("2026-01-02T02:30"))
    [move] = plan([booked], at("2026-01-05T10:00"))
    assert (move.due_at, move.missed, move.next_at) == (at("2026-01-05T02:30"), 3, at("2026-01-06T02:30"))


def test_a_year_of_missed_minutes_is_passed_over_at_once() -> None:
    job = Job(name="often", every_s=60.0)
    [move] = plan([Booked(job=job, next_at=at("2026-01-01T00:00"))], at("2027-01-01T00:00") + 1)
    assert move.due_at is not None
    assert move.next_at == at("2027-01-01T00:01")
    assert move.missed == 10_000


def test_a_clock_set_back_an_hour_runs_no_night_twice() -> None:
    job = nightly(zone="UTC")
    now = at("2026-01-02T02:30")
    [move] = plan([Booked(job=job, next_at=now)], now + 1)
    after = Booked(job=job, next_at=move.next_at)
    assert move.due_at == now
    assert plan([after], now + 1 - HOUR) == ()
    assert plan([after], now + 1) == ()


def test_a_clock_set_back_does_not_stop_what_comes_each_minute() -> None:
    job = Job(name="often", every_s=60.0)
    now = at("2026-01-02T02:30")
    [move] = plan([Booked(job=job, next_at=now + 60)], now - HOUR)
    assert (move.due_at, move.next_at) == (None, now - HOUR + 60)
    assert "set back" in move.note


def test_a_clock_set_forward_an_hour_catches_up_once() -> None:
    job = Job(name="often", every_s=60.0)
    now = at("2026-01-02T02:30")
    [move] = plan([Booked(job=job, next_at=now)], now + HOUR)
    assert (move.due_at, move.missed, move.next_at) == (now + HOUR, 60, now + HOUR + 60)


def test_a_clock_that_was_years_ahead_is_forgotten() -> None:
    [move] = plan([Booked(job=nightly(zone="UTC"), next_at=at("2036-01-01T02:30"))], at("2026-01-01T00:00"))
    assert (move.due_at, move.next_at) == (None, at("2026-01-01T02:30"))


def test_a_paused_job_is_never_due() -> None:
    assert plan([Booked(job=nightly(), next_at=None, paused=True)], at("2030-01-01T00:00")) == ()


def test_jobs_come_in_the_order_in_which_they_were_due() -> None:
    late = Booked(job=Job(name="a", cron="0 3 * * *"), next_at=at("2026-01-01T03:00"))
    early = Booked(job=Job(name="b", cron="0 2 * * *"), next_at=at("2026-01-01T02:00"))
    assert [move.name for move in plan([late, early], at("2026-01-01T04:00"))] == ["b", "a"]


@pytest.mark.parametrize(
    ("field", "days"),
    [("0", [4]), ("7", [4]), ("sun", [4]), ("1-5", [1, 2, 5, 6, 7]), ("fri-mon", [2, 3, 4, 5]), ("*/2", [1, 3, 4, 6])],
)
def test_weekdays_are_a_crontabs(field: str, days: list[int]) -> None:
    """2026-01-01 is a Thursday; crontabs count from Sunday, APScheduler from Monday."""
    job = nightly(f"0 0 * * {field}", "UTC")
    seen = walk(job, at("2025-12-31T12:00"), at("2026-01-07T12:00"), step=HOUR)
    assert [datetime.fromtimestamp(moment, tz=UTC).day for moment in seen] == days


@pytest.mark.parametrize(
    ("cron", "says"),
    [
        ("30 2 * *", "4 fields"),
        ("61 2 * * *", "not a valid cron time"),
        ("0 0 30 2 *", "never comes"),
        ("0 0 1 * 1", "two jobs"),
        ("0 0 * * funday", "not a weekday"),
        ("0 0 * * 8", "not a weekday"),
        ("@yearly-ish", "1 fields"),
    ],
)
def test_times_that_make_no_sense_are_refused(cron: str, says: str) -> None:
    with pytest.raises(ConfigError, match=says):
        check_job(nightly(cron, "UTC"), where="here")


@pytest.mark.parametrize("zone", ["Europe/Nowhere", "Europe", "../etc/passwd", ""])
def test_unknown_zones_are_refused(zone: str) -> None:
    with pytest.raises(ConfigError):
        check_job(nightly(zone=zone), where="here")


def test_intervals_count_from_midnight_and_not_from_a_start() -> None:
    assert times(Job(name="six", every_s=6 * HOUR), at("2026-01-01T05:59"), 2) == ["01-01 06:00", "01-01 12:00"]


@settings(max_examples=60)
@given(
    start=st.floats(at("2026-01-01T00:00"), at("2027-01-01T00:00")),
    looks=st.lists(st.floats(-2 * HOUR, 3 * DAY), max_size=12),
)
def test_no_due_time_is_ever_given_twice(start: float, looks: list[float]) -> None:
    """However the clock jumps, by up to two hours back and days forward at each look."""
    booked = Booked(job=nightly(), next_at=next_after(nightly(), start))
    now, seen = start, []
    for jump in looks:
        now += jump
        for move in plan([booked], now):
            if move.due_at is not None:
                assert move.due_at <= now
                seen.append(move.due_at)
            booked = Booked(job=nightly(), next_at=move.next_at)
    assert len(seen) == len(set(seen))
