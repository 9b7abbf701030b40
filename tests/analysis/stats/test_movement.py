"""Parts that moved with their figure: by hand, and over many seeds how often one is named that did not move."""

import math

import numpy as np
import pytest

from harness.analysis.stats.fdr import harmonic
from harness.analysis.stats.grouped import Grouped
from harness.analysis.stats.movement import FAMILY_ALPHA, PartPairs, added, movements

LAUNCHES, PAIRS, OPERATORS = 3, 4, 40


def steady(ours: float, theirs: float) -> PartPairs:
    """Three launches of four pairs without any noise."""
    return PartPairs(candidate=((ours,) * PAIRS,) * LAUNCHES, reference=((theirs,) * PAIRS,) * LAUNCHES)


def names(parts: dict[str, PartPairs], *, rose: bool, least: float = 0.01) -> list[str]:
    return [each.name for each in movements(parts, rose=rose, least=least).named]


class TestByHand:
    def test_the_strongest_comes_first_with_what_it_contributes(self) -> None:
        parts = {"a": steady(10.0, 9.0), "b": steady(70.0, 60.0), "same": steady(31.0, 31.0)}
        found = movements(parts, rose=True, least=0.01)
        assert found.total == pytest.approx(11.0)
        assert [(each.name, each.before, each.after) for each in found.named] == [("b", 60.0, 70.0), ("a", 9.0, 10.0)]
        assert found.named[0].change.point == pytest.approx(10.0)
        assert found.named[0].change.level == pytest.approx(1 - FAMILY_ALPHA * 2 / (3 * harmonic(3)))

    def test_what_moved_the_other_way_is_not_named(self) -> None:
        parts = {"slower": steady(15.0, 10.0), "quicker": steady(40.0, 60.0)}
        assert names(parts, rose=False) == ["quicker"]

    def test_nothing_is_named_where_the_whole_moved_the_other_way(self) -> None:
        parts = {"slower": steady(30.0, 10.0), "quicker": steady(40.0, 45.0)}
        found = movements(parts, rose=False, least=0.01)
        assert found.total == pytest.approx(15.0)
        assert found.named == ()

    def test_what_moved_the_whole_by_too_little_is_not_named(self) -> None:
        parts = {"large": steady(110.0, 100.0), "small": steady(1.5, 1.0)}
        assert names(parts, rose=True) == ["large"]

    def test_parts_too_small_to_be_named_do_not_widen_the_others(self) -> None:
        parts = {"large": steady(110.0, 100.0), **{f"tiny{number}": steady(0.1, 0.1) for number in range(30)}}
        (only,) = movements(parts, rose=True, least=0.01).named
        assert only.change.level == pytest.approx(1 - FAMILY_ALPHA)

    def test_two_pairs_say_nothing(self) -> None:
        few = PartPairs(candidate=((2.0, 2.0),), reference=((1.0, 1.0),))
        assert movements({"a": few}, rose=True, least=0.01).total is None

    def test_a_part_that_only_one_side_has_is_named(self) -> None:
        assert names({"ConvInteger": steady(10.0, 0.0), "Conv": steady(50.0, 50.0)}, rose=True) == ["ConvInteger"]

    def test_without_any_time_there_is_nothing(self) -> None:
        assert movements({"a": steady(0.0, 0.0)}, rose=True, least=0.01).total is None


def noisy(generator: np.random.Generator, *, changed: float = 0.0, launch_sd: float = 0.01) -> dict[str, PartPairs]:
    """Forty operators of unequal size whose times scatter by 5 % and by `launch_sd` from process to process.

    The first moves by `changed`, a log-ratio.
    """
    sizes = 100 / np.arange(1, OPERATORS + 1)
    shape = (2, OPERATORS, LAUNCHES, PAIRS)
    logs = 0.05 * generator.standard_normal(shape) + launch_sd * generator.standard_normal((*shape[:3], 1))
    logs[0, 0] += changed
    times = sizes[None, :, None, None] * np.exp(logs)

    def grouped(table: np.ndarray) -> Grouped:
        return tuple(tuple(map(float, launch)) for launch in table)

    return {
        f"op{number}": PartPairs(candidate=grouped(times[0, number]), reference=grouped(times[1, number]))
        for number in range(OPERATORS)
    }


def named_in(seed: int, *, changed: float = 0.0) -> list[str]:
    """What is named where the figure is said to have risen."""
    parts = noisy(np.random.default_rng(seed), changed=changed)
    return [each.name for each in movements(parts, rose=True, least=0.001, launch_sd=0.02).named]


def test_of_forty_operators_that_did_not_move_none_is_named() -> None:
    alarms = sum(bool(named_in(seed)) for seed in range(300))
    assert alarms <= 300 * FAMILY_ALPHA, "at most 1 %, both directions together; here only one can be named"


def test_the_one_that_moved_is_named_and_the_others_are_not() -> None:
    found = [named_in(seed, changed=math.log(1.3)) for seed in range(1_000, 1_100)]
    assert sum("op0" in each for each in found) >= 90
    assert sum(bool(set(each) - {"op0"}) for each in found) <= 2


class TestAdded:
    """What disturbed repetitions add to the mean of all."""

    def test_a_share_of_the_difference(self) -> None:
        found = added(disturbed=((2.0, 2.0), (2.0, 2.0)), calm=((1.0, 1.0), (1.0, 1.0)))
        assert found is not None
        assert (found.point, found.low, found.high) == (0.5, 0.5, 0.5)

    def test_what_launches_differ_by_is_left_out(self) -> None:
        found = added(disturbed=((2.0, 2.0), (12.0, 12.0)), calm=((1.0, 1.0), (11.0, 11.0)))
        assert found is not None
        assert found.point == pytest.approx(0.5)

    def test_noise_is_told_by_an_interval_around_zero(self) -> None:
        generator = np.random.default_rng(1)
        disturbed, calm = (tuple(generator.normal(1.0, 0.1, 10)) for _ in range(2))
        found = added(disturbed=(disturbed,), calm=(calm,))
        assert found is not None
        assert found.low < 0 < found.high

    def test_three_of_each_kind_are_needed(self) -> None:
        assert added(disturbed=((2.0, 2.0),), calm=((1.0,) * 9,)) is None
        assert added(disturbed=((2.0,) * 9, ()), calm=((), (1.0,) * 9)) is None
