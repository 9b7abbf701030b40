import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.analysis.stats.fdr import cut, harmonic


def test_harmonic_is_the_sum_of_the_first_reciprocals() -> None:
    assert harmonic(1) == 1
    assert harmonic(4) == pytest.approx(25 / 12)
    assert harmonic(60) == pytest.approx(4.679870, abs=1e-6)


def test_the_step_up_by_hand() -> None:
    # m = 4, H₄ = 25/12: thresholds k · 0.0012.
    found = cut([0.5, 0.0011, 0.0024, 0.02], fdr=0.01)
    assert found.rejected == 2
    assert found.alpha == pytest.approx(0.0024)


def test_a_later_p_value_carries_the_earlier_ones_with_it() -> None:
    found = cut([0.0030, 0.0031, 0.0032, 0.9], fdr=0.01)
    assert found.rejected == 3


def test_where_nothing_speaks_the_level_is_that_of_the_first_rank() -> None:
    found = cut([0.2, 0.3], fdr=0.01)
    assert found.rejected == 0
    assert found.alpha == pytest.approx(0.01 / 3)


def test_one_pair_has_the_whole_per_cent_and_none_has_it_too() -> None:
    assert cut([0.009], fdr=0.01).rejected == 1
    nothing = cut([], fdr=0.01, share=0.5)
    assert (nothing.rejected, nothing.alpha) == (0, 0.005)


def test_a_p_value_at_its_threshold_is_rejected() -> None:
    assert cut([0.01], fdr=0.01).rejected == 1
    assert cut([math.nextafter(0.01, 1)], fdr=0.01).rejected == 0


def test_a_look_may_spend_only_its_share() -> None:
    assert cut([0.009], fdr=0.01, share=0.75).rejected == 0
    assert cut([0.007], fdr=0.01, share=0.75).alpha == pytest.approx(0.0075)


@given(st.lists(st.floats(0, 1), min_size=1, max_size=80))
def test_rejected_are_exactly_those_at_or_below_alpha(p_values: list[float]) -> None:
    found = cut(p_values, fdr=0.05)
    below = sum(p <= found.alpha for p in p_values)
    assert below == found.rejected
