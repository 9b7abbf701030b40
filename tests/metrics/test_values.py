import math

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binomtest

from harness.core.errors import MeasurementError
from harness.core.records.value import known, unknown
from harness.metrics.values import Collector, Counts, Placed, Values, log_ratios_through, paired_log_ratios, wilson


def collect(metric: str, placed: list[Placed], *, reason: str) -> Values:
    collector = Collector(Counts(), reason=reason)
    collector.add(metric, placed)
    return collector.values[metric]


def values(**by_place: list[tuple[int, float]]) -> Values:
    """`values(l0=[(block, value), …], l1=…)`."""
    placed = [
        Placed(launch=int(launch[1:]), block=block, reading=known(value))
        for launch, inner in by_place.items()
        for block, value in inner
    ]
    return collect("latency", placed, reason="none")


def test_values_are_grouped_by_launch_in_block_order() -> None:
    found = values(l1=[(3, 4.0), (4, 5.0)], l0=[(0, 1.0), (1, 2.0), (2, 3.0)])
    assert found.grouped == ((1.0, 2.0, 3.0), (4.0, 5.0))
    assert found.blocks == ((0, 1, 2), (3, 4))
    assert found.launches == (0, 1)
    assert (found.n, found.flat, found.reason) == (5, (1.0, 2.0, 3.0, 4.0, 5.0), "")


def test_the_most_frequent_reason_is_given_where_nothing_is_known() -> None:
    readings = [unknown("a"), unknown("b"), unknown("b")]
    found = collect("ttfa", [Placed(launch=0, reading=each) for each in readings], reason="none")
    assert (found.grouped, found.reason, found.unknown) == ((), "b", 3)
    some = collect("ttfa", [Placed(launch=0, reading=each) for each in (*readings, known(1.0))], reason="")
    assert (some.grouped, some.reason, some.unknown) == (((1.0,),), "", 3)
    assert collect("ttfa", [], reason="not measured").reason == "not measured"


@pytest.mark.parametrize(
    ("valid", "attempted", "low", "high"),
    [(10, 10, 0.722467, 1.0), (0, 10, 0.0, 0.277533), (8, 10, 0.490162, 0.943318)],
)
def test_wilson_interval_has_the_ends_of_the_published_formula(
    valid: int, attempted: int, low: float, high: float
) -> None:
    estimate = wilson(valid, attempted, launches=3)
    assert estimate.point == valid / attempted
    assert [estimate.low, estimate.high] == pytest.approx([low, high], abs=1e-6)
    assert (estimate.level, estimate.n, estimate.launches) == (0.95, attempted, 3)
    assert estimate.method == "Wilson score interval"


@given(st.integers(0, 500), st.integers(1, 500), st.sampled_from([0.9, 0.95, 0.999]))
def test_wilson_agrees_with_scipy_and_holds_its_point(valid: int, more: int, level: float) -> None:
    estimate = wilson(valid, valid + more, launches=1, level=level)
    theirs = binomtest(valid, valid + more).proportion_ci(confidence_level=level, method="wilson")
    assert [estimate.low, estimate.high] == pytest.approx([theirs.low, theirs.high], abs=1e-12)
    assert 0 <= estimate.low <= estimate.point <= estimate.high <= 1


def test_wilson_ends_are_exact() -> None:
    for attempted in range(1, 300):
        assert wilson(0, attempted, launches=1).low == 0.0
        assert wilson(attempted, attempted, launches=1).high == 1.0


def test_pairs_meet_in_launch_and_block() -> None:
    ours = values(l0=[(0, 2.0), (1, 3.0), (2, 5.0)], l1=[(3, 1.0)], l2=[(4, 7.0)])
    theirs = values(l0=[(0, 1.0), (2, 5.0), (3, 9.0)], l1=[(3, 2.0)])
    assert paired_log_ratios(ours, theirs) == ((math.log(2), 0.0), (-math.log(2),))


def test_several_values_of_a_block_enter_by_their_median() -> None:
    ours = values(l0=[(0, 1.0), (0, 4.0), (0, 100.0)])
    assert paired_log_ratios(ours, values(l0=[(0, 2.0)])) == ((math.log(2),),)


def test_nothing_in_common_gives_no_pairs() -> None:
    assert paired_log_ratios(values(l0=[(0, 1.0)]), values(l1=[(1, 1.0)])) == ()


@given(st.lists(st.floats(1e-3, 1e3), min_size=1, max_size=8))
def test_an_arm_against_itself_is_0_and_swapping_turns_the_sign(numbers: list[float]) -> None:
    ours = values(l0=list(enumerate(numbers)))
    theirs = values(l0=[(block, 2 * value) for block, value in enumerate(numbers)])
    assert paired_log_ratios(ours, ours) == ((0.0,) * len(numbers),)
    (forth,), (back,) = paired_log_ratios(ours, theirs), paired_log_ratios(theirs, ours)
    assert forth == pytest.approx([-each for each in back])


def test_zero_has_no_ratio() -> None:
    with pytest.raises(MeasurementError, match="has the value 0") as raised:
        paired_log_ratios(values(l0=[(0, 0.0)]), values(l0=[(0, 1.0)]))
    assert raised.value.where == "launch 0, block 0"
    with pytest.raises(MeasurementError, match="has the value 0") as raised:
        paired_log_ratios(values(l2=[(5, 1.0)]), values(l2=[(5, 0.0)]))
    assert raised.value.where == "launch 2, block 5"


def test_arms_that_shared_no_block_are_compared_through_one_that_played_with_both() -> None:
    # The machine is twice as slow in the second group, and the reference three times as slow in its second block.
    reference = values(l0=[(0, 1.0), (1, 3.0), (2, 2.0), (3, 2.0)])
    ours, theirs = values(l0=[(0, 4.0), (1, 12.0)]), values(l0=[(2, 4.0), (3, 4.0)])
    assert paired_log_ratios(ours, theirs) == ()
    (found,) = log_ratios_through(ours, theirs, [reference])
    assert found == pytest.approx((math.log(2), math.log(2)))
    (back,) = log_ratios_through(theirs, ours, [reference])
    assert back == pytest.approx((-math.log(2), -math.log(2)))


def test_what_was_played_together_is_not_compared_through_another() -> None:
    reference = values(l0=[(0, 1.0)], l1=[(1, 1.0), (2, 8.0)])
    ours, theirs = values(l0=[(0, 2.0)], l1=[(1, 6.0)]), values(l0=[(0, 1.0)], l1=[(2, 8.0)])
    assert log_ratios_through(ours, theirs, [reference]) == ((math.log(2),), (pytest.approx(math.log(6)),))


def test_a_reference_that_did_not_play_with_both_in_one_launch_tells_nothing() -> None:
    ours, theirs = values(l0=[(0, 2.0)], l1=[(2, 2.0)]), values(l0=[(1, 1.0)], l1=[(3, 1.0)])
    assert log_ratios_through(ours, theirs, [values(l0=[(0, 1.0)], l1=[(3, 1.0)])]) == ()
    assert log_ratios_through(ours, theirs, [ours, theirs]) == ()


def test_of_two_references_the_one_with_more_pairs_is_taken() -> None:
    ours, theirs = values(l0=[(0, 2.0), (1, 2.0)]), values(l0=[(2, 1.0), (3, 1.0)])
    many = values(l0=[(0, 1.0), (1, 1.0), (2, 1.0), (3, 1.0)])
    for other in (0.1, 9.0):
        few = values(l0=[(0, other), (2, 1.0)])
        for references in ([few, many], [many, few]):
            assert log_ratios_through(ours, theirs, references) == ((math.log(2), math.log(2)),)


def test_a_reference_that_played_less_with_one_of_both_tells_as_far_as_both_go() -> None:
    ours, theirs = values(l0=[(0, 2.0), (1, 2.0)]), values(l0=[(2, 1.0)])
    reference = values(l0=[(0, 1.0), (1, 8.0), (2, 1.0)])
    assert log_ratios_through(ours, theirs, [reference]) == ((math.log(2),),)
    assert log_ratios_through(theirs, ours, [reference]) == ((-math.log(2),),)
