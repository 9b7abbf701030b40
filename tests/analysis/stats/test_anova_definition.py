"""The nested analysis of variance against its definition, written out for one duel at a time in plain Python."""

import math
import warnings
from collections.abc import Sequence
from itertools import combinations, pairwise
from statistics import fmean, median
from types import SimpleNamespace

import numpy as np
import pytest
from scipy.stats import f as f_distribution

from harness.analysis.stats import anova, robust

Launches = list[list[float]]

FIELDS = ("point", "within", "between", "apart", "together", "around", "kept", "rho", "n", "launches", "ratio")


def clip(value: float, limit: float) -> float:
    return value if limit == 0 else max(-limit, min(limit, value))


def fit_one(launches: Launches) -> SimpleNamespace:
    """One data set: `anova.fit` as its docstring and its constants state it."""
    values = [value for launch in launches for value in launch]
    n, k = len(values), len(launches)
    distances = [abs(a - b) for launch in launches for a, b in combinations(launch, 2)]
    sd = 1.0483 * median(distances) if distances else 0.0
    residuals = [[value - median(launch) for value in launch] for launch in launches]
    clipped = [[clip(residual, 2.5 * sd) for residual in launch] for launch in residuals]
    left_alone = sum(abs(r) <= 2.5 * sd or sd == 0 for launch in residuals for r in launch) / n
    means = [median(launch) + fmean(part) for launch, part in zip(launches, clipped, strict=True)]
    point = sum(len(launch) * mean for launch, mean in zip(launches, means, strict=True)) / n
    rest = [[value - fmean(part) for value in part] for part in clipped]
    squares = sum(value**2 for part in rest for value in part)
    within = squares / (n - k) / left_alone**2 if n > k else math.nan
    between = apart = within
    if k > 1:
        apart = sum(len(launch) * (mean - point) ** 2 for launch, mean in zip(launches, means, strict=True)) / (k - 1)
        between = apart / left_alone**2
    ratio = between / within if within > 0 else math.inf if between > 0 and within == 0 else 1.0
    together, around, kept = huber(values, 1.345 * sd)
    return SimpleNamespace(
        point=point, within=within, between=between, apart=apart, ratio=ratio, together=together, around=around,
        kept=kept, rho=correlation(rest, squares, n / k), n=n, launches=k,
    )  # fmt: skip


def huber(values: Sequence[float], limit: float) -> tuple[float, float, float]:
    """Four Newton steps from the median; the variance about it, and the share of values left alone (at least 0.2)."""
    centre, n = median(values), len(values)

    def look() -> tuple[float, float]:
        rest = [clip(value - centre, limit) for value in values]
        alone = sum(abs(value - centre) <= limit or limit == 0 for value in values) / n
        return sum(rest), max(alone, 0.2)

    for _ in range(4):
        total, kept = look()
        centre += total / n / kept
    kept = look()[1]
    squares = sum(clip(value - centre, limit) ** 2 for value in values)
    return centre, squares / (n - 1) / kept**2 if n > 1 else math.nan, kept


def correlation(rest: Launches, squares: float, length: float) -> float:
    """Of neighbouring blocks, with the mean's removal made up for; not told below six blocks a launch."""
    if length < 6 or squares == 0:
        return 0.0
    raw = sum(a * b for part in rest for a, b in pairwise(part)) / squares
    return (length * raw + 1) / (length - 3)


def memory(fit: SimpleNamespace, rho: float) -> float:
    own = fit.n / (fit.n + 100)
    return max(0.0, min(0.9, own * fit.rho + (1 - own) * rho))


def growth(rho: float, length: float) -> float:
    """By how much an autoregression makes launches differ more than its blocks explain, summed term by term."""
    whole = int(length)
    if whole == length:
        of_mean = 1 + 2 * sum((1 - j / length) * rho**j for j in range(1, whole))
    else:
        of_mean = 1 + 2 * rho / (1 - rho) - 2 * rho * (1 - rho**length) / (length * (1 - rho) ** 2)
    return of_mean / (1 - (of_mean - 1) / max(length - 1, 1))


def witness(fit: SimpleNamespace, rho: float) -> float:
    """What one data set tells of launches: its degrees of freedom times how much more they differ than blocks explain.

    The mean of an F ratio with d degrees of freedom below the line, d / (d - 2), is taken out where there is one.
    """
    inside = fit.n - fit.launches
    usual = (inside - 2) / inside if inside > 2 else 1.0
    return (fit.launches - 1) * usual * fit.ratio / growth(memory(fit, rho), fit.n / fit.launches)


def told_by(fits: Sequence[SimpleNamespace]) -> list[tuple[SimpleNamespace, float, int]]:
    """(Fit, what it tells, its weight) of those whose blocks vary, each standing for itself."""
    speaking = [fit for fit in fits if fit.within > 0]
    rho = max(0.0, min(0.9, fmean(fit.rho for fit in speaking))) if speaking else 0.0
    return [(fit, witness(fit, rho), fit.launches - 1) for fit in speaking]


def whole_of(fits: Sequence[SimpleNamespace]) -> float:
    told = told_by(fits)
    return max(1.0, (20 + sum(one for _, one, _ in told)) / (20 + sum(weight for *_, weight in told)))


def own_scatter_of(fits: Sequence[SimpleNamespace], presumed: float) -> float:
    """The root of the estimating equation, by halving."""
    told = [(fit.n / fit.launches / fit.within, one, weight) for fit, one, weight in told_by(fits) if weight]
    if not told:
        return presumed
    usual = median(slope for slope, *_ in told)

    def beyond(variance: float) -> float:
        own = 20 * ((1 + usual * presumed**2) / (1 + usual * variance) - 1)
        return own + sum(one / (1 + slope * variance) - weight for slope, one, weight in told)

    low, high = 0.0, 1e9
    if beyond(low) <= 0:
        return 0.0
    for _ in range(200):
        middle = (low + high) / 2
        low, high = (middle, high) if beyond(middle) > 0 else (low, middle)
    return math.sqrt(low)


def common_of(fits: Sequence[SimpleNamespace], presumed: float, groups: Sequence[int]) -> SimpleNamespace:
    speaking = [fit.within > 0 for fit in fits]
    votes = [
        1 / sum(speaks and other == group for speaks, other in zip(speaking, groups, strict=True)) if own else 0.0
        for own, group in zip(speaking, groups, strict=True)
    ]
    total = sum(votes)
    rho = sum(vote * fit.rho for vote, fit in zip(votes, fits, strict=True)) / total if total else 0.0
    rho = max(0.0, min(0.9, rho))
    inflation = []
    for group in groups:
        told = weight = 0.0
        for fit, vote, other in zip(fits, votes, groups, strict=True):
            if other != group and vote:
                weight += (fit.launches - 1) * vote
                told += vote * witness(fit, rho)
        inflation.append(max(1.0, (20 * presumed + told) / (20 + weight)))
    return SimpleNamespace(rho=rho, inflation=inflation)


def spread_of(fit: SimpleNamespace, rho: float, inflation: float, presumption: float = 20.0) -> SimpleNamespace:
    rho = memory(fit, rho)
    presumed = growth(rho, fit.n / fit.launches) * inflation
    weight, inside = fit.launches - 1, fit.n - fit.launches
    alike = (1 - rho**2) / (1 + rho**2)
    point, variance, freedom = fit.point, fit.within, inside * alike
    if presumption:
        shrunk = (presumption * presumed + weight * fit.ratio) / (presumption + weight)
        if presumed <= 1.5:
            point = fit.together
            variance = fit.around * (fit.n - 1) / max(inside + weight * fit.ratio, 1)
            freedom = (fit.kept * fit.n - 1) * alike
        freedom = min(freedom, presumption + weight)
    else:
        shrunk = max(presumed, fit.ratio)
    chance = f_distribution.sf(fit.ratio / presumed, max(weight, 1), max(inside * alike, 1))
    if weight > 0 and chance < 0.02:
        return SimpleNamespace(
            point=fit.point, error=math.sqrt(fit.between / fit.n), freedom=weight, overruled=True
        )  # fmt: skip
    return SimpleNamespace(point=point, error=math.sqrt(variance * shrunk / fit.n), freedom=freedom, overruled=False)


def run(seed: int) -> list[Launches]:
    """The duels of a run: of two to five launches of one to fourteen blocks, some disturbed, correlated or apart."""
    rng = np.random.default_rng(seed)
    duels: list[Launches] = []
    for _ in range(rng.integers(2, 7)):
        apart = rng.choice([0.0, 0.5, 3.0])
        blocks = rng.integers(2, 15)
        duel = []
        for _ in range(rng.integers(1, 6)):
            noise = rng.standard_t(3, blocks + 1 - int(rng.integers(0, 2)))
            drift = np.cumsum(rng.normal(0, 0.7, len(noise))) if rng.random() < 0.4 else 0.0
            duel.append((noise + drift + apart * rng.normal()).round(3).tolist())
        duels.append(duel)
    if seed % 5 == 0:
        duels.append([[0.25] * 4] * 3)
    return duels


def stacked(duels: Sequence[Launches]) -> np.ndarray:
    rows, columns = max(len(duel) for duel in duels), max(len(launch) for duel in duels for launch in duel)
    table = np.full((len(duels), rows, columns), np.nan)
    for sheet, duel in zip(table, duels, strict=True):
        for row, launch in zip(sheet, duel, strict=False):
            row[: len(launch)] = launch
    return table


@pytest.mark.parametrize("seed", range(40))
def test_fits_are_what_the_definition_says(seed: int) -> None:
    duels = run(seed)
    fits = anova.fit(stacked(duels))
    for number, duel in enumerate(duels):
        expected = fit_one(duel)
        for field in FIELDS:
            value = getattr(fits, field)[number]
            assert value == pytest.approx(getattr(expected, field), rel=1e-9, abs=1e-12, nan_ok=True), field


@pytest.mark.parametrize("presumed", [1.0, 4.0])
@pytest.mark.parametrize("seed", range(40))
def test_a_run_tells_of_its_machine_what_the_definition_says(seed: int, presumed: float) -> None:
    duels = run(seed)
    groups = (np.arange(len(duels)) // 2).tolist()
    fits = [fit_one(duel) for duel in duels]
    for chosen in (groups, list(range(len(duels)))):
        expected = common_of(fits, presumed, chosen)
        shared = anova.common(anova.fit(stacked(duels)), presumed=presumed, groups=np.array(chosen))
        assert shared.rho == pytest.approx([expected.rho], rel=1e-9, abs=1e-12)
        assert shared.inflation == pytest.approx(expected.inflation, rel=1e-9)


@pytest.mark.parametrize("presumption", [0.0, 20.0])
@pytest.mark.parametrize(("rho", "inflation"), [(0.0, 1.0), (0.1, 1.2), (0.3, 1.0), (0.6, 5.0)])
@pytest.mark.parametrize("seed", range(10))
def test_the_error_is_what_the_definition_says(seed: int, rho: float, inflation: float, presumption: float) -> None:
    duels = run(seed)
    shared = anova.Common(rho=np.array([rho]), inflation=np.array([inflation]))
    spread = anova.spread(anova.fit(stacked(duels)), shared, presumption=presumption)
    for number, duel in enumerate(duels):
        expected = spread_of(fit_one(duel), rho, inflation, presumption)
        for field in ("point", "error", "freedom", "overruled"):
            value = getattr(spread, field)[number]
            assert value == pytest.approx(getattr(expected, field), rel=1e-9, abs=1e-12), field


def several(duels: Sequence[Launches]) -> list[SimpleNamespace]:
    return [fit_one(duel) for duel in duels]


@pytest.mark.parametrize("presumed", [0.0, 0.3, 2.0])
@pytest.mark.parametrize("seed", range(12))
def test_the_scatter_of_launches_solves_its_equation(seed: int, presumed: float) -> None:
    duels = run(seed)
    fits = anova.fit(stacked(duels))
    expected = own_scatter_of(several(duels), presumed)
    assert anova.own_scatter(fits, presumed=presumed) == pytest.approx(expected, rel=1e-6, abs=1e-5)
    assert anova.whole_inflation(fits) == pytest.approx(whole_of(several(duels)), rel=1e-9)


def test_a_scatter_that_is_far_greater_than_presumed_is_found() -> None:
    # Blocks that hardly vary, launches far apart: the search has to look well beyond where it begins.
    duel = [[level + 0.001 * block for block in range(4)] for level in (0.0, 50.0, 100.0)]
    found = anova.own_scatter(anova.fit(stacked([duel] * 30)), presumed=0.001)
    assert found == pytest.approx(own_scatter_of(several([duel] * 30), 0.001), rel=1e-6)
    assert 30 < found < 60


def test_how_many_times_more_launches_differ_that_scatter_of_their_own() -> None:
    fits = anova.fit(stacked([[[1.0, 2.0, 3.0], [2.0, 3.0, 4.0]], [[0.5] * 3] * 2, [[1.0, 5.0], [1.0, 5.0]]]))
    assert fits.within == pytest.approx([1.0, 0.0, 8.0])
    # Three blocks of variance 1, launches of standard deviation 2: 1 + 3 * 4 / 1. Without variance: not at all.
    assert anova.inflated(fits, launch_sd=2.0) == pytest.approx([13.0, 1.0, 2.0])
    assert anova.inflated(fits, launch_sd=0.0) == pytest.approx([1.0, 1.0, 1.0])


def test_blocks_that_only_drift_are_correlated_by_no_more_than_nine_tenths() -> None:
    drifting = [[[float(block) for block in range(60)]] * 3] * 2
    fits = anova.fit(stacked(drifting))
    assert fits.rho.min() > 0.9
    assert anova.common(fits).rho == pytest.approx([0.9])
    expected = common_of(several(drifting), 1.0, [0, 1])
    assert anova.common(fits).inflation == pytest.approx(expected.inflation, rel=1e-9)


@pytest.mark.parametrize("duel", [[[1.0, 2.0], [4.0, 5.5]], [[1.0, 2.0], [4.0, 5.5], [0.0, 0.5]], [[1.0, 2.0], [4.0]]])
def test_so_few_blocks_that_their_ratio_has_no_mean_count_as_they_are(duel: Launches) -> None:
    duels = [duel, [[3.0, 4.0, 7.0], [1.0, 2.0, 2.5]]]
    shared = anova.common(anova.fit(stacked(duels)))
    assert shared.inflation == pytest.approx(common_of(several(duels), 1.0, [0, 1]).inflation, rel=1e-9)


@pytest.mark.parametrize("duel", [[[1.0, 2.0]], [[1.0, 3.0], [2.0]], [[1.0], [2.0], [3.0, 3.5]]])
def test_the_error_of_the_smallest_duels_is_what_the_definition_says(duel: Launches) -> None:
    shared = anova.Common(rho=np.zeros(1), inflation=np.ones(1))
    spread = anova.spread(anova.fit(stacked([duel])), shared)
    expected = spread_of(fit_one(duel), 0.0, 1.0)
    for field in ("point", "error", "freedom", "overruled"):
        assert getattr(spread, field)[0] == pytest.approx(getattr(expected, field), rel=1e-9), field


def test_a_single_value_has_a_location_and_no_variance() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        fit = anova.fit(np.array([[[0.25]]]))
    assert (fit.point[0], fit.together[0], fit.n[0], fit.launches[0], fit.ratio[0]) == (0.25, 0.25, 1, 1, 1.0)
    assert np.isnan([fit.within[0], fit.between[0], fit.apart[0], fit.around[0]]).all()


def test_each_leading_index_is_a_run_of_its_own() -> None:
    runs = np.random.default_rng(8).normal(0, 1, (2, 3, 4, 7))
    runs[1, :, :, :2] += 3.0
    fits = anova.fit(runs)
    shared = anova.common(fits, presumed=2.0, groups=np.array([0, 0, 1]))
    spread = anova.spread(fits, shared)
    for number, one in enumerate(runs):
        alone = anova.fit(one)
        for field in FIELDS:
            assert getattr(fits, field)[number] == pytest.approx(getattr(alone, field), rel=1e-12), field
        own = anova.common(alone, presumed=2.0, groups=np.array([0, 0, 1]))
        assert shared.rho[number] == pytest.approx(own.rho)
        assert shared.inflation[number] == pytest.approx(own.inflation)
        expected = anova.spread(alone, own)
        assert spread.point[number] == pytest.approx(expected.point)
        assert spread.error[number] == pytest.approx(expected.error)
        assert spread.freedom[number] == pytest.approx(expected.freedom)


def test_of_more_values_than_can_be_paired_a_fixed_part_tells_the_scale() -> None:
    values = np.random.default_rng(9).normal(0, 1, (1, 2, 1_500))
    found = robust.scale(values)
    first, second = np.triu_indices(1_500, 1)
    of_all = 1.0483 * np.median(np.abs(values[..., first] - values[..., second]))
    assert found[0] != of_all
    assert found[0] == pytest.approx(of_all, rel=0.05)
    assert robust.scale(values) == found
    # A thousand are paired, each with each.
    thousand = values[..., :1_000]
    first, second = np.triu_indices(1_000, 1)
    assert robust.scale(thousand)[0] == pytest.approx(
        1.0483 * np.median(np.abs(thousand[..., first] - thousand[..., second])), rel=1e-12
    )
