"""What is known of launches, and what it makes of a median's error."""

import math

import numpy as np
import pytest

from benchmarks.launch_table import coverage, wide
from benchmarks.noise import FAMILIES, log_times
from harness.analysis.stats import anova
from harness.analysis.stats.estimate import median_estimate
from harness.analysis.stats.launch_prior import MOST_FREEDOM, EarlierLaunches, LaunchPrior, launch_prior
from harness.analysis.stats.launch_variance import median_spread
from harness.metrics.metric import LAUNCH_SD

PRIOR = LaunchPrior(sd=0.03)
PRESUMED = LaunchPrior(sd=LAUNCH_SD)


class TestPrior:
    def test_nothing_known_is_none(self) -> None:
        assert launch_prior(0.0, []) is None
        assert launch_prior(0.0, [EarlierLaunches(spread=0.1, launches=1, values=5)]) is None

    def test_prior_without_accepted_runs_is_the_presumed_one(self) -> None:
        prior = launch_prior(0.03, [])
        assert prior == PRIOR
        assert prior.freedom == 2
        assert prior.source == "an assumed 3 %"
        assert prior.variance(np.array([1.0])) == pytest.approx(0.0009)

    def test_accepted_runs_weigh_their_degrees_of_freedom_beside_it(self) -> None:
        earlier = [
            EarlierLaunches(spread=0.01, launches=3, values=2),
            EarlierLaunches(spread=0.02, launches=2, values=4),
        ]
        prior = launch_prior(0.03, earlier)
        assert prior is not None
        assert prior.freedom == 2 + 2 + 1
        assert prior.source == "what accepted runs showed and an assumed 3 %"
        # Without scatter inside launches all of it is theirs: (2 · 0.03² + 2 · 0.01² + 0.02²) / 5.
        assert prior.variance(np.zeros(1)) == pytest.approx((2 * 0.0009 + 2 * 0.0001 + 0.0004) / 5)
        # What repetitions explain of a median's scatter is taken off: π/2 · σ² (2/2 + 1/4) / 3 of the mean square.
        explained = math.pi / 2 * 0.0001 * (2 / 2 + 1 / 4) / 3
        learned = (2 * 0.0001 + 0.0004) / 3 - explained
        assert prior.variance(np.array([0.0001])) == pytest.approx((2 * 0.0009 + 3 * learned) / 5)
        assert prior.variance(np.array([1.0])) == pytest.approx(2 * 0.0009 / 5)

    def test_prior_without_a_presumption_is_that_of_accepted_runs(self) -> None:
        prior = launch_prior(0.0, [EarlierLaunches(spread=0.02, launches=3, values=1)])
        assert prior is not None
        assert (prior.freedom, prior.source) == (2, "what accepted runs showed")
        assert prior.variance(np.zeros(1)) == pytest.approx(0.0004)

    def test_its_degrees_of_freedom_have_a_limit(self) -> None:
        prior = launch_prior(0.03, [EarlierLaunches(spread=0.02, launches=3, values=1)] * 50)
        assert prior is not None
        assert prior.freedom == MOST_FREEDOM


class TestSpread:
    def fit(self, *launches: tuple[float, ...]) -> anova.Nested:
        return anova.fit(np.array(launches)[None])

    def test_launches_that_agree_leave_the_blocks(self) -> None:
        fit = self.fit((-0.01, 0.02, 0.0), (0.01, 0.0, -0.02), (0.0, 0.01, -0.01))
        for prior in (None, PRIOR):
            spread = median_spread(fit, prior)
            assert not spread.differ[0]
            assert spread.freedom[0] > 5

    def test_launches_that_differ_are_moderated_by_what_is_known(self) -> None:
        fit = self.fit((-0.031, -0.029), (0.001, -0.001), (0.029, 0.031))
        alone, known = median_spread(fit), median_spread(fit, PRIOR)
        assert alone.differ[0]
        assert not alone.shrunk[0]
        assert known.shrunk[0]
        assert (alone.freedom[0], known.freedom[0]) == (2, 4)
        # Means of −3, 0 and 3 %: a mean square of 2 · 0.03², as is presumed beside the little inside launches.
        assert alone.error[0] == pytest.approx(math.sqrt(math.pi / 2) * 0.03 / math.sqrt(3), rel=1e-6)
        assert known.error[0] == pytest.approx(alone.error[0], rel=0.01)

    def test_launches_too_far_apart_contradict_it(self) -> None:
        fit = self.fit((-0.31, -0.29), (0.01, -0.01), (0.29, 0.31))
        alone, known = median_spread(fit), median_spread(fit, PRIOR)
        assert not known.shrunk[0]
        assert known.freedom[0] == 2
        assert known.error[0] == alone.error[0]

    def test_two_launches_of_one_value_have_one_degree_of_freedom(self) -> None:
        spread = median_spread(self.fit((0.8,), (1.0,)))
        assert spread.freedom[0] == 1
        assert spread.error[0] == pytest.approx(math.sqrt(math.pi / 2) * math.sqrt(0.02 / 2))
        assert median_spread(self.fit((0.8,), (1.0,)), PRIOR).freedom[0] == 1

    def grid(self, ratio: float) -> anova.Nested:
        """Three launches of (−1, 0, 1) %, whose mean square between is `ratio` times that inside."""
        apart = math.sqrt(ratio / 3) * 0.01
        return self.fit(*((middle - 0.01, middle, middle + 0.01) for middle in (-apart, 0.0, apart)))

    def test_the_preliminary_test_is_more_liberal_where_a_prior_is_known(self) -> None:
        # A ratio of 1.5 with 2 and 6 degrees of freedom is exceeded by chance in 30 % of cases.
        fit = self.grid(1.5)
        alone, known = median_spread(fit), median_spread(fit, PRIOR)
        assert (alone.error.shape, known.error.shape) == (fit.n.shape, fit.n.shape)
        assert not alone.differ[0]
        assert alone.freedom[0] == 6
        assert alone.error[0] == pytest.approx(math.sqrt(math.pi / 2 * 1.5 * 1e-4 / 9))
        assert known.differ[0]
        assert known.freedom[0] == 4
        expected = 1e-4 + 3 * 0.0009
        assert known.error[0] == pytest.approx(math.sqrt(math.pi / 2 * (2 * expected + 2 * 1.5e-4) / 4 / 9))
        # In 20 % of cases without; with one, in 43 and in 59 %.
        assert median_spread(self.grid(2.1)).differ[0]
        assert median_spread(self.grid(1.0), PRIOR).differ[0]
        assert not median_spread(self.grid(0.6), PRIOR).differ[0]

    def test_launches_that_agree_lend_their_degrees_of_freedom_where_a_prior_is_known(self) -> None:
        spread = median_spread(self.grid(0.6), PRIOR)
        assert spread.freedom[0] == 6 + 2
        # The blocks' own mean square of 10⁻⁴ with six degrees of freedom, the launches' 0.6 · 10⁻⁴ with two.
        assert spread.error[0] == pytest.approx(math.sqrt(math.pi / 2 * (6 * 1e-4 + 2 * 0.6e-4) / 8 / 9))

    @pytest.mark.parametrize(("times", "shrunk"), [(2.6, True), (2.8, False)])
    def test_launches_contradict_beyond_what_chance_explains_with_their_degrees_of_freedom(
        self, times: float, *, shrunk: bool
    ) -> None:
        # F with 2 and 6 degrees of freedom is 2.65 at 15 %.
        expected = (1e-4 + 3 * 0.0009) / 1e-4
        assert bool(median_spread(self.grid(times * expected), PRIOR).shrunk[0]) is shrunk

    @pytest.mark.parametrize(("times", "shrunk"), [(1.8, True), (2.0, False)])
    def test_single_values_contradict_by_the_prior_alone(self, times: float, *, shrunk: bool) -> None:
        # F with 2 and infinitely many degrees of freedom is 1.90 at 15 %.
        apart = 0.03 * math.sqrt(times)
        spread = median_spread(self.fit((-apart,), (0.0,), (apart,)), PRIOR)
        assert bool(spread.shrunk[0]) is shrunk

    def test_what_accepted_runs_showed_is_contradicted_later_than_what_is_presumed(self) -> None:
        # F with 2 and infinitely many degrees of freedom exceeds 2.5 by chance in 8 % of cases.
        apart = 0.03 * math.sqrt(2.5)
        fit = self.fit((-apart,), (0.0,), (apart,))
        known = launch_prior(0.03, [EarlierLaunches(spread=0.03, launches=3, values=1)])
        assert not median_spread(fit, PRIOR).shrunk[0]
        assert median_spread(fit, known).shrunk[0]

    def test_a_prior_of_no_scatter_is_contradicted_by_any(self) -> None:
        nothing = launch_prior(0.0, [EarlierLaunches(spread=0.0, launches=3, values=4)])
        spread = median_spread(self.fit((-0.01,), (0.0,), (0.01,)), nothing)
        assert (spread.freedom[0], bool(spread.shrunk[0])) == (2, False)
        assert median_spread(self.fit((0.01,), (0.01,), (0.01,)), nothing).error[0] == 0

    def test_the_own_autocorrelation_weighs_one_half_from_ten_values_on(self) -> None:
        values = tuple(math.sin(each / 2) + 0.1 * math.cos(5 * each) for each in range(12))
        fit = self.fit(values)
        rho = 12 / (12 + 10) * min(float(fit.rho[0]), 0.9 * 22 / 12)
        assert 0.3 < rho < 0.9
        spread = median_spread(fit)
        assert spread.freedom[0] == pytest.approx(11 * (1 - rho**2) / (1 + rho**2))

    def test_one_value_a_launch_is_moderated_too(self) -> None:
        values = ((0.97,), (1.0,), (1.03,))
        alone, known = median_estimate(values, level=0.95), median_estimate(values, level=0.95, prior=PRIOR)
        assert alone is not None
        assert known is not None
        assert known.method == "median, t over launches, whose spread is shrunk towards an assumed 3 %"
        # t with four degrees of freedom and not with two.
        assert (known.high - known.low) / (alone.high - alone.low) == pytest.approx(2.776 / 4.303, rel=0.01)

    def test_what_never_varies_is_known_exactly(self) -> None:
        assert median_spread(self.fit((0.5,), (0.5,), (0.5,)), PRIOR).error[0] == 0
        assert median_spread(self.fit((0.5, 0.5), (0.5, 0.5)), PRIOR).error[0] == 0

    def test_values_drawn_in_do_not_part_launches(self) -> None:
        # In two launches the pairs happen to agree, so that the third one's are drawn in to them.
        fit = self.fit((0.010, 0.0101, 0.0102), (-0.03, -0.0301, -0.0302), (-0.05, 0.02, 0.01))
        assert median_spread(fit).error[0] < 0.03

    def test_seven_values_in_a_row_do_not_make_a_memory(self) -> None:
        ordered = tuple(0.8 + 0.02 * each for each in range(7))
        estimate = median_estimate((ordered,), level=0.95)
        assert estimate is not None
        assert (estimate.high - estimate.low) / 2 < 0.12


@pytest.mark.parametrize("family", list(FAMILIES))
@pytest.mark.parametrize(("within", "launch_sd"), [(0.05, 0.0), (0.05, 0.03), (0.05, 0.10), (0.10, 0.10)])
@pytest.mark.parametrize("shape", [(3, 2), (3, 3)])
def test_the_interval_covers_what_the_method_says(
    family: str, within: float, launch_sd: float, shape: tuple[int, int]
) -> None:
    rng = np.random.default_rng(20240607)
    values = launch_sd * rng.standard_normal((4000, shape[0], 1)) + log_times(rng, family, (4000, *shape), cv=within)
    covered, half = coverage(values, PRESUMED)
    # 93 %, less two standard errors of the simulation. Six values that are alike hide that their launches differ.
    assert covered > (0.90 if family.startswith("AR") and shape == (3, 2) else 0.922)
    assert wide(values, half) < 0.01


@pytest.mark.parametrize("shape", [(3, 1), (3, 2), (3, 3), (3, 8)])
def test_three_launches_that_agree_leave_an_interval_that_can_be_read(shape: tuple[int, int]) -> None:
    rng = np.random.default_rng(20240607)
    values = 0.03 * rng.standard_normal((4000, shape[0], 1)) + 0.05 * rng.standard_normal((4000, *shape))
    assert wide(values, coverage(values, PRESUMED)[1]) == 0
