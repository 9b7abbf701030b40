import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.analysis.stats.estimate import deferred_median, median_estimate, summarise
from harness.analysis.stats.grouped import Grouped, count, flat, logs
from harness.analysis.stats.launch_prior import LaunchPrior
from harness.core.errors import MeasurementError
from harness.core.records.verdict import Estimate, Summary


def summary(values: Grouped, *, reason: str = "") -> Summary:
    return summarise(scenario_id="s", metric="latency", definition=1, values=values, level=0.95, reason=reason)


def ramp(n: int) -> Grouped:
    return (tuple(float(i) for i in range(1, n + 1)),)


@pytest.mark.parametrize(
    ("n", "printed"),
    [(19, []), (20, ["p90"]), (39, ["p90"]), (40, ["p90", "p95"]), (199, ["p90", "p95"]), (200, ["p90", "p95", "p99"])],
)
def test_a_percentile_that_n_cannot_carry_is_not_there(n: int, printed: list[str]) -> None:
    found = summary(ramp(n))
    assert [name for name in ("p90", "p95", "p99") if getattr(found, name) is not None] == printed


def test_quantiles_are_numpys_default() -> None:
    found = summary(ramp(40))
    assert (found.n, found.minimum, found.maximum) == (40, 1.0, 40.0)
    assert (found.q1, found.median, found.q3) == (10.75, 20.5, 30.25)
    assert found.p90 == pytest.approx(36.1)
    assert found.p95 == pytest.approx(38.05)


def test_no_value_is_none_with_the_reason() -> None:
    found = summary(((), ()), reason="the server never answered")
    assert (found.n, found.median, found.interval) == (0, None, None)
    assert found.reason == "the server never answered"
    assert summary(()).reason == "no valid repetition"


def test_one_value_has_a_median_and_no_interval() -> None:
    found = summary(((2.0,),))
    assert (found.n, found.median, found.interval) == (1, 2.0, None)


def test_a_value_that_is_not_finite_is_refused() -> None:
    with pytest.raises(MeasurementError, match="nan"):
        summary(((1.0, float("nan")),))


def test_launches_that_differ_make_the_interval_theirs() -> None:
    rng = np.random.default_rng(1)
    agreeing = tuple(tuple(rng.normal(1.0, 0.02, 20)) for _ in range(3))
    differing = tuple(tuple(level + rng.normal(0, 0.02, 20)) for level in (0.9, 1.0, 1.1))
    same, other = median_estimate(agreeing, level=0.95), median_estimate(differing, level=0.95)
    assert same is not None
    assert other is not None
    assert same.method == "median, t over blocks, launches agreeing"
    assert other.method == "median, t over launches"
    assert other.high - other.low > 10 * (same.high - same.low)


def test_one_launch_says_what_its_interval_leaves_out() -> None:
    estimate = median_estimate(tuple(tuple(100 + value for value in launch) for launch in ramp(20)), level=0.95)
    assert estimate is not None
    assert "what differs between processes is not in it" in estimate.method


def test_one_value_a_launch_is_students_over_launches() -> None:
    estimate = median_estimate(((-1.0,), (0.0,), (1.0,)), level=0.95)
    assert estimate is not None
    # sd 1, three launches, a median's error 1.2533 times a mean's, t with two degrees of freedom.
    assert estimate.high == pytest.approx(4.302653 * 1.2533141 / np.sqrt(3), rel=1e-6)
    assert estimate.low == -estimate.high


def test_times_have_an_interval_above_zero() -> None:
    estimate = median_estimate(((0.85,), (1.0,), (1.15,)), level=0.95)
    assert estimate is not None
    assert 0 < estimate.low < estimate.point == 1.0 < estimate.high
    # On the values themselves it would begin at 1 − 4.30 · 1.2533 · 0.15 / √3 = 0.53, on logarithms at about 0.62.
    assert estimate.low > 0.6


@pytest.mark.parametrize(
    "values",
    [((1.0, 1.01),), ((1.0,), (1.01,)), ((0.1,), (1.0,), (10.0,)), ((0.5, 1.5), (0.6, 1.7))],
    ids=["two of a launch", "two launches", "three orders of magnitude", "as wide as the figure"],
)
def test_too_few_values_have_no_interval_that_would_say_nothing(values: Grouped) -> None:
    assert median_estimate(values, level=0.95) is None


def test_a_share_stays_between_its_bounds_and_is_as_narrow_as_its_values() -> None:
    near = median_estimate(((0.98, 0.99, 0.985), (0.97, 0.99, 0.995)), level=0.99, bounds=(0.0, 1.0))
    assert near is not None
    assert 0.9 < near.low < near.point < near.high < 1
    assert near.method.endswith(", on logits")
    middle = median_estimate(((0.5, 0.51, 0.49), (0.5, 0.52, 0.48)), level=0.95, bounds=(0.0, 1.0))
    plain = median_estimate(((1.5, 1.51, 1.49), (1.5, 1.52, 1.48)), level=0.95)
    assert middle is not None
    assert plain is not None
    assert middle.high - middle.low == pytest.approx(plain.high - plain.low, rel=0.02)


def test_values_on_a_bound_have_an_interval_that_ends_there() -> None:
    found = median_estimate(((1.0, 1.0, 0.9), (1.0, 0.95, 1.0)), level=0.95, bounds=(0.0, 1.0))
    assert found is not None
    assert found.low < found.point == found.high == 1.0
    stalls = median_estimate(((0.0, 0.0, 0.4), (0.0, 0.1, 0.0)), level=0.95, bounds=(0.0, math.inf))
    assert stalls is not None
    assert stalls.low == stalls.point == 0.0 < stalls.high


def test_a_share_of_which_all_is_possible_has_no_interval() -> None:
    assert median_estimate(((0.1, 0.9, 0.2), (0.05, 0.95, 0.9)), level=0.95, bounds=(0.0, 1.0)) is None


@given(
    st.lists(st.lists(st.floats(0.0, 1.0), min_size=1, max_size=6), min_size=1, max_size=4),
    st.sampled_from([(0.0, 1.0), (0.0, math.inf), (-1.0, 2.0), (-math.inf, math.inf)]),
)
def test_no_interval_leaves_its_bounds(table: list[list[float]], bounds: tuple[float, float]) -> None:
    found = median_estimate(tuple(map(tuple, table)), level=0.95, bounds=bounds)
    if found is not None:
        assert count(tuple(map(tuple, table))) >= 3
        assert bounds[0] <= found.low <= found.point <= found.high <= bounds[1]


def test_a_stretch_at_half_speed_does_not_drag_the_interval() -> None:
    rng = np.random.default_rng(2)
    table = rng.normal(1.0, 0.02, (3, 20))
    clean = median_estimate(tuple(map(tuple, table)), level=0.95)
    table[1, 5:9] *= 2
    slowed = median_estimate(tuple(map(tuple, table)), level=0.95)
    assert clean is not None
    assert slowed is not None
    assert slowed.high < 1.06
    assert slowed.point == pytest.approx(clean.point, abs=0.01)


@pytest.mark.parametrize(("launch_sd", "block_sd"), [(0.0, 0.03), (0.03, 0.01), (0.01, 0.02)])
def test_the_interval_covers_the_median_as_often_as_it_says(launch_sd: float, block_sd: float) -> None:
    rng = np.random.default_rng(20240607)
    tries, missed = 400, 0
    for _ in range(tries):
        table = np.exp(rng.normal(0, launch_sd, (3, 1)) + rng.normal(0, block_sd, (3, 12)))
        estimate = median_estimate(tuple(map(tuple, table)), level=0.95)
        assert estimate is not None
        missed += not estimate.low <= 1 <= estimate.high
    # Three launches cannot always tell that they differ a little: the preliminary test costs some coverage, no more.
    assert missed / tries < 0.11


@given(st.lists(st.lists(st.floats(0.001, 1000), min_size=1, max_size=9), min_size=1, max_size=4), st.floats(0.01, 100))
def test_a_change_of_unit_changes_nothing_else(table: list[list[float]], unit: float) -> None:
    values = tuple(tuple(launch) for launch in table)
    scaled = tuple(tuple(value * unit for value in launch) for launch in table)
    one, other = median_estimate(values, level=0.9), median_estimate(scaled, level=0.9)
    if one is None or other is None:
        assert one is other
        return
    assert other.point == pytest.approx(one.point * unit)
    assert one.low <= one.point <= one.high


def test_zero_in_grouped_values_leaves_no_logs() -> None:
    assert flat(((1.0, 2.0), (), (3.0,))) == (1.0, 2.0, 3.0)
    assert logs(((1.0, 0.0),)) is None
    assert logs(((1.0,),)) == ((0.0,),)


def test_the_thousands_of_values_of_a_load_take_no_more_than_a_few_megabytes() -> None:
    import tracemalloc

    values = (tuple(1.0 + number % 97 / 1_000 for number in range(20_000)),)
    tracemalloc.start()
    summary = summarise(scenario_id="s", metric="gap", definition=1, values=values, level=0.95)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert summary.n == 20_000
    assert summary.interval is not None
    assert summary.interval.low < 1.048 < summary.interval.high
    # All pairs' distances would take 1.6 GB.
    assert peak < 100e6


def test_two_values_have_an_error_though_no_interval() -> None:
    deferred = deferred_median(((1.0, 1.2),))
    assert deferred is not None
    assert (deferred.point, deferred.freedom, deferred.n) == (1.1, 1.0, 2)
    assert deferred_median(((1.0,),)) is None


def test_a_summary_knows_the_bounds_and_what_is_known_of_launches() -> None:
    prior = LaunchPrior(sd=0.03)
    values = ((0.970, 0.971), (0.985, 0.984), (0.996, 0.995))

    def made(**known: Any) -> Estimate:
        found = summarise(scenario_id="s", metric="m", definition=1, values=values, level=0.95, **known).interval
        assert found is not None
        return found

    assert made().method == "median, t over launches"
    assert made().high > 1
    assert made(bounds=(0.0, 1.0)).high < 1
    assert made(prior=prior).method == "median, t over launches, whose spread is shrunk towards an assumed 3 %"
    assert made(prior=prior).high - made(prior=prior).low > made().high - made().low


def test_of_values_that_have_no_ratio_nothing_is_known_beforehand() -> None:
    values = ((-1.0, -1.1), (0.0, 0.1), (1.0, 1.1))
    assert median_estimate(values, level=0.95, prior=LaunchPrior(sd=5.0)) == median_estimate(values, level=0.95)


def test_without_a_reason_there_was_no_valid_repetition() -> None:
    assert summarise(scenario_id="s", metric="m", definition=1, values=(), level=0.95).reason == "no valid repetition"
