import math
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.analysis.stats.interval import DeferredEstimate, quantile


def deferred(point: float, error: float, freedom: float = 10.0) -> DeferredEstimate:
    return DeferredEstimate(point=point, error=error, freedom=freedom, method="m", n=12, launches=3)


def test_the_interval_is_students() -> None:
    estimate = deferred(0.05, 0.01).estimate(0.95)
    assert estimate.low == pytest.approx(0.05 - 2.2281 * 0.01, abs=1e-6)
    assert estimate.high == pytest.approx(0.05 + 2.2281 * 0.01, abs=1e-6)
    assert (estimate.level, estimate.method, estimate.n, estimate.launches) == (0.95, "m", 12, 3)


def test_quantiles_of_the_normal_and_of_nothing() -> None:
    assert quantile(0.025, math.inf) == pytest.approx(1.959964, abs=1e-6)
    assert quantile(0.025, 2.0) == pytest.approx(4.302653, abs=1e-6)
    assert quantile(0.0, 5.0) == math.inf


@given(st.floats(0.001, 0.2), st.floats(0.001, 0.05), st.floats(1, 100))
def test_a_p_value_is_the_level_whose_interval_just_touches(point: float, error: float, freedom: float) -> None:
    one = deferred(point, error, freedom)
    p_value = one.p_difference()
    if p_value > 1e-12:
        assert one.estimate(1 - p_value).low == pytest.approx(0.0, abs=1e-4 * point)
    p_equivalent = one.p_equivalence(0.3)
    if p_equivalent > 1e-12:
        assert one.estimate(1 - p_equivalent).high == pytest.approx(0.3, rel=1e-4)


def test_beyond_the_tolerance_nothing_is_equivalent() -> None:
    assert deferred(0.05, 1e-9).p_equivalence(0.05) == 1.0
    assert deferred(-0.06, 1e-9).p_equivalence(0.05) == 1.0


def test_without_noise_everything_is_known() -> None:
    assert deferred(0.05, 0.0).p_difference() == 0.0
    assert deferred(0.0, 0.0).p_difference() == 1.0
    assert deferred(0.0, 0.0).p_equivalence(0.01) == 0.0
    estimate = deferred(0.05, 0.0).estimate(0.99999)
    assert (estimate.low, estimate.high) == (0.05, 0.05)


def test_mirrored_turns_the_sign_and_nothing_else() -> None:
    one, other = deferred(0.05, 0.01), deferred(0.05, 0.01).mirrored()
    assert other.point == -0.05
    assert other.p_difference() == one.p_difference()
    assert other.mirrored() == one


def test_another_unit_changes_the_point_and_its_error_alone() -> None:
    deferred = DeferredEstimate(point=2.0, error=0.5, freedom=7.0, method="made", n=9, launches=3)
    assert deferred.scaled(4.0) == DeferredEstimate(point=8.0, error=2.0, freedom=7.0, method="made", n=9, launches=3)


def test_what_is_known_exactly_has_no_width_at_any_level() -> None:
    exact = DeferredEstimate(point=2.0, error=0.0, freedom=7.0, method="made", n=9, launches=3)
    assert exact.half_width(0.0) == 0.0
    assert math.isinf(replace(exact, error=0.1).half_width(0.0))
