"""Robust nested analysis of variance: values within blocks within launches. Both kinds of estimate use it.

The functions take arrays of shape (..., launches, blocks), padded with NaN where a launch is shorter. Each leading
index is a separate data set. So a simulation of a million duels runs the same code as one duel.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from harness.analysis.stats.robust import median, scale

if TYPE_CHECKING:
    from harness.analysis.stats.grouped import BoolArray, FloatArray, IntArray

CLIP = 2.5
"""Residuals beyond this many robust standard deviations are clipped to it (Huber's ψ): 1.2 % of Gaussian values."""

TOGETHER_CLIP = 1.345
"""The clipping limit for all values as one sample: 95 % efficient on Gaussian values (Huber 1964). It is tighter than
`CLIP`, because no launch effect has to stay visible, and it limits repetitions that other guests of the host slowed."""

ONE_SAMPLE = 1.5
"""If launches are presumed to vary by at most this multiple of what their blocks explain, all values are one sample.
Beyond it, a value far from the common centre may belong to its launch."""

TOGETHER_STEPS = 4
"""Newton steps from the median to the M-estimate."""

LEAST_KEPT = 0.2
"""The lower bound of the unclipped fraction of values in a Newton step."""


PRIOR_FREEDOM = 20.0
"""Degrees of freedom of the prior that a duel's launches differ by no more than their pairs explain.

The evidence: twelve launches of six pairs on two shared cores had means that differed by 0.9 %, and the pairs alone
explain 1.2 %. Three launches carry only two degrees of freedom. They can contradict the prior but hardly replace it.
"""

CONTRADICTION = 0.02
"""If chance explains the launches' differences with less than this probability, the data override the prior."""

OWN_MEMORY = 100.0
"""At this many blocks a data set's own autocorrelation weighs as much as that of the whole run."""

SHORTEST_MEMORY = 6
"""With fewer blocks per launch no autocorrelation is estimated; the comparison of launches has to reveal it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Nested:
    """Fits of shape (...): location, spread within launches, and how much launches differ beyond it.

    `within` is the variance of one value inside a launch (NaN where no launch has two), `between` the mean square
    between launches (equal to it where there is one launch); `rho` is the correlation of neighbouring blocks; `n` and
    `launches` count. `apart` is `between` without the correction for clipped values, which small samples exaggerate:
    how far apart the launches' locations are. `together` is the location of all values as one sample, `around` the
    variance of one value about it, and `kept` the fraction of values that were not clipped for it.
    """

    point: FloatArray
    within: FloatArray
    between: FloatArray
    apart: FloatArray
    together: FloatArray
    around: FloatArray
    kept: FloatArray
    rho: FloatArray
    n: FloatArray
    launches: FloatArray

    @property
    def ratio(self) -> FloatArray:
        """The F ratio of the two mean squares: 1 where neither varies, infinite where only launches do."""
        with np.errstate(divide="ignore", invalid="ignore"):
            ratio = self.between / self.within
        return np.where(np.isnan(ratio), 1.0, ratio)


@dataclass(frozen=True, slots=True, kw_only=True)
class Common:
    """Properties of the machine that all data sets of a run share; both fields broadcast against the fits.

    `rho` is the correlation of neighbouring blocks. `inflation` is the variance ratio (at least 1) between the launches
    of the *other* data sets and what their correlated blocks explain.
    """

    rho: FloatArray
    inflation: FloatArray


@dataclass(frozen=True, slots=True, kw_only=True)
class Spread:
    """The location, its standard error and degrees of freedom, and whether the launches contradict the prior."""

    point: FloatArray
    error: FloatArray
    freedom: FloatArray
    overruled: BoolArray


def fit(values: FloatArray) -> Nested:
    """Fit each data set of `values`, shape (..., launches, blocks).

    The location is a one-step M-estimate: each launch's mean after clipping the residuals from the launch's median. So
    a few seconds at half speed count as one slow pair. The variance is the matching one (Huber 1981, 6.4: the clipped
    sum of squares divided by the squared fraction of unclipped values). Clipping is within launches only: a launch that
    differs as a whole must stay visible. `together` is the M-estimate of all values as one sample, for a caller that
    presumes equal launches. Its centre uses all values and not four or five, so it can discount more of them.
    """
    present = ~np.isnan(values)
    sizes = present.sum(-1).astype(float)
    n = sizes.sum(-1)
    launches = (sizes > 0).sum(-1).astype(float)
    medians = median(values)
    residuals = values - medians[..., None]
    sd = scale(values)
    limit = CLIP * sd[..., None, None]
    clipped = np.where(limit > 0, np.clip(residuals, -limit, limit), residuals)
    untouched = (present & ((np.abs(residuals) <= limit) | (limit <= 0))).sum((-2, -1)) / n
    offsets = np.nansum(clipped, -1) / np.maximum(sizes, 1)
    means = np.where(sizes > 0, medians + offsets, 0.0)
    point = (sizes * means).sum(-1) / n
    rest = np.where(present, clipped - offsets[..., None], 0.0)
    freedom = n - launches
    with np.errstate(divide="ignore", invalid="ignore"):
        within = np.where(freedom > 0, (rest**2).sum((-2, -1)) / freedom / untouched**2, np.nan)
        apart = (sizes * (means - point[..., None]) ** 2).sum(-1) / (launches - 1)
        between = np.where(launches > 1, apart / untouched**2, within)
        apart = np.where(launches > 1, apart, within)
    together, around, kept = _together(values.reshape(*values.shape[:-2], -1), sd)
    return Nested(
        point=point,
        within=within,
        between=between,
        apart=apart,
        together=together,
        around=around,
        kept=kept,
        rho=_neighbours(rest, length=n / launches),
        n=n,
        launches=launches,
    )


def inflated(nested: Nested, *, launch_sd: float) -> FloatArray:
    """The variance ratio of launches to what blocks explain, if launches add a standard deviation of `launch_sd`."""
    with np.errstate(divide="ignore", invalid="ignore"):
        beyond = nested.n / nested.launches * launch_sd**2 / nested.within
    return np.where(nested.within > 0, 1 + beyond, 1.0)


def common(nested: Nested, *, presumed: float | FloatArray = 1.0, groups: IntArray | None = None) -> Common:
    """Estimate the machine's properties from all data sets along the last axis.

    Three launches of a few blocks hold little information on how much launches differ and how long disturbances last;
    the sixty pairs of a run together hold enough. The prior inflation `presumed` weighs `PRIOR_FREEDOM` degrees of
    freedom. Data sets with the same number in `groups` come from the same repetitions: together they count once, and
    they are no evidence for each other. Without `groups` each data set is its own group. A data set that does not vary
    within launches is ignored.
    """
    if groups is None:
        groups = np.arange(nested.point.shape[-1])
    members = (groups[:, None] == groups).astype(float)
    speaks = (nested.within > 0).astype(float)
    votes = speaks / np.maximum(speaks @ members, 1.0)
    rho = _mean_correlation(nested, votes)
    weight, evidence = _witness(nested, rho, votes=votes)
    # A data set's own group is excluded from its prior: `spread` uses it directly.
    others_weight = weight.sum(-1, keepdims=True) - weight @ members
    others_evidence = evidence.sum(-1, keepdims=True) - evidence @ members
    return Common(rho=rho, inflation=_presumed(presumed, evidence=others_evidence, weight=others_weight))


def whole_inflation(nested: Nested) -> float:
    """The inflation estimated from all data sets (one axis), without leaving any group out."""
    weight, evidence = _witnesses(nested)
    return float(_presumed(1.0, evidence=evidence.sum(-1), weight=weight.sum(-1)))


def own_scatter(nested: Nested, *, presumed: float) -> float:
    """The standard deviation that launches add to that of their blocks, from all data sets (one axis); at least 0.

    It is the value at which the F ratios have their expected mean (the estimating equation of Paule and Mandel 1982,
    over many data sets). So a data set whose blocks vary widely, with little information on launches, weighs little.
    The prior `presumed` weighs `PRIOR_FREEDOM` degrees of freedom.
    """
    from scipy.optimize import brentq

    weight, evidence = _witnesses(nested)
    if not weight.any():
        return presumed
    with np.errstate(divide="ignore", invalid="ignore"):
        slope = np.where(weight > 0, nested.n / nested.launches / nested.within, 0.0)
    usual = float(np.median(slope[weight > 0]))

    def beyond(variance: float) -> float:
        """How far the ratios exceed their expectation under that launch variance."""
        own = PRIOR_FREEDOM * ((1 + usual * presumed**2) / (1 + usual * variance) - 1)
        return own + float((evidence / (1 + slope * variance) - weight).sum())

    if beyond(0.0) <= 0:
        return 0.0
    high = max(presumed**2, 1 / usual)
    while beyond(high) > 0:
        high *= 2
    return float(np.sqrt(brentq(beyond, 0.0, high)))


def _witnesses(nested: Nested) -> tuple[FloatArray, FloatArray]:
    """`_witness` for data sets (one axis) of which each is its own group."""
    votes = (nested.within > 0).astype(float)
    return _witness(nested, _mean_correlation(nested, votes), votes=votes)


def _mean_correlation(nested: Nested, votes: FloatArray) -> FloatArray:
    mean = (votes * nested.rho).sum(-1, keepdims=True) / np.maximum(votes.sum(-1, keepdims=True), 1e-9)
    correlation: FloatArray = np.clip(mean, 0.0, 0.9)
    return correlation


def _witness(nested: Nested, rho: FloatArray, *, votes: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Each data set's degrees of freedom for the launch variance, and that number times its excess.

    The excess is the variance ratio of its launches to what its blocks, with correlation `rho`, explain; its mean is 1
    without a launch effect. The mean of an F ratio with d denominator degrees of freedom is d / (d − 2); it is
    corrected for.
    """
    inside = nested.n - nested.launches
    usual = np.where(inside > 2, (inside - 2) / np.maximum(inside, 1), 1.0)
    ratio = np.where(votes > 0, nested.ratio, 0.0)
    weight = (nested.launches - 1) * votes
    return weight, weight * usual * ratio / _growth(_memory(nested, rho), nested.n / nested.launches)


def _presumed(prior: float | FloatArray, *, evidence: FloatArray, weight: FloatArray) -> FloatArray:
    return np.maximum(1.0, (PRIOR_FREEDOM * prior + evidence) / (PRIOR_FREEDOM + weight))


def spread(
    nested: Nested,
    shared: Common,
    *,
    presumption: float = PRIOR_FREEDOM,
    contradiction: float = CONTRADICTION,
    own_memory: float = OWN_MEMORY,
) -> Spread:
    """The location with its standard error and freedom; `shared` broadcasts against the fits.

    The variance between launches is the weighted mean of the prior, with `presumption` degrees of freedom, and the
    launches' own (Smyth 2004, eq. 4). Without a prior it is the larger of the two. The location is that of all values
    if launches are presumed equal (`ONE_SAMPLE`), else the mean of the launches. If chance explains the launches'
    differences with a probability below `contradiction`, only the launches count, with (launches − 1) degrees of
    freedom. Correlated blocks have fewer degrees, by the factor (1 − ρ²) / (1 + ρ²) (Bartlett 1935). A data set's own
    correlation weighs as much as the shared one at `own_memory` blocks.
    """
    from scipy.special import fdtrc

    rho = _memory(nested, shared.rho, own_memory)
    presumed = _growth(rho, nested.n / nested.launches) * shared.inflation
    weight = nested.launches - 1
    alike = (1 - rho**2) / (1 + rho**2)
    inside = (nested.n - nested.launches) * alike
    point, variance, freedom = nested.point, nested.within, inside
    if presumption:
        shrunk = (presumption * presumed + weight * nested.ratio) / (presumption + weight)
        one = presumed <= ONE_SAMPLE
        # `around` already contains the launch effect once: do not count it again.
        around = nested.around * (nested.n - 1) / np.maximum(nested.n - nested.launches + weight * nested.ratio, 1)
        point, variance = np.where(one, nested.together, point), np.where(one, around, variance)
        # A clipped value holds hardly any information on the spread.
        freedom = np.minimum(np.where(one, (nested.kept * nested.n - 1) * alike, freedom), presumption + weight)
    else:
        shrunk = np.maximum(presumed, nested.ratio)
    chance = fdtrc(np.maximum(weight, 1), np.maximum(inside, 1), nested.ratio / presumed)
    overruled = (weight > 0) & (chance < contradiction)
    with np.errstate(invalid="ignore"):
        square = np.where(overruled, nested.between, variance * shrunk)
    return Spread(
        point=np.where(overruled, nested.point, point),
        error=np.sqrt(square / nested.n),
        freedom=np.where(overruled, weight, freedom),
        overruled=overruled,
    )


def _together(values: FloatArray, sd: FloatArray) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Huber's M-estimate of the values along the last axis, their variance about it, and the unclipped fraction."""
    present = ~np.isnan(values)
    n = present.sum(-1)
    limit = TOGETHER_CLIP * sd[..., None]
    centre = median(values)

    def drawn_in() -> tuple[FloatArray, FloatArray]:
        rest = values - centre[..., None]
        alone = present & ((np.abs(rest) <= limit) | (limit <= 0))
        drawn = np.where(limit > 0, np.clip(rest, -limit, limit), rest)
        return np.where(present, drawn, 0.0), np.maximum(alone.sum(-1) / n, LEAST_KEPT)

    for _ in range(TOGETHER_STEPS):
        rest, kept = drawn_in()
        centre = centre + rest.sum(-1) / n / kept
    rest, kept = drawn_in()
    with np.errstate(divide="ignore", invalid="ignore"):
        around = np.where(n > 1, (rest**2).sum(-1) / (n - 1) / kept**2, np.nan)
    return centre, around, kept


def _neighbours(rest: FloatArray, *, length: FloatArray) -> FloatArray:
    """Correlation of neighbouring blocks, corrected for the subtraction of each launch's mean.

    E[r] ≈ ρ − (1 + 3ρ) / length (Marriott and Pope 1954).
    """
    squares = (rest**2).sum((-2, -1))
    products = (rest[..., 1:] * rest[..., :-1]).sum((-2, -1))
    raw = products / np.where(squares > 0, squares, 1.0)
    long = (length >= SHORTEST_MEMORY) & (squares > 0)
    return np.where(long, (length * raw + 1) / np.maximum(length - 3, 1), 0.0)


def _memory(nested: Nested, rho: FloatArray, own_memory: float = OWN_MEMORY) -> FloatArray:
    """The weighted mean of a data set's own correlation and the run's, clipped to 0 … 0.9."""
    own = nested.n / (nested.n + own_memory)
    return np.clip(own * nested.rho + (1 - own) * rho, 0.0, 0.9)


def _growth(rho: FloatArray, length: FloatArray) -> FloatArray:
    """The F ratio that an AR(1) of correlation `rho` alone gives launches of `length` blocks: 1 for rho = 0.

    The variance of a launch's mean grows by 1 + 2 Σ (1 − j / length) ρʲ, and that within the launch shrinks to match.
    """
    growth = 1 + 2 * rho / (1 - rho) - 2 * rho * (1 - rho**length) / (length * (1 - rho) ** 2)
    return growth / (1 - (growth - 1) / np.maximum(length - 1, 1))
