from dataclasses import replace
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.core.errors import UsageError
from harness.core.records.scenario import Arrivals, Traffic
from harness.measure.load.arrivals import constant, poisson, ramp, starts_of

NS = 1_000_000_000


def test_a_constant_rate_is_evenly_spaced_from_the_beginning() -> None:
    assert constant(4, 1.0) == (0, NS // 4, NS // 2, 3 * NS // 4)
    assert constant(3, 1.0) == (0, 333_333_333, 666_666_667)
    assert len(constant(0.1, 60)) == 6
    assert constant(2, 0.1) == (0,)


def test_poisson_arrivals_are_the_same_for_a_seed_and_others_for_another() -> None:
    assert poisson(20, 10, seed=1) == poisson(20, 10, seed=1)
    assert poisson(20, 10, seed=1) != poisson(20, 10, seed=2)


def test_poisson_arrivals_have_their_rate_and_exponential_gaps() -> None:
    starts = poisson(50, 400, seed=3)
    # 20,000 expected, with a standard deviation of 141.
    assert abs(len(starts) - 20_000) < 5 * 141
    gaps = [(later - earlier) / NS for earlier, later in pairwise(starts)]
    mean = sum(gaps) / len(gaps)
    assert sum(gap > mean for gap in gaps) / len(gaps) == pytest.approx(0.3679, abs=0.02)


def test_a_ramp_puts_each_start_where_the_integral_of_the_rate_reaches_its_number() -> None:
    starts = ramp(0, 10, 10)
    assert len(starts) == 50
    # t² / 2 = k
    assert starts[8] == 4 * NS
    assert starts[32] == 8 * NS
    assert ramp(10, 0, 10)[0] == 0
    assert ramp(10, 0, 10)[42] == pytest.approx(6 * NS)


@given(st.floats(0.1, 50), st.floats(0.1, 20))
def test_a_ramp_between_equal_rates_is_constant(rate: float, seconds: float) -> None:
    assert ramp(rate, rate, seconds) == pytest.approx(constant(rate, seconds), abs=2)


@given(st.floats(0, 50), st.floats(0.1, 50), st.floats(0.1, 20), st.integers(0, 9))
def test_starts_ascend_and_lie_within_the_load(first: float, last: float, seconds: float, seed: int) -> None:
    for starts in (constant(last, seconds), poisson(last, seconds, seed=seed), ramp(first, last, seconds)):
        assert list(starts) == sorted(starts)
        assert all(0 <= start <= seconds * NS for start in starts)


def test_a_load_starts_its_requests_as_its_arrivals_say_over_warm_up_window_and_cool_down() -> None:
    load = Traffic(arrivals=Arrivals.CONSTANT, level=7, first=3, warm_up_s=2, seconds=10, cool_down_s=1)
    assert load.total_s == 13
    assert starts_of(load, seed=4) == constant(7, 13)
    assert starts_of(replace(load, arrivals=Arrivals.POISSON), seed=4) == poisson(7, 13, seed=4)
    assert starts_of(replace(load, arrivals=Arrivals.RAMP), seed=4) == ramp(3, 7, 13)


@pytest.mark.parametrize(("seconds", "rate", "where"), [(0.0, 1.0, "duration"), (1.0, 0.0, "rate")])
def test_what_is_refused_says_which_of_both_it_is(seconds: float, rate: float, where: str) -> None:
    with pytest.raises(UsageError) as refused:
        constant(rate, seconds)
    assert refused.value.where == where


@pytest.mark.parametrize(
    "wrong",
    [
        lambda: constant(0, 1),
        lambda: constant(1, 0),
        lambda: constant(1, float("inf")),
        lambda: ramp(-1, 2, 1),
        lambda: ramp(0, 0, 1),
        lambda: poisson(float("inf"), 1, seed=0),
    ],
)
def test_a_load_without_a_rate_or_a_length_is_refused(wrong: object) -> None:
    assert callable(wrong)
    with pytest.raises(UsageError, match="positive number"):
        wrong()
