"""The nested analysis of variance against its definition, written out for one duel at a time in plain Python."""

import math
from collections.abc import Sequence
from itertools import combinations, pairwise
from statistics import fmean, median
from types import SimpleNamespace

import numpy as np
import pytest
from scipy.stats import f as f_distribution

from harness.judge import nested

Launches = list[list[float]]

FIELDS = ("point", "within", "between", "together", "around", "kept", "rho", "n", "launches", "ratio")


def clip(value: float, limit: float) -> float:
    return value if limit == 0 else max(-limit, min(limit, value))


def fit_one(launches: Launches) -> SimpleNamespace:
    """One data set: `nested.fit` as its docstring and its constants state it."""
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
    between = within
    if k > 1:
        apart = sum(len(launch) * (mean - point) ** 2 for launch, mean in zip(launches, means, strict=True))
        between = apart / (k - 1) / left_alone**2
    ratio = between / within if within > 0 else math.inf if between > 0 and within == 0 else 1.0
    together, around, kept = huber(values, 1.345 * sd)
    return SimpleNamespace(
        point=point, within=within, between=between, ratio=ratio, together=together, around=around, kept=kept,
        rho=correlation(rest, squares, n / k), n=n, launches=k,
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
                one = (fit.launches - 1) * vote
                inside = fit.n - fit.launches
                usual = (inside - 2) / inside if inside > 2 else 1.0
                weight += one
                told += one * usual * fit.ratio / growth(memory(fit, rho), fit.n / fit.launches)
        inflation.append(max(1.0, (20 * presumed + told) / (20 + weight)))
    return SimpleNamespace(rho=rho, inflation=inflation)


def spread_of(fit: SimpleNamespace, rho: float, inflation: float, presumption: float = 20.0) -> SimpleNamespace:
    rho = memory(fit, rho)
    presumed = growth(rho, fit.n / fit.launches) * inflation
    weight, inside = fit.launches - 1, fit.n - fit.launches
    alike = (1 - rho**2) / (1 + rho**2)
    point, variance, freedom = fit.point, fit.within, inside * alike
    if presumption:
        moderated = (presumption * presumed + weight * fit.ratio) / (presumption + weight)
        if presumed <= 1.5:
            point = fit.together
            variance = fit.around * (fit.n - 1) / max(inside + weight * fit.ratio, 1)
            freedom = (fit.kept * fit.n - 1) * alike
        freedom = min(freedom, presumption + weight)
    else:
        moderated = max(presumed, fit.ratio)
    chance = f_distribution.sf(fit.ratio / presumed, max(weight, 1), max(inside * alike, 1))
    if weight > 0 and chance < 0.02:
        return SimpleNamespace(
            point=fit.point, error=math.sqrt(fit.between / fit.n), freedom=weight, overruled=True
        )  # fmt: skip
    return SimpleNamespace(point=point, error=math.sqrt(variance * moderated / fit.n), freedom=freedom, overruled=False)


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
    fits = nested.fit(stacked(duels))
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
        shared = nested.common(nested.fit(stacked(duels)), presumed=presumed, groups=np.array(chosen))
        assert shared.rho == pytest.approx([expected.rho], rel=1e-9, abs=1e-12)
        assert shared.inflation == pytest.approx(expected.inflation, rel=1e-9)


@pytest.mark.parametrize("presumption", [0.0, 20.0])
@pytest.mark.parametrize(("rho", "inflation"), [(0.0, 1.0), (0.1, 1.2), (0.3, 1.0), (0.6, 5.0)])
@pytest.mark.parametrize("seed", range(10))
def test_the_error_is_what_the_definition_says(seed: int, rho: float, inflation: float, presumption: float) -> None:
    duels = run(seed)
    shared = nested.Common(rho=np.array([rho]), inflation=np.array([inflation]))
    spread = nested.spread(nested.fit(stacked(duels)), shared, presumption=presumption)
    for number, duel in enumerate(duels):
        expected = spread_of(fit_one(duel), rho, inflation, presumption)
        for field in ("point", "error", "freedom", "overruled"):
            value = getattr(spread, field)[number]
            assert value == pytest.approx(getattr(expected, field), rel=1e-9, abs=1e-12), field
