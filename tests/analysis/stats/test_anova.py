import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.optimize import brentq
from scipy.special import stdtr

from harness.analysis.stats import anova, robust

CLEAN = np.array([[[1.0, 2.0, 3.0, 4.0], [3.0, 4.0, 5.0, 6.0], [2.0, 3.0, 4.0, 5.0]]])


def test_without_outliers_it_is_the_classical_analysis_of_variance() -> None:
    fit = anova.fit(CLEAN)
    assert fit.point == pytest.approx([3.5])
    assert fit.within == pytest.approx([5 / 3])
    assert fit.between == pytest.approx([4 * 2 / 2])
    assert fit.ratio == pytest.approx([4 / (5 / 3)])
    assert (fit.n[0], fit.launches[0]) == (12, 3)


def test_missing_blocks_change_nothing_but_the_counts() -> None:
    short = np.full((1, 4, 6), np.nan)
    short[0, :3, :4] = CLEAN[0]
    fit, whole = anova.fit(short), anova.fit(CLEAN)
    assert fit.point == pytest.approx(whole.point)
    assert fit.within == pytest.approx(whole.within)
    assert fit.together == pytest.approx(whole.together)
    assert fit.around == pytest.approx(whole.around)
    assert fit.kept == pytest.approx(whole.kept)
    assert fit.between == pytest.approx(whole.between)
    assert (fit.n[0], fit.launches[0]) == (12, 3)


def test_a_stretch_at_half_speed_hardly_moves_the_location() -> None:
    values = np.random.default_rng(1).normal(0, 0.01, (1, 3, 12))
    disturbed = values.copy()
    disturbed[0, 1, 4:7] += np.log(2)
    moved = abs(float(anova.fit(disturbed).point[0] - anova.fit(values).point[0]))
    assert moved < 0.003
    assert abs(float(disturbed.mean() - values.mean())) > 0.05


def test_a_launch_that_differs_as_a_whole_is_not_clipped_away() -> None:
    values = np.random.default_rng(2).normal(0, 0.01, (1, 3, 12))
    values[0, 1] += 0.5
    fit = anova.fit(values)
    assert fit.point[0] == pytest.approx(values.mean(), abs=0.01)
    assert fit.ratio[0] > 1000
    spread = anova.spread(fit, anova.common(fit))
    assert spread.overruled[0]
    assert spread.freedom[0] == 2
    assert spread.point[0] == fit.point[0]
    assert spread.error[0] == pytest.approx(np.std(values.mean(-1), ddof=1) / np.sqrt(3), rel=0.05)


def test_launches_that_agree_are_moderated_towards_what_their_blocks_explain() -> None:
    fit = anova.fit(CLEAN)
    spread = anova.spread(fit, anova.Common(rho=np.zeros(1), inflation=np.ones(1)))
    factor = (20 * 1 + 2 * fit.ratio[0]) / 22
    assert not spread.overruled[0]
    assert spread.point[0] == fit.together[0] == pytest.approx(3.5)
    alone = fit.around[0] * 11 / (9 + 2 * fit.ratio[0])
    assert spread.error[0] == pytest.approx(np.sqrt(alone * factor / 12))
    assert spread.freedom[0] == 12 * fit.kept[0] - 1


def test_launches_that_are_known_to_differ_are_not_taken_as_one_sample() -> None:
    values = np.random.default_rng(6).normal(0, 0.01, (1, 3, 8)) + np.array([0.0, 0.03, 0.05])[:, None]
    fit = anova.fit(values)
    spread = anova.spread(fit, anova.Common(rho=np.zeros(1), inflation=np.array([40.0])))
    assert not spread.overruled[0]
    assert spread.point[0] == fit.point[0] != fit.together[0]
    assert spread.error[0] > 4 * np.sqrt(fit.within[0] / 24)


def huber(values: np.ndarray, limit: float) -> float:
    """Huber's M-estimate the slow way: the root of the sum of what is left of the residuals."""
    return float(brentq(lambda centre: np.clip(values - centre, -limit, limit).sum(), values.min(), values.max()))


@pytest.mark.parametrize("seed", range(5))
def test_all_values_together_are_located_as_huber_does(seed: int) -> None:
    values = np.random.default_rng(seed).standard_t(3, (1, 3, 8))
    limit = anova.TOGETHER_CLIP * float(robust.scale(values)[0])
    fit = anova.fit(values)
    assert fit.together[0] == pytest.approx(huber(values.ravel(), limit), abs=0.01)
    alone = np.abs(values - fit.together[0]) <= limit
    assert fit.kept[0] == pytest.approx(alone.mean())
    drawn = np.clip(values - fit.together[0], -limit, limit)
    assert fit.around[0] == pytest.approx((drawn**2).sum() / 23 / alone.mean() ** 2)


def test_all_values_together_do_without_the_doubtful_ones() -> None:
    rng = np.random.default_rng(3)
    slowed = [0.3 * (rng.random((4000, 3, 5)) < 0.1) for _ in range(2)]
    fit = anova.fit(rng.normal(0, 0.03, (4000, 3, 5)) + slowed[0] - slowed[1])
    assert abs(fit.together.mean()) < 0.002
    assert fit.together.std() < 0.9 * fit.point.std()


@pytest.mark.parametrize(("launches", "blocks"), [(2, 3), (4, 3), (3, 5), (4, 15)])
def test_the_interval_of_all_values_together_holds_its_level(launches: int, blocks: int) -> None:
    values = np.random.default_rng(4).normal(0, 0.03, (8000, 1, launches, blocks))
    fit = anova.fit(values)
    spread = anova.spread(fit, anova.common(fit))
    outside = 2 * stdtr(np.maximum(spread.freedom, 1), -np.abs(spread.point) / spread.error) < 0.01
    # 80 of 8,000 are due; 110 is more than three standard deviations above.
    assert outside.sum() < 110


def test_sixty_pairs_learn_that_launches_differ_and_one_does_not() -> None:
    rng = np.random.default_rng(3)
    values = rng.normal(0, 0.05, (60, 3, 1)) + rng.normal(0, 0.01, (60, 3, 8))
    assert (anova.common(anova.fit(values)).inflation > 50).all()
    assert anova.whole_inflation(anova.fit(values)) > 50
    alike = anova.common(anova.fit(rng.normal(0, 0.01, (60, 3, 8))))
    assert alike.inflation == pytest.approx(np.ones(60), abs=0.3)


def test_presumed_inflation_counts_as_twenty_degrees_of_freedom() -> None:
    pair = anova.fit(np.concatenate([CLEAN, CLEAN]))
    # Nine degrees of freedom within: the mean of such an F ratio is 9/7.
    expected = (20 * 9 + 2 * pair.ratio[0] * 7 / 9) / 22
    assert anova.common(pair, presumed=9.0).inflation == pytest.approx([expected, expected])


def test_metrics_of_one_scenario_are_no_witnesses_for_one_another() -> None:
    three = anova.fit(np.concatenate([CLEAN, CLEAN, CLEAN * [[[1.0], [2.0], [1.0]]]]))
    common = anova.common(three, groups=np.array([0, 0, 2]))
    # To the first two only the third is another; to the third the first two are one.
    assert common.inflation[:2] == pytest.approx((20 + 2 * three.ratio[2] * 7 / 9) / 22)
    assert common.inflation[2] == pytest.approx((20 + 2 * three.ratio[0] * 7 / 9) / 22)


def test_what_never_varies_is_no_witness() -> None:
    silent = np.full((1, 3, 4), 0.5)
    alone = np.full((1, 3, 4), np.nan)
    alone[0, :, 0] = [1.0, 2.0, 3.0]
    loud = CLEAN * [[[1.0], [3.0], [1.0]]]
    fit = anova.fit(np.concatenate([CLEAN, loud, silent, alone]))
    expected = (20 + 2 * fit.ratio[1] * 7 / 9) / 22
    assert expected > 1
    assert anova.common(fit).inflation[0] == pytest.approx(expected)


def test_correlated_blocks_widen_the_error() -> None:
    rng = np.random.default_rng(4)
    noise = rng.normal(0, 1, (1, 3, 60))
    memory = noise.copy()
    for block in range(1, 60):
        memory[..., block] = 0.8 * memory[..., block - 1] + 0.6 * noise[..., block]
    fits = [anova.fit(values) for values in (noise, memory)]
    errors = [anova.spread(fit, anova.common(fit)).error[0] * np.sqrt(1 / fit.within[0]) for fit in fits]
    assert errors[1] > 1.8 * errors[0]


@pytest.mark.parametrize("rho", [0.0, 0.3, 0.5, 0.8])
def test_growth_is_the_expected_ratio_of_mean_squares_of_an_autoregression(rho: float) -> None:
    length = 8
    covariance = rho ** np.abs(np.subtract.outer(np.arange(length), np.arange(length)))
    of_mean = covariance.mean()
    within = (np.trace(covariance) - length * of_mean) / (length - 1)
    growth = anova._growth(np.array([rho]), np.array([float(length)]))
    assert growth == pytest.approx([length * of_mean / within])


def test_figures_that_never_vary_have_no_error() -> None:
    fit = anova.fit(np.full((1, 3, 4), 0.1))
    spread = anova.spread(fit, anova.common(fit))
    assert fit.point[0] == pytest.approx(0.1)
    assert spread.point[0] == pytest.approx(0.1)
    assert spread.error[0] == pytest.approx(0.0, abs=1e-15)


@given(st.lists(st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=7), min_size=1, max_size=5))
def test_the_fast_median_is_numpys(rows: list[list[float]]) -> None:
    table = np.full((len(rows), 7), np.nan)
    for row, values in zip(table, rows, strict=True):
        row[: len(values)] = values
    assert robust.median(table) == pytest.approx(np.nanmedian(table, axis=-1))


@given(st.floats(-5, 5), st.floats(0.01, 100))
def test_shifting_and_scaling_carry_through(shift: float, scale: float) -> None:
    values = np.random.default_rng(5).standard_t(3, (1, 3, 8))
    fit, other = anova.fit(values), anova.fit(values * scale + shift)
    assert other.point == pytest.approx(fit.point * scale + shift, rel=1e-6, abs=1e-9)
    assert other.within == pytest.approx(fit.within * scale**2, rel=1e-6)
    assert other.together == pytest.approx(fit.together * scale + shift, rel=1e-6, abs=1e-9)
    assert other.around == pytest.approx(fit.around * scale**2, rel=1e-6)
    assert other.ratio == pytest.approx(fit.ratio, rel=1e-6)
