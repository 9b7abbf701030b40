import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from harness.analysis.changepoints.detect import ChangePoint, change_points, change_points_of, unreported
from harness.analysis.changepoints.scan import Shapes, bumps, largest, scan, steps


def series(seed: int, *, runs: int = 100, sd: float = 0.02) -> NDArray[np.float64]:
    return np.random.default_rng(seed).normal(0.0, sd, runs)


def stepped(seed: int, at: int, size: float, *, runs: int = 100, until: int | None = None) -> list[float]:
    values = series(seed, runs=runs)
    values[at:until] += size
    return [float(value) for value in values]


def test_one_step_is_one_change_at_the_step_with_its_size() -> None:
    (change,) = change_points(stepped(1, 60, 0.05))
    assert abs(change.index - 60) <= 1
    assert change.low < 0.05 < change.high
    assert change.size == pytest.approx(0.05, abs=0.01)
    assert change.before + change.after == 100
    assert change.p_value == pytest.approx(1 / 400)


def test_a_large_step_is_found_the_next_morning_and_has_one_alert() -> None:
    for after in (1, 2, 5, 20, 50):
        changes = change_points(stepped(2, 100 - after, 0.15))
        assert [change.index for change in changes] == [100 - after]


def test_a_step_and_its_return_are_two_changes() -> None:
    found = change_points(stepped(3, 40, 0.06, until=60))
    assert [round(change.size, 1) for change in found] == [0.1, -0.1]
    assert [abs(change.index - truth) <= 2 for change, truth in zip(found, (40, 60), strict=True)] == [True, True]


def test_a_slow_creep_of_three_steps_is_three_changes() -> None:
    values = series(4, sd=0.01)
    for at in (30, 55, 80):
        values[at:] += 0.06
    assert [change.index for change in change_points(list(values))] == pytest.approx([30, 55, 80], abs=2)


def test_single_outliers_are_no_steps() -> None:
    values = series(5)
    values[[20, 50, 80]] += 0.7
    assert change_points(list(values)) == ()


def test_short_and_constant_series_have_none() -> None:
    assert change_points(stepped(1, 5, 1.0, runs=9)) == ()
    assert change_points([1.0] * 50) == ()
    assert change_points([]) == ()


def test_a_step_without_noise_is_found_at_its_place() -> None:
    (change,) = change_points([0.0] * 30 + [0.1] * 30)
    assert change.index == 30
    assert (change.low, change.high) == pytest.approx((0.1, 0.1))


def test_figures_that_come_in_a_few_sizes_do_not_step_wherever_two_of_a_kind_meet() -> None:
    sizes = np.random.default_rng(8).choice([20.0, 20.1], size=(40, 60))
    assert sum(bool(found) for found in change_points_of(sizes.tolist())) <= 6
    # One arrangement of twelve in 220 is as orderly as that.
    twelve = [20.0] * 9 + [20.1] * 3
    (change,) = change_points(twelve)
    assert change.p_value == pytest.approx(1 / 220)
    assert change_points(twelve, alpha=0.005) == ()


def test_a_step_smaller_than_the_least_is_none() -> None:
    values = stepped(9, 50, 0.05)
    assert len(change_points(values, least=0.03)) == 1
    assert change_points(values, least=0.08) == ()
    assert change_points([0.0] * 30 + [0.004] * 30, least=0.01) == ()


def test_series_that_are_searched_together_are_found_as_each_alone() -> None:
    every = [stepped(seed, at, size, runs=runs) for seed, at, size, runs in (
        (1, 60, 0.05, 100), (2, 50, 0.0, 100), (3, 97, 0.15, 100), (4, 20, 0.3, 60), (5, 5, 0.3, 8), (6, 10, 0.0, 12),
    )]  # fmt: skip
    every.append([0.0] * 30 + [0.1] * 30)
    together = change_points_of(every)
    assert together == [change_points(each) for each in every]
    assert [len(found) for found in together] == [1, 0, 1, 1, 0, 0, 1]


@pytest.mark.parametrize("kind", [steps(60, last=1), bumps(60)])
def test_the_quick_statistic_of_rebuilt_series_is_the_one_of_the_series_itself(kind: Shapes) -> None:
    values = np.random.default_rng(10).normal(3.0, 1.0, (50, 60))
    values[:10, 30:] += 4.0
    values[10:20] = np.cumsum(values[10:20] - 3.0, -1)
    assert largest(values, kind) == pytest.approx(scan(values, kind).statistic)


def test_the_same_series_has_the_same_changes() -> None:
    values = stepped(6, 50, 0.02)
    assert change_points(values, alpha=0.05) == change_points(values, alpha=0.05)


@pytest.mark.parametrize("kind", ["gaussian", "heavy", "autoregressive"])
def test_series_without_a_step_rarely_alert(kind: str) -> None:
    rng = np.random.default_rng(20240607)
    alerts = 0
    for _ in range(100):
        values = rng.standard_t(3, 100) if kind == "heavy" else rng.normal(0, 1, 100)
        if kind == "autoregressive":
            for run in range(1, 100):
                values[run] += 0.5 * values[run - 1]
        alerts += bool(change_points(list(0.02 * values), alpha=0.05))
    # 5 expected, more than 12 with a probability of about 0.1 %; uncorrected tests over all splits give 22 to 68.
    assert alerts <= 12


def test_small_fresh_steps_are_found_as_often_as_documented() -> None:
    found = [sum(bool(change_points(stepped(seed, 100 - after, 0.05))) for seed in range(40)) for after in (2, 5)]
    assert found[0] >= 10
    assert found[1] >= 33


@settings(max_examples=20)
@given(st.floats(-10, 10), st.floats(0.01, 10), st.integers(0, 50))
def test_level_and_unit_change_no_place(level: float, unit: float, seed: int) -> None:
    values = np.array(stepped(seed, 60, 0.05, runs=80))
    one, other = change_points(list(values)), change_points(list(values * unit + level))
    assert [change.index for change in one] == [change.index for change in other]
    assert [change.size * unit for change in one] == pytest.approx([change.size for change in other], rel=1e-6)


@pytest.mark.parametrize("rho", [0.0, 0.4, 0.8])
def test_the_variance_of_a_difference_is_that_of_the_autoregression(rho: float) -> None:
    runs = 12
    covariance = rho ** np.abs(np.subtract.outer(np.arange(runs), np.arange(runs)))
    shapes = Shapes(starts=np.array([7, 3, 5]), stops=np.array([12, 6, 11]), runs=runs)
    for place, variance in enumerate(shapes.variance(np.array([[rho]]))[0]):
        inside = (np.arange(runs) >= shapes.starts[place]) & (np.arange(runs) < shapes.stops[place])
        weights = np.where(inside, 1 / inside.sum(), -1 / (~inside).sum())
        assert variance == pytest.approx(weights @ covariance @ weights)


def test_places_leave_enough_runs_on_every_side() -> None:
    single = steps(30, last=3)
    assert (single.starts.min(), single.starts.max()) == (5, 27)
    pairs = bumps(100)
    assert pairs.starts.min() >= 5
    assert (pairs.stops - pairs.starts).min() >= 3
    assert pairs.stops.max() <= 97
    assert scan(np.array([[0.0] * 15 + [1.0] * 15]), single).start[0] == 15


def test_a_change_is_reported_once_although_its_place_moves_a_little() -> None:
    (change,) = change_points(stepped(1, 60, 0.05))
    assert unreported([change], []) == (change,)
    assert unreported([change], [change.index - 4]) == ()
    assert unreported([change], [change.index - 20]) == (change,)
    assert isinstance(change, ChangePoint)
