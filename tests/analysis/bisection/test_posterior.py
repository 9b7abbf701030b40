"""The posterior of a bisection against the sum over all paths, and what it says to measure next."""

import itertools
import math

import numpy as np
import pytest

from harness.analysis.bisection.posterior import BAD, EXTRA_STEPS, GOOD, LEVELS, USUAL, LevelReading, Posterior


def reading(place: int, level: float, error: float = 0.1) -> LevelReading:
    return LevelReading(place=place, level=level, error=error, freedom=20.0)


def every_path(count: int, readings: list[LevelReading]) -> dict[tuple[int, ...], float]:
    """Path of levels → its probability, by summing over all of them."""
    change = EXTRA_STEPS / (count - 1)
    weights = {
        one: {other: USUAL if other in (GOOD, BAD) else 1.0 for other in range(len(LEVELS)) if other != one}
        for one in range(len(LEVELS))
    }
    found = {}
    for inner in itertools.product(range(len(LEVELS)), repeat=count - 2):
        path = (GOOD, *inner, BAD)
        log = sum(float(each.log_likelihoods()[path[each.place]]) for each in readings)
        for one, other in itertools.pairwise(path):
            log += math.log(1 - change if one == other else change * weights[one][other] / sum(weights[one].values()))
        found[path] = math.exp(log)
    total = sum(found.values())
    return {path: weight / total for path, weight in found.items()}


@pytest.mark.parametrize(
    "readings",
    [
        [],
        [reading(2, 0.1)],
        [reading(1, 0.9), reading(3, 0.05)],
        [reading(2, 0.5, 0.02), reading(2, 0.45, 0.3), reading(1, -0.4)],
    ],
)
def test_it_is_the_sum_over_all_paths(readings: list[LevelReading]) -> None:
    count = 5
    paths = every_path(count, readings)
    found = Posterior(count, readings)
    for place in range(count):
        for level in range(len(LEVELS)):
            told = sum(weight for path, weight in paths.items() if path[place] == level)
            assert found.levels[place, level] == pytest.approx(told, abs=1e-9)
    for gap in range(count - 1):
        told = sum(weight for path, weight in paths.items() if path[gap] != path[gap + 1])
        assert found.changes[gap] == pytest.approx(told, abs=1e-9)
    for gaps in ((0,), (2,), (0, 3), (0, 1, 2, 3)):
        told = sum(
            weight
            for path, weight in paths.items()
            if {gap for gap in range(count - 1) if path[gap] != path[gap + 1]} == set(gaps)
        )
        assert found.changes_exactly_at(gaps) == pytest.approx(told, abs=1e-9)


def test_a_skipped_place_leaves_a_longer_gap() -> None:
    found = Posterior(4, [], skipped={2})
    assert list(found.places) == [0, 1, 3]
    # Two steps lie in the second gap, so that it is twice as probable.
    assert found.changes[1] / found.changes[0] == pytest.approx(2, rel=0.1)


def test_the_middle_is_measured_first_then_the_half_that_is_left() -> None:
    assert Posterior(13, []).most_telling(0.1) == 6
    assert Posterior(13, [reading(6, 1.0)]).most_telling(0.1) == 3
    assert Posterior(13, [reading(6, 0.0)]).most_telling(0.1) == 9
    assert Posterior(13, [reading(6, 1.0), reading(3, 0.0)]).most_telling(0.1) in (4, 5)


def test_a_place_that_is_unclear_is_measured_again() -> None:
    unclear = [reading(2, 0.5, 0.4), reading(1, 0.0), reading(3, 1.0)]
    assert Posterior(5, unclear).most_telling(0.1) == 2


def test_nothing_is_left_between_neighbours() -> None:
    assert Posterior(2, []).most_telling(0.1) is None
    assert Posterior(4, [], skipped={1, 2}).most_telling(0.1) is None


def test_many_places_and_exact_readings_stay_finite() -> None:
    readings = [LevelReading(place=place, level=float(place > 150), error=0.0, freedom=1e9) for place in (150, 151)]
    found = Posterior(300, readings * 20)
    assert np.isfinite(found.levels).all()
    assert found.changes_exactly_at({150}) > 0.95
