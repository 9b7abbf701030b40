import math

import pytest

from harness.analysis.stats.interval import DeferredEstimate
from harness.analysis.stats.power import detectable, tolerance_for, values_to_settle


def deferred(point: float = 0.0, *, error: float = 0.01, n: int = 24) -> DeferredEstimate:
    return DeferredEstimate(point=point, error=error, freedom=math.inf, method="", n=n, launches=3)


def test_the_detectable_effect_is_two_quantiles_of_the_error() -> None:
    found = detectable(deferred(), tolerance=0.001, alpha=0.01, power=0.9)
    assert found == pytest.approx((2.575829 + 1.281552) * 0.01, abs=1e-7)


def test_a_wide_tolerance_is_what_limits() -> None:
    assert detectable(deferred(), tolerance=0.1, alpha=0.01) == pytest.approx(0.1 + 1.281552 * 0.01, abs=1e-7)


def test_without_noise_the_tolerance_is_detectable() -> None:
    assert detectable(deferred(error=0.0), tolerance=0.02, alpha=0.01) == 0.02


def test_a_duel_tolerates_half_of_what_it_seeks() -> None:
    assert tolerance_for(0.05) == 0.025


def test_four_times_the_pairs_for_half_the_room() -> None:
    near = values_to_settle(deferred(0.0, error=0.05), tolerance=0.05, alpha=0.01)
    far = values_to_settle(deferred(0.025, error=0.05), tolerance=0.05, alpha=0.01)
    assert near == math.ceil(24 * 2.575829**2)
    assert far == pytest.approx(4 * near, abs=4)


def test_an_estimate_on_the_edge_does_not_take_for_ever() -> None:
    edge = values_to_settle(deferred(0.0499999, error=0.05), tolerance=0.05, alpha=0.01)
    assert edge <= math.ceil(16 * 24 * 2.575829**2) + 1
