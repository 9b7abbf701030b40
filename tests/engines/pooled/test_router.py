"""Costs by a fitted line, and who takes what."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.engines.pooled.router import CostModel, Running, choose


def line(fixed: float, rate: float) -> CostModel:
    found = CostModel()
    for load in (10.0, 60.0, 180.0):
        found.observe(load, fixed + rate * load)
    return found


def test_a_line_is_found_again() -> None:
    assert line(0.13, 0.014).coefficients == pytest.approx((0.13, 0.014))
    assert line(0.13, 0.014).predict(100) == pytest.approx(1.53)


def test_before_the_first_observation_everything_is_free() -> None:
    assert CostModel().predict(100) == 0.0


def test_equal_loads_tell_a_mean_and_no_slope() -> None:
    found = CostModel()
    for seconds in (1.0, 3.0):
        found.observe(50, seconds)
    fixed, rate = found.coefficients
    assert fixed == 0.0
    assert rate == pytest.approx((0.97 * 1.0 + 3.0) / (0.97 + 1) / 50)


def test_more_work_is_never_predicted_to_take_less() -> None:
    found = CostModel()
    found.observe(10, 2.0)
    found.observe(100, 1.0)
    assert found.predict(100) > found.predict(10) > 0


def test_a_line_follows_a_machine_that_becomes_slower() -> None:
    found = line(0.0, 0.01)
    for load in (20.0, 150.0) * 60:
        found.observe(load, 0.03 * load)
    assert found.predict(100) == pytest.approx(3.0, rel=0.05)


@given(st.lists(st.tuples(st.floats(1, 500), st.floats(0, 100)), max_size=40), st.floats(0, 1000), st.floats(0, 1000))
def test_predictions_never_fall_and_are_never_negative(
    seen: list[tuple[float, float]], one: float, other: float
) -> None:
    found = CostModel()
    for load, seconds in seen:
        found.observe(load, seconds)
    less, more = sorted((one, other))
    assert 0 <= found.predict(less) <= found.predict(more) * (1 + 1e-9)


def test_an_idle_session_takes_the_first_in_line() -> None:
    assert choose(0, [50, 10], costs=[line(0, 0.01)], running=[None]) == 0


def test_a_slow_session_leaves_work_that_a_quick_one_finishes_sooner() -> None:
    lines = [line(0, 0.1), line(0, 0.01)]
    quick_is_busy = [None, Running(predicted=0.5, passed=0.0)]
    # 100 phonemes: 10 s here, or 0.5 + 1 s there; 2 phonemes: 0.2 s here, or 0.5 + 0.02 s there.
    assert choose(0, [100], costs=lines, running=quick_is_busy) is None
    assert choose(0, [2], costs=lines, running=quick_is_busy) == 0


def test_work_overflows_to_a_slow_session_where_the_quick_one_has_too_much() -> None:
    lines = [line(0, 0.03), line(0, 0.01)]
    # There they end after 1, 2 and 3 s; here the third would end after 3 s as well, the fourth not before 3 s.
    assert choose(0, [100, 100], costs=lines, running=[None, None]) is None
    assert choose(0, [100, 100, 100, 100], costs=lines, running=[None, None]) == 2


def test_what_overruns_is_expected_to_go_on_and_loses_its_queue() -> None:
    lines = [line(0, 0.1), line(0, 0.01)]
    assert Running(predicted=1.0, passed=0.4).left == pytest.approx(0.6)
    assert Running(predicted=1.0, passed=31.0).left == 30.0
    assert choose(0, [100], costs=lines, running=[None, Running(predicted=1.0, passed=31.0)]) == 0


@given(
    st.lists(st.floats(1, 500), min_size=1, max_size=12),
    st.lists(st.tuples(st.floats(0, 1), st.floats(0.001, 0.1)), min_size=1, max_size=5),
)
def test_the_first_in_line_always_falls_to_an_idle_session_where_all_are_idle(
    waiting: list[float], coefficients: list[tuple[float, float]]
) -> None:
    lines = [line(*each) for each in coefficients]
    idle: list[Running | None] = [None] * len(lines)
    assert 0 in [choose(session, waiting, costs=lines, running=idle) for session in range(len(lines))]
