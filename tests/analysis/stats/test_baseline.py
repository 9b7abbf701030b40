import math
from dataclasses import dataclass

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import pearsonr

from harness.analysis.stats import anova
from harness.analysis.stats.baseline import against_baselines, canary_helps
from harness.analysis.stats.comparison import AgainstBaseline, BaselineRun
from harness.analysis.stats.estimate import deferred_median
from harness.analysis.stats.grouped import Grouped
from harness.analysis.stats.shrinkage import _trigamma_inverse, learn
from harness.core.records.verdict import Estimate
from harness.metrics.metric import RUN_SPREAD, RunSpread


@dataclass
class Found:
    estimate: Estimate
    rule: str


def baseline_estimate(
    values: Grouped,
    runs: tuple[BaselineRun, ...],
    *,
    level: float,
    canary_log: float | None = None,
    prior: RunSpread = RUN_SPREAD,
) -> Found | None:
    """One run against its accepted runs, and no others."""
    case = AgainstBaseline(values=values, runs=runs, canary_log=canary_log, prior=prior)
    (found,) = against_baselines([case], pool=False)
    return Found(found.deferred.estimate(level), found.rule) if found else None


MEDIANS = (0.00, 0.01, -0.01, 0.02, -0.02, 0.01, -0.01, 0.005, -0.005, 0.0)


def accepted(medians: tuple[float, ...] = MEDIANS, *, n: int = 24) -> tuple[BaselineRun, ...]:
    return tuple(BaselineRun(run_id=f"b{i}", log_median=m, n=n, launches=3) for i, m in enumerate(medians))


def run_at(level: float, *, n: int = 8, seed: int = 1) -> Grouped:
    """Three launches whose overall log-median is exactly `level`."""
    values = np.random.default_rng(seed).normal(0, 0.01, (3, n))
    return tuple(map(tuple, np.exp(values - np.median(values) + level).tolist()))


def test_the_interval_is_the_prediction_interval_of_a_further_run() -> None:
    found = baseline_estimate(run_at(0.05), accepted(), level=0.99)
    assert found is not None
    sd = float(np.std(MEDIANS, ddof=1))
    assert found.estimate.point == pytest.approx(0.05, abs=1e-4)
    assert found.estimate.high - found.estimate.point == pytest.approx(3.249836 * sd * math.sqrt(1.1), rel=1e-6)
    assert found.rule == "spread between 10 accepted runs"
    assert found.estimate.method == "prediction from 10 accepted runs, t"


def test_one_bad_accepted_run_does_not_blind_the_gate() -> None:
    honest = baseline_estimate(run_at(0.0), accepted(), level=0.99)
    spoiled = baseline_estimate(run_at(0.0), accepted((*MEDIANS[:9], 0.5)), level=0.99)
    assert honest is not None
    assert spoiled is not None
    assert spoiled.estimate.high - spoiled.estimate.low < 2.5 * (honest.estimate.high - honest.estimate.low)
    assert abs(spoiled.estimate.point) < 0.01


@pytest.mark.parametrize(("runs", "weight"), [(1, 4), (2, 3), (4, 1)])
def test_each_accepted_run_after_the_first_replaces_a_degree_of_freedom_of_the_prior(runs: int, weight: int) -> None:
    medians = MEDIANS[:runs]
    found = baseline_estimate(run_at(0.0), accepted(medians), level=0.95)
    assert found is not None
    seen = float(np.var(medians, ddof=1)) * (runs - 1) if runs > 1 else 0.0
    variance = (weight * 0.05**2 + seen) / 4
    half = 2.776445 * math.sqrt(variance * (1 + 1 / runs))
    assert found.estimate.high - found.estimate.point == pytest.approx(half, rel=1e-6)


MEMORY = RunSpread(sd=0.005, freedom=16.0)


class TestPriorOfAMetricThatRepeats:
    def test_one_accepted_run_decides_a_change_of_five_percent(self) -> None:
        found = baseline_estimate(((1.05,), (1.051,), (1.049,)), accepted((0.0,), n=3), level=0.999, prior=MEMORY)
        assert found is not None
        # t with 16 degrees of freedom at 99.9 %.
        half = 4.014996 * 0.005 * math.sqrt(2)
        assert found.estimate.high - found.estimate.point == pytest.approx(half, rel=1e-5)
        assert found.estimate.low > 0
        assert found.rule == "1 accepted run; runs are assumed to differ by 0.5 %"

    def test_it_still_counts_beside_ten_accepted_runs(self) -> None:
        medians = tuple(0.1 * each for each in MEDIANS)
        found = baseline_estimate(((1.0,), (1.001,), (0.999,)), accepted(medians, n=3), level=0.95, prior=MEMORY)
        assert found is not None
        variance = (7 * 0.005**2 + 9 * float(np.var(medians, ddof=1))) / 16
        half = 2.119905 * math.sqrt(variance * 1.1)
        assert found.estimate.high - found.estimate.point == pytest.approx(half, rel=1e-6)
        assert found.rule == "spread between 10 accepted runs, shrunk towards an assumed 0.5 %"

    @pytest.mark.parametrize(("times", "dropped"), [(2.0, False), (2.2, True)])
    def test_accepted_runs_that_differ_by_more_drop_it(self, times: float, *, dropped: bool) -> None:
        # F with 1 and 16 degrees of freedom is 4.49 at 5 %: a standard deviation of 2.12 times the prior's.
        apart = times * 0.005 / math.sqrt(2)
        found = baseline_estimate(
            ((1.0,), (1.001,), (0.999,)), accepted((-apart, apart), n=3), level=0.95, prior=MEMORY
        )
        assert found is not None
        assert ("contradicts an assumed 0.5 %" in found.rule) is dropped
        half = found.estimate.high - found.estimate.point
        if dropped:
            assert half == pytest.approx(12.7062 * times * 0.005 * math.sqrt(1.5), rel=1e-4)
        else:
            assert half < 0.02

    def test_launches_that_differ_by_more_count_with_their_own_degrees_of_freedom(self) -> None:
        values = ((0.9,), (1.0,), (1.1,))
        own = deferred_median(tuple((math.log(value),) for (value,) in values))
        found = baseline_estimate(values, accepted((0.0,), n=3), level=0.95, prior=MEMORY)
        assert own is not None
        assert found is not None
        half = 4.302653 * own.error * math.sqrt(2)
        assert found.estimate.high - found.estimate.point == pytest.approx(half, rel=1e-6)

    def test_runs_that_contradict_it_moderate_no_others(self) -> None:
        rng = np.random.default_rng(7)
        ordinary = [
            AgainstBaseline(values=run_at(0.0), runs=accepted(tuple(rng.normal(0, 0.01, 10)))) for _ in range(20)
        ]
        wild = AgainstBaseline(values=run_at(0.0), runs=accepted(tuple(rng.normal(0, 0.2, 10))), prior=MEMORY)
        known = AgainstBaseline(values=run_at(0.0), runs=accepted(), prior=MEMORY)
        among = against_baselines([*ordinary, wild, known], pool=True)
        assert among[:20] == against_baselines(ordinary, pool=True)
        assert among[20:] == against_baselines([wild, known], pool=False)


def test_enough_runs_contradict_nothing_however_far_they_lie_apart() -> None:
    found = baseline_estimate(run_at(0.0), accepted(tuple(20 * each for each in MEDIANS)), level=0.99)
    assert found is not None
    assert found.rule == "spread between 10 accepted runs"


class TestMetricThatRepeatsExactly:
    EXACT = RunSpread(sd=0.0, freedom=math.inf)

    @pytest.mark.parametrize(("value", "change"), [(2.0, 0.0), (2.1, math.log(1.05))])
    def test_one_value_is_compared_with_the_last_accepted_one(self, value: float, change: float) -> None:
        found = baseline_estimate(((value,),), accepted((9.0, math.log(2.0))), level=0.999, prior=self.EXACT)
        assert found is not None
        assert found.estimate.low == pytest.approx(change, abs=1e-12)
        assert found.estimate.low == found.estimate.point == found.estimate.high
        assert found.rule == "it repeats exactly"


def test_a_run_shorter_than_usual_is_less_sure() -> None:
    usual = baseline_estimate(run_at(0.0, n=8), accepted(), level=0.99)
    shorter = baseline_estimate(run_at(0.0, n=2), accepted(), level=0.99)
    longer = baseline_estimate(run_at(0.0, n=80), accepted(), level=0.99)
    assert usual is not None
    assert shorter is not None
    assert longer is not None
    assert shorter.estimate.high > usual.estimate.high + 1e-4
    assert longer.estimate.high == pytest.approx(usual.estimate.high, abs=1e-3)


def with_canary(effect: float, *, seed: int = 3, runs: int = 10) -> tuple[BaselineRun, ...]:
    rng = np.random.default_rng(seed)
    speed, own = rng.normal(0, 0.03, runs), rng.normal(0, 0.005, runs)
    return tuple(
        BaselineRun(run_id=str(i), log_median=float(effect * c + e), n=24, launches=3, canary_log=float(c))
        for i, (c, e) in enumerate(zip(speed, own, strict=True))
    )


def test_the_canary_corrects_only_where_it_was_shown_to_help() -> None:
    assert canary_helps(with_canary(1.0))
    assert not canary_helps(with_canary(0.0))
    assert not canary_helps(with_canary(1.0, runs=7)), "too few runs to show it"
    mixed = (*with_canary(1.0)[:9], BaselineRun(run_id="x", log_median=0.0, n=24, launches=3))
    assert not canary_helps(mixed), "every run must have one"


def test_a_slow_day_is_not_a_regression_where_the_canary_saw_it() -> None:
    runs = with_canary(1.0)
    corrected = baseline_estimate(run_at(0.08), runs, level=0.99, canary_log=0.08)
    blind = baseline_estimate(run_at(0.08), runs, level=0.99)
    assert corrected is not None
    assert blind is not None
    assert corrected.rule == "spread between 10 accepted runs, each corrected by its canary"
    assert abs(corrected.estimate.point) < 0.01
    assert corrected.estimate.high - corrected.estimate.low < (blind.estimate.high - blind.estimate.low) / 3


def test_a_canary_that_did_not_help_corrects_nothing() -> None:
    runs = with_canary(0.0)
    assert baseline_estimate(run_at(0.08), runs, level=0.99, canary_log=0.08) == baseline_estimate(
        run_at(0.08), runs, level=0.99
    )


def test_a_canary_at_its_usual_speed_corrects_by_nothing() -> None:
    runs = with_canary(1.0)
    usual, faster = (baseline_estimate(run_at(0.0), runs, level=0.99, canary_log=log) for log in (0.0, -0.5))
    assert usual is not None
    assert faster is not None
    assert usual.rule == faster.rule
    assert faster.estimate.point == pytest.approx(usual.estimate.point + 0.5)
    # One of the accepted runs was taken at the canary's usual speed too.
    level = [BaselineRun(run_id=r.run_id, log_median=r.log_median - (r.canary_log or 0.0), n=24, launches=3,
                         canary_log=r.canary_log) for r in runs]  # fmt: skip
    moved = tuple(
        BaselineRun(run_id=r.run_id, log_median=r.log_median + c, n=24, launches=3, canary_log=c)
        for r, c in zip(level, (0.0, *(r.canary_log or 0.0 for r in runs[1:])), strict=True)
    )
    again = baseline_estimate(run_at(0.0), moved, level=0.99, canary_log=0.0)
    assert again is not None
    assert again.rule.endswith("corrected by its canary")
    assert again.estimate.point == pytest.approx(usual.estimate.point, abs=1e-12)


def test_the_canary_helps_from_half_of_its_swing_on() -> None:
    # Var(y) = Var(y − c) at y = c / 2: below it dividing by the canary adds more than it takes away.
    assert not canary_helps(with_canary(0.4, runs=40))
    assert canary_helps(with_canary(0.6, runs=40))


def test_the_canary_helps_where_pearsons_correlation_is_above_chance() -> None:
    helped = []
    for seed in range(40):
        runs = with_canary(0.6, seed=seed)
        canary = [run.canary_log for run in runs]
        sums = [2 * run.log_median - run.canary_log for run in runs if run.canary_log is not None]
        helped.append(canary_helps(runs))
        assert helped[-1] == (pearsonr(canary, sums, alternative="greater").pvalue < 0.05)
    assert any(helped)
    assert not all(helped)


def test_a_canary_that_stands_still_or_moves_with_twice_the_figure_proves_nothing() -> None:
    def runs(medians: list[float], canary: list[float]) -> tuple[BaselineRun, ...]:
        return tuple(
            BaselineRun(run_id=str(i), log_median=y, n=24, launches=3, canary_log=c)
            for i, (y, c) in enumerate(zip(medians, canary, strict=True))
        )

    steps = [0.0, 0.25] * 5
    assert not canary_helps(runs(steps, [0.125] * 10))
    assert not canary_helps(runs(steps, [0.0, 0.5] * 5)), "2y − c is the same every time"
    assert canary_helps(runs(steps, steps)), "two speeds are enough"


def test_five_runs_speak_for_themselves() -> None:
    found = baseline_estimate(run_at(0.0), accepted(MEDIANS[:5]), level=0.99)
    assert found is not None
    assert found.rule == "spread between 5 accepted runs"


@pytest.mark.parametrize(
    ("runs", "rule", "method"),
    [
        (1, "1 accepted run; runs are assumed to differ by 5 %", "1 accepted run, t"),
        (2, "spread between 2 accepted runs, shrunk towards an assumed 5 %", "2 accepted runs, t"),
    ],
)
def test_one_run_is_spoken_of_as_one(runs: int, rule: str, method: str) -> None:
    found = baseline_estimate(run_at(0.0), accepted(MEDIANS[:runs]), level=0.95)
    assert found is not None
    assert found.rule == rule
    assert found.estimate.method == f"prediction from {method}"


def test_a_run_whose_launches_differ_by_more_than_the_prior_says_is_the_better_witness() -> None:
    values = tuple(tuple(math.exp(v) for v in launch) for launch in np.random.default_rng(2).normal(0, 0.3, (3, 8)))
    own = deferred_median(tuple(tuple(math.log(v) for v in launch) for launch in values))
    found = baseline_estimate(values, accepted(MEDIANS[:2]), level=0.95)
    assert own is not None
    assert found is not None
    assert own.error > 0.05
    half = 2.776445 * own.error * math.sqrt(1 + 1 / 2)
    assert found.estimate.high - found.estimate.point == pytest.approx(half, rel=1e-6)


def test_a_shorter_run_adds_what_its_own_median_is_unsure_of() -> None:
    values = run_at(0.0, n=2)
    own = deferred_median(tuple(tuple(math.log(v) for v in launch) for launch in values))
    found = baseline_estimate(values, accepted(), level=0.99)
    assert own is not None
    assert found is not None
    # Six values where 24 are usual.
    variance = float(np.var(MEDIANS, ddof=1)) * 1.1 + own.error**2 * (1 - 6 / 24)
    assert found.estimate.high - found.estimate.point == pytest.approx(3.249836 * math.sqrt(variance), rel=1e-6)


def test_only_spreads_of_enough_runs_that_vary_moderate_one_another() -> None:
    rng = np.random.default_rng(7)
    ordinary = [AgainstBaseline(values=run_at(0.0), runs=accepted(tuple(rng.normal(0, 0.01, 10)))) for _ in range(20)]
    others = [
        AgainstBaseline(values=((3.0,) * 3,), runs=accepted((math.log(3.0),) * 6)),
        AgainstBaseline(values=run_at(0.0), runs=accepted((0.0,) * 6)),
        AgainstBaseline(values=run_at(0.0), runs=accepted(MEDIANS[:3])),
    ]
    alone = against_baselines(others, pool=False)
    among = against_baselines([*ordinary, *others], pool=True)
    assert among[:20] == against_baselines(ordinary, pool=True)
    assert (among[20], among[22]) == (alone[0], alone[2])
    assert among[21] is not None
    # Runs that do not differ say nothing of a spread: that of the others stands in for theirs.
    assert among[21].rule.endswith("the spread of the 20 other baselines of this run is used instead")
    assert alone[1] is not None
    assert among[21].deferred.error > alone[1].deferred.error > 0


def test_without_two_values_or_a_run_there_is_no_estimate() -> None:
    assert baseline_estimate(((1.0,),), accepted(), level=0.99) is None
    assert baseline_estimate(run_at(0.0), (), level=0.99) is None
    assert baseline_estimate(((1.0, 0.0),), accepted(), level=0.99) is None


def test_figures_that_never_vary_are_compared_exactly() -> None:
    found = baseline_estimate(((3.0, 3.0), (3.0,)), accepted((math.log(3.0),)), level=0.99)
    assert found is not None
    assert (found.estimate.low, found.estimate.high) == (0.0, 0.0)
    assert found.rule == "neither side varies at all"


def test_many_baselines_moderate_one_another() -> None:
    rng = np.random.default_rng(7)
    cases = [AgainstBaseline(values=run_at(0.0), runs=accepted(tuple(rng.normal(0, 0.01, 10)))) for _ in range(80)]
    pooled, alone = against_baselines(cases, pool=True), against_baselines(cases, pool=False)
    freedoms = {one.deferred.freedom for one in pooled if one}
    errors = [[one.deferred.error for one in found if one] for found in (pooled, alone)]
    assert freedoms == {39.0}, "they differ by no more than chance, so the common spread is worth its most"
    assert np.std(errors[0]) < np.std(errors[1]) / 3
    assert np.mean(errors[0]) == pytest.approx(0.01 * math.sqrt(1.1), rel=0.08)
    assert pooled[0] is not None
    assert pooled[0].rule == "spread between 10 accepted runs, shrunk towards that of the 80 baselines of this run"


def test_spreads_that_really_differ_are_left_to_themselves() -> None:
    prior = learn([1e-4] * 10 + [4e-2] * 10, [9.0] * 20)
    assert prior is not None
    assert prior.freedom < 1
    small, _ = prior.shrink(1e-4, 9.0)
    assert small < 3e-4


def test_equal_spreads_are_worth_their_most_and_few_teach_nothing() -> None:
    prior = learn([2.0] * 10, [9.0] * 10)
    assert prior is not None
    assert (prior.freedom, prior.members) == (30.0, 10)
    assert prior.shrink(prior.variance, 9.0) == pytest.approx((prior.variance, 39.0))
    assert learn([2.0] * 9, [9.0] * 9) is None


@given(st.floats(0.01, 100))
def test_the_trigamma_function_is_inverted(x: float) -> None:
    from scipy.special import polygamma

    assert _trigamma_inverse(float(polygamma(1, x))) == pytest.approx(x, rel=1e-6)


@given(st.floats(0.001, 1000))
def test_a_change_of_unit_changes_nothing(unit: float) -> None:
    shifted = tuple(
        BaselineRun(run_id=r.run_id, log_median=r.log_median + math.log(unit), n=r.n, launches=3) for r in accepted()
    )
    scaled = tuple(tuple(value * unit for value in launch) for launch in run_at(0.03))
    one, other = (
        baseline_estimate(run_at(0.03), accepted(), level=0.99),
        baseline_estimate(scaled, shifted, level=0.99),
    )
    assert one is not None
    assert other is not None
    assert other.estimate.point == pytest.approx(one.estimate.point, abs=1e-9)
    assert other.estimate.low == pytest.approx(one.estimate.low, abs=1e-9)


class TestRunsTooMuchAlike:
    """Accepted runs that are equal, or nearly so, beside a new run whose own repetitions scatter."""

    @pytest.mark.parametrize("runs", [5, 10, 20])
    def test_the_new_runs_own_repetitions_count_where_accepted_ones_are_equal(self, runs: int) -> None:
        values = run_at(0.06, n=2)
        own = deferred_median(tuple(tuple(math.log(value) for value in launch) for launch in values))
        (found,) = against_baselines([AgainstBaseline(values=values, runs=accepted((0.0,) * runs))], pool=False)
        assert own is not None
        assert found is not None
        assert found.too_alike
        assert found.deferred.freedom == own.freedom
        assert found.deferred.error >= own.error
        assert found.rule == (
            f"the {runs} accepted runs differ by less than this run's own repetitions explain; their spread is used"
        )

    def test_nearly_equal_ones_are_no_better(self) -> None:
        nearly = tuple(1e-6 * each for each in range(6))
        (found,) = against_baselines([AgainstBaseline(values=run_at(0.06), runs=accepted(nearly))], pool=False)
        assert found is not None
        assert found.too_alike

    @pytest.mark.parametrize(("share", "too_alike"), [(0.97, True), (1.03, False)])
    def test_a_spread_is_believed_down_to_one_in_a_hundred(self, share: float, *, too_alike: bool) -> None:
        from scipy.stats import f

        values = run_at(0.0)
        own = deferred_median(tuple(tuple(math.log(value) for value in launch) for launch in values))
        assert own is not None
        shape = np.array([-2.0, -1.0, 0.0, 0.5, 1.0, 1.5])
        least = own.error**2 * f.ppf(0.01, 5, own.freedom)
        medians = shape * math.sqrt(share * least / float(anova.fit(shape[None, None]).within[0]))
        (found,) = against_baselines([AgainstBaseline(values=values, runs=accepted(tuple(medians)))], pool=False)
        assert found is not None
        assert found.too_alike is too_alike

    def test_where_neither_can_tell_a_spread_is_presumed(self) -> None:
        values: Grouped = ((1.06,), (1.06,))
        (found,) = against_baselines([AgainstBaseline(values=values, runs=accepted((0.0,) * 5))], pool=False)
        assert found is not None
        assert found.deferred.error == pytest.approx(0.05 * math.sqrt(1 + 1 / 5))
        assert found.deferred.freedom == 4
        assert found.rule == "the 5 accepted runs do not differ; an assumed spread of 5 % is used instead"

    @given(st.integers(0, 1000))
    def test_runs_that_scatter_as_their_repetitions_make_them_are_believed(self, seed: int) -> None:
        rng = np.random.default_rng(seed)
        # A run's median of 24 values of 1 % varies by 0.26 %; a lucky one in a hundred is not believed.
        medians = tuple(rng.normal(0, 0.004, 10))
        (found,) = against_baselines([AgainstBaseline(values=run_at(0.0), runs=accepted(medians))], pool=False)
        assert found is not None
        assert found.too_alike is (float(np.var(medians, ddof=1)) < 1e-6)
