import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.analysis.stats import anova
from harness.analysis.stats.grouped import Grouped
from harness.analysis.stats.paired import (
    SLICED_LAUNCH_SD,
    deferred_estimates,
    launch_inflation,
    launch_scatter,
    log_ratio_estimate,
)


def table(seed: int, *, launches: int = 3, blocks: int = 8, sd: float = 0.03) -> Grouped:
    return tuple(map(tuple, np.random.default_rng(seed).normal(0.0, sd, (launches, blocks)).tolist()))


def test_two_pairs_say_nothing() -> None:
    assert log_ratio_estimate(((0.1, 0.2),), level=0.95) is None
    assert log_ratio_estimate((), level=0.95) is None


def test_one_pair_a_launch_is_students_over_launches() -> None:
    estimate = log_ratio_estimate(((0.01,), (0.02,), (0.03,)), level=0.95)
    assert estimate is not None
    assert estimate.point == pytest.approx(0.02)
    assert estimate.high - estimate.point == pytest.approx(4.302653 * 0.01 / math.sqrt(3), rel=1e-6)
    assert estimate.method == "paired log-ratio, t over launches"


def test_one_pair_a_launch_among_ordinary_duels_stops_nothing() -> None:
    first, second = deferred_estimates([((0.01,), (0.02,), (0.03,)), table(1)])
    assert first is not None
    assert second is not None
    assert first.method == "paired log-ratio, t over launches"
    assert second.method == "paired log-ratio, t over pairs"


def test_two_launches_that_disagree_leave_one_degree_of_freedom() -> None:
    differing = tuple(tuple(level + value for value in row) for level, row in zip((0, 0.5), table(1), strict=False))
    (found,) = deferred_estimates([differing])
    assert found is not None
    assert (found.freedom, found.launches) == (1.0, 2)
    assert found.method == "paired log-ratio, t over launches, which disagree"


def test_the_presumed_inflation_and_the_presumed_scatter_add_up() -> None:
    duels = [table(1), table(2), table(3)]
    fitted = anova.fit(np.array(duels))
    # A mean of eight pairs has a variance of within / 8; launches of their own scatter add 0.02².
    presumed = 3.0 + 8 * 0.02**2 / fitted.within
    shared = anova.common(fitted, presumed=presumed, groups=np.array([0, 1, 0]))
    expected = anova.spread(fitted, shared)
    found = deferred_estimates(duels, scenarios=["a", "b", "a"], launch_inflation=3.0, launch_sd=0.02)
    assert [one.error for one in found if one] == pytest.approx(expected.error.tolist(), rel=1e-12)
    assert [one.point for one in found if one] == pytest.approx(expected.point.tolist(), rel=1e-12)


def test_nothing_is_presumed_of_launches_unless_it_is_said() -> None:
    duels = [table(1), table(2)]
    assert (
        deferred_estimates(duels)
        == deferred_estimates(duels, launch_inflation=1.0, launch_sd=0.0)
        != deferred_estimates(duels, launch_inflation=9.0)
    )


def test_a_duel_of_one_launch_or_of_one_pair_a_launch_tells_nothing_of_launches() -> None:
    rng = np.random.default_rng(5)
    duels = [tuple(map(tuple, (rng.normal(0, 0.02, (3, 1)) + rng.normal(0, 0.01, (3, 8))).tolist())) for _ in range(9)]
    drifting: Grouped = (tuple(0.01 * block for block in range(30)),)
    for silent in (drifting, ((0.1,), (0.9,), (0.4,))):
        assert launch_inflation([*duels, silent]) == launch_inflation(duels) > 1.0
        assert launch_scatter([*duels, silent]) == launch_scatter(duels)


def test_duels_without_named_scenarios_are_witnesses_each() -> None:
    duels = [table(1), table(2), table(3)]
    unnamed, each, one = (
        deferred_estimates(duels, scenarios=names, launch_inflation=3.0)
        for names in (None, ["a", "b", "c"], ["a", "a", "a"])
    )
    assert unnamed == each != one


def test_duels_of_two_launches_tell_how_much_launches_differ() -> None:
    apart = [
        tuple(tuple(shift + v for v in row) for shift, row in zip((0, 0.3), table(n), strict=False)) for n in range(9)
    ]
    assert launch_inflation(apart) > 10
    assert launch_scatter(apart) > 0.1


def test_launches_that_disagree_decide_by_themselves() -> None:
    differing = tuple(tuple(level + value for value in row) for level, row in zip((0, 0.2, 0.4), table(1), strict=True))
    estimate = log_ratio_estimate(differing, level=0.95)
    assert estimate is not None
    assert estimate.method == "paired log-ratio, t over launches, which disagree"
    # t with two degrees of freedom times 0.2/√3.
    assert estimate.high - estimate.point == pytest.approx(4.30 * 0.2 / math.sqrt(3), rel=0.1)


def test_a_duel_among_others_is_judged_by_its_own_place() -> None:
    found = deferred_estimates([((),), table(1), ((0.1,),), table(2)])
    assert [one is not None for one in found] == [False, True, False, True]
    alone = deferred_estimates([table(2)])[0]
    assert alone is not None
    assert found[3] is not None
    assert found[3].point == pytest.approx(alone.point)


def test_calibration_tells_what_three_launches_cannot() -> None:
    rng = np.random.default_rng(1)
    duels = [
        tuple(map(tuple, (rng.normal(0, 0.03, (3, 1)) + rng.normal(0, 0.01, (3, 8))).tolist())) for _ in range(100)
    ]
    measured = launch_inflation(duels)
    # Expected 1 + 8 · 9 = 73, less the presumption's twenty degrees of freedom in 220.
    assert measured == pytest.approx(73 * 200 / 220, rel=0.25)
    # Launches that happen to agree are believed less on such a machine.
    (lucky,), (wary,) = deferred_estimates([table(5)]), deferred_estimates([table(5)], launch_inflation=measured)
    assert lucky is not None
    assert wary is not None
    assert wary.error > 4 * lucky.error
    assert launch_inflation([table(seed) for seed in range(200)]) == pytest.approx(1.0, abs=0.2)
    assert launch_inflation([((0.1,), (0.2,))]) == 1.0


def sliced(number: int, *, launch_sd: float, seed: int = 1) -> list[Grouped]:
    """Duels of four launches of five pairs, of which every other is played in loud minutes."""
    rng = np.random.default_rng(seed)
    found: list[Grouped] = []
    for duel in range(number):
        pairs = rng.normal(0, launch_sd, (4, 1)) + rng.normal(0, 0.04 if duel % 2 else 0.01, (4, 5))
        found.append(tuple(map(tuple, pairs.tolist())))
    return found


def test_what_launches_scatter_by_of_their_own_is_learned_in_quiet_minutes_and_in_loud_ones() -> None:
    known = [launch_scatter(sliced(200, launch_sd=sd)) for sd in (0.0, 0.006, 0.03)]
    assert known == pytest.approx([0.0, 0.006, 0.03], rel=0.1, abs=0.003)
    assert launch_scatter(sliced(200, launch_sd=0.006)[1::2]) == pytest.approx(0.006, abs=0.006)


def test_what_was_presumed_of_launches_is_left_slowly() -> None:
    assert launch_scatter([]) == SLICED_LAUNCH_SD
    assert launch_scatter([((0.1,), (0.2,))]) == SLICED_LAUNCH_SD, "one pair a launch tells nothing of launches"
    few, many = (launch_scatter(sliced(number, launch_sd=0.0), presumed=0.008) for number in (2, 100))
    assert 0.008 > few > many
    assert launch_scatter(sliced(2, launch_sd=0.0), presumed=0.0) == 0.0
    assert launch_scatter([((0.0,) * 4,) * 3] * 10) == SLICED_LAUNCH_SD, "what never varies tells nothing either"


@given(st.integers(0, 10_000), st.floats(0.001, 0.3))
def test_swapping_the_arms_mirrors_the_estimate(seed: int, sd: float) -> None:
    pairs = table(seed, sd=sd)
    one = log_ratio_estimate(pairs, level=0.99)
    other = log_ratio_estimate(tuple(tuple(-value for value in row) for row in pairs), level=0.99)
    assert one is not None
    assert other is not None
    assert other.point == pytest.approx(-one.point, abs=1e-12)
    assert (other.low, other.high) == pytest.approx((-one.high, -one.low), abs=1e-12)


@pytest.mark.parametrize("kind", ["gaussian", "heavy", "half speed"])
def test_the_interval_covers_as_often_as_it_says(kind: str) -> None:
    rng = np.random.default_rng(20240607)
    tries, missed = 400, 0
    for _ in range(tries):
        values = rng.normal(0, 0.03, (3, 8)) if kind != "heavy" else 0.03 * rng.standard_t(3, (3, 8))
        if kind == "half speed":
            values = np.where(rng.random((3, 8)) < 0.05, values + math.log(2) * rng.choice([-1, 1], (3, 8)), values)
        estimate = log_ratio_estimate(tuple(map(tuple, values.tolist())), level=0.95)
        assert estimate is not None
        missed += not estimate.low <= 0 <= estimate.high
    assert 0.005 < missed / tries < 0.075


def test_a_few_single_values_are_weighed_with_what_is_presumed_of_them() -> None:
    """Three launches that by chance agree, and three that cannot be what was presumed."""
    alike, apart = ((0.05,), (0.0501,), (0.0499,)), ((0.01,), (0.05,), (0.15,))
    bare, bare_apart = deferred_estimates([alike, apart])
    weighed, overruled = deferred_estimates([alike, apart], pair_sds=[0.007, 0.007])
    assert bare is not None
    assert weighed is not None
    assert (weighed.point, weighed.freedom, bare.freedom) == (bare.point, 22.0, 2.0)
    assert weighed.error == pytest.approx(0.007 * math.sqrt(20 / 22 / 3), rel=0.01)
    assert overruled is not None
    assert bare_apart is not None
    assert (overruled.error, overruled.freedom) == (bare_apart.error, bare_apart.freedom)
    assert overruled.method.endswith("which disagree")
