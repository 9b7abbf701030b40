"""When both sides of a duel may be halted, by what was seen of them."""

from dataclasses import replace

import pytest

from harness.measure.system.thread_states import EVENTS, READING_A_CLOCK, SLEEP, SOCKET, WORKING, State
from harness.measure.worker.slicing_checks import (
    ENOUGH_OBSERVATIONS,
    FEWEST_AT_PAUSES,
    FEWEST_CLOCKS,
    FEWEST_FOUND,
    FEWEST_OBSERVATIONS,
    MOST,
    MOST_CLOCKS,
    Evidence,
    Slicing,
)
from harness.plan.matrix import LaunchPolicy
from tests.measure.worker.test_observed_synthesis import SPOKEN

SECOND = 1_000_000_000
SLICED = LaunchPolicy(slice_s=0.1)


def states(count: int, *, of: int, state: State = SLEEP) -> list[State]:
    return [state] * count + [WORKING] * (of - count)


@pytest.mark.parametrize("state", [SLEEP, SOCKET, EVENTS])
def test_a_wait_beyond_the_limit_is_told_with_its_share(state: State) -> None:
    seen = Evidence()
    seen.add_observations(states(30, of=1000, state=state))
    assert seen.reason("a") == f"a {state.doing} for about 3 % of its time, which would pass while it is paused"


def test_the_commonest_wait_is_told_with_the_share_of_all() -> None:
    seen = Evidence()
    seen.add_observations(states(10, of=100, state=SOCKET) + states(20, of=100))
    assert seen.reason("a").startswith("a sleeps for about 15 % of its time")


@pytest.mark.parametrize(
    ("found", "observations", "refused"),
    [
        (0, ENOUGH_OBSERVATIONS, False),
        (FEWEST_FOUND - 1, FEWEST_OBSERVATIONS, False),
        (FEWEST_FOUND, FEWEST_OBSERVATIONS, True),
        (round(MOST * 1000), 1000, False),
        (round(MOST * 1000) + 1, 1000, True),
    ],
)
def test_a_wait_within_the_limit_is_none(*, found: int, observations: int, refused: bool) -> None:
    seen = Evidence()
    seen.add_observations(states(found, of=observations))
    assert bool(seen.reason("a")) is refused


@pytest.mark.parametrize(
    ("state", "fewest", "most", "words"),
    [
        (SLEEP, FEWEST_AT_PAUSES, MOST, "sleeps for about"),
        (READING_A_CLOCK, FEWEST_CLOCKS, MOST_CLOCKS, "was reading a clock at"),
    ],
)
def test_halts_tell_it_too(state: State, fewest: int, most: float, words: str) -> None:
    few, limit, more = Evidence(), Evidence(), Evidence()
    few.add_pauses(states(fewest - 1, of=fewest, state=state))
    limit.add_pauses(states(round(most * 2000), of=2000, state=state))
    more.add_pauses(states(round(most * 2000) + 1, of=2000, state=state))
    assert (few.reason("a"), limit.reason("a")) == ("", "")
    assert words in more.reason("a")


@pytest.mark.parametrize(("looped_ns", "refused"), [(0, False), (round(MOST * SECOND), False), (SECOND // 20, True)])
def test_a_loop_that_reads_a_clock_is_told_with_its_share(*, looped_ns: int, refused: bool) -> None:
    seen = Evidence()
    # Others took the CPU for half of the time, from the loop as from the work.
    seen.add_synthesis(replace(SPOKEN, end_ns=2 * SECOND, cpu_ns=SECOND), looped_ns=looped_ns)
    assert bool(seen.reason("a")) is refused
    if refused:
        assert "reads a clock in a loop for about 5 % of its time" in seen.reason("a")


def test_slices_are_refused_for_good_with_the_first_reason() -> None:
    slicing = Slicing(SLICED)
    assert (slicing.slice_s, slicing.reason) == (0.1, "")
    slicing.of("a").add_observations(states(0, of=ENOUGH_OBSERVATIONS))
    slicing.of("b").add_observations(states(50, of=100))
    slicing.settle_first(["a", "b"])
    assert slicing.slice_s == 0.0
    assert slicing.reason.startswith("b sleeps for about 50 %")
    slicing.refuse("another")
    assert slicing.reason.startswith("b sleeps")


def test_who_was_hardly_looked_at_is_not_halted() -> None:
    for observations in (FEWEST_OBSERVATIONS - 1, FEWEST_OBSERVATIONS):
        slicing = Slicing(SLICED)
        slicing.of("a").add_observations(states(0, of=observations))
        slicing.settle_first(["a"])
        assert ("whether a waits for anything cannot be determined" in slicing.reason) is (
            observations < FEWEST_OBSERVATIONS
        )


def test_where_no_slices_are_asked_for_there_is_no_reason_against_them() -> None:
    slicing = Slicing(LaunchPolicy())
    slicing.of("a").add_observations(states(50, of=100))
    slicing.settle()
    assert (slicing.slice_s, slicing.reason) == (0.0, "")


def test_a_reason_that_is_known_before_is_kept() -> None:
    slicing = Slicing(LaunchPolicy(whole="a is a server"))
    slicing.refuse("another")
    assert (slicing.slice_s, slicing.reason) == (0.0, "a is a server")
