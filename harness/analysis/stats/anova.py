"""The robust nested analysis of variance that both kinds of estimate stand on: values within blocks within launches.

Everything here takes arrays of shape (..., launches, blocks), NaN where a launch is shorter, and treats each leading
index as a data set of its own, so that a simulation of a million duels runs the very code that judges one.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import TYPE_CHECKING

import numpy as np

from harness.analysis.stats.robust import median, scale

if TYPE_CHECKING:
    from harness.analysis.stats.grouped import BoolArray, FloatArray, IntArray

CLIP = 2.5
"""Residuals beyond this many robust standard deviations are drawn in to it (Huber's ψ): 1.2 % of Gaussian ones."""

TOGETHER_CLIP = 1.345
"""The same for all values taken together, where no launch has to be seen: 95 % as efficient on Gaussian values (Huber
1964), and with less faith in repetitions that other guests of the host have slowed."""

ONE_SAMPLE = 1.5
"""Launches that are presumed to differ by up to so many times what their blocks explain are taken as one sample: beyond
it, a value far from the centre of all may be a launch's own."""

TOGETHER_STEPS = 4
"""Newton steps from the median to the M-estimate."""

LEAST_KEPT = 0.2
"""The share of values left alone that a step counts with at least."""


PRIOR_FREEDOM = 20.0
"""Degrees of freedom that the presumption weighs: launches of a duel differ by no more than their pairs explain.

Stated and not hidden: twelve launches of six pairs on two shared cores had means that differed by 0.9 % where the pairs
alone explain 1.2 %. With three launches the data themselves carry two degrees of freedom, and so can contradict but
hardly replace it.
"""

CONTRADICTION = 0.02
"""Launches that differ by more than chance explains at this probability overrule the presumption altogether."""

OWN_MEMORY = 100.0
"""Blocks after which a data set's own autocorrelation weighs as much as the one that the whole run shows."""

SHORTEST_MEMORY = 6
"""Blocks per launch below which an autocorrelation cannot be told; there the comparison of launches has to see it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Nested:
    """Fits of shape (...): location, spread within launches, and how much launches differ beyond it.

    `within` is the variance of one value inside a launch (NaN where no launch has two), `between` the mean square
    between launches (equal to it where there is one launch); `rho` is the correlation of neighbouring blocks; `n` and
    `launches` count. `apart` is `between` without the allowance for values drawn in, which few values exaggerate: how
    far the launches' locations lie apart. `together` is the location of all values as one sample, `around` the variance
    of one value about it, and `kept` the share of values that were not drawn in for it.
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
    """What the data sets of one run share because it belongs to the machine; both broadcast against the fits.

    `rho` is the correlation of neighbouring blocks; `inflation` says how many times more the launches of the *other*
    data sets differ than their blocks, so correlated, explain (at least 1).
    """

    rho: FloatArray
    inflation: FloatArray


@dataclass(frozen=True, slots=True, kw_only=True)
class Spread:
    """The location, its standard error and degrees of freedom, and whether launches contradict the presumption."""

    point: FloatArray
    error: FloatArray
    freedom: FloatArray
    overruled: BoolArray


def fit(values: FloatArray) -> Nested:
    """Fit each data set of `values`, shape (..., launches, blocks).

    The location is a one-step M-estimate: each launch's mean after its residuals from the launch's own median were
    clipped, so that a few seconds at half speed count as a slow pair and not as what they were; the variance is the
    matching one (Huber 1981, 6.4: the clipped sum of squares over the squared share of values left alone). Clipping is
    within launches only: a launch that differs as a whole is the very thing that must be seen, not clipped away.
    Whoever may presume that launches do not differ has the M-estimate of all values together beside it: its centre is
    not that of four or five values, and so it can do without the doubtful ones.
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
    """How many times more launches differ than blocks explain, where they scatter by `launch_sd` of their own."""
    with np.errstate(divide="ignore", invalid="ignore"):
        beyond = nested.n / nested.launches * launch_sd**2 / nested.within
    return np.where(nested.within > 0, 1 + beyond, 1.0)


def common(nested: Nested, *, presumed: float | FloatArray = 1.0, groups: IntArray | None = None) -> Common:
    """What the data sets along the last axis say together of the machine that they were measured on.

    Three launches of a few blocks say little about how much launches differ and how long a disturbance lasts, but the
    sixty pairs of a run tell it together. The inflation `presumed` counts `PRIOR_FREEDOM` degrees beside them. Data
    sets with the same number in `groups` come from the same repetitions: together they are one witness, and none for
    one another. Without `groups`, each stands for itself. What does not vary inside launches is no witness.
    """
    if groups is None:
        groups = np.arange(nested.point.shape[-1])
    members = (groups[:, None] == groups).astype(float)
    speaks = (nested.within > 0).astype(float)
    votes = speaks / np.maximum(speaks @ members, 1.0)
    rho = _mean_correlation(nested, votes)
    weight, told = _witness(nested, rho, votes=votes)
    # Their own group is left out of what others are told: it speaks for itself in `spread`.
    others_weight = weight.sum(-1, keepdims=True) - weight @ members
    others_told = told.sum(-1, keepdims=True) - told @ members
    return Common(rho=rho, inflation=_presumed(presumed, told=others_told, weight=others_weight))


def whole_inflation(nested: Nested) -> float:
    """The inflation that all data sets (one axis) show together, nobody left out."""
    weight, told = _witnesses(nested)
    return float(_presumed(1.0, told=told.sum(-1), weight=weight.sum(-1)))


def own_scatter(nested: Nested, *, presumed: float) -> float:
    """The standard deviation by which the launches of all data sets (one axis) scatter of their own; at least 0.

    It is the one with which their F ratios are, on average, what was to be expected (the estimating equation of Paule
    and Mandel 1982, over many data sets): so a data set whose blocks scatter widely, which tells little of launches,
    weighs little. That `presumed` counts as `PRIOR_FREEDOM` degrees of launches that scattered just so.
    """
    from scipy.optimize import brentq

    weight, told = _witnesses(nested)
    if not weight.any():
        return presumed
    with np.errstate(divide="ignore", invalid="ignore"):
        slope = np.where(weight > 0, nested.n / nested.launches / nested.within, 0.0)
    usual = float(np.median(slope[weight > 0]))

    def beyond(variance: float) -> float:
        """By how much the ratios exceed what they would be with that variance."""
        own = PRIOR_FREEDOM * ((1 + usual * presumed**2) / (1 + usual * variance) - 1)
        return own + float((told / (1 + slope * variance) - weight).sum())

    if beyond(0.0) <= 0:
        return 0.0
    high = max(presumed**2, 1 / usual)
    while beyond(high) > 0:
        high *= 2
    return float(np.sqrt(brentq(beyond, 0.0, high)))


def _witnesses(nested: Nested) -> tuple[FloatArray, FloatArray]:
    """What each of the data sets (one axis) says of launches (`_witness`), each standing for itself."""
    votes = (nested.within > 0).astype(float)
    return _witness(nested, _mean_correlation(nested, votes), votes=votes)


def _mean_correlation(nested: Nested, votes: FloatArray) -> FloatArray:
    mean = (votes * nested.rho).sum(-1, keepdims=True) / np.maximum(votes.sum(-1, keepdims=True), 1e-9)
    correlation: FloatArray = np.clip(mean, 0.0, 0.9)
    return correlation


def _witness(nested: Nested, rho: FloatArray, *, votes: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Degrees of freedom with which each data set speaks of launches, and those times its excess.

    The excess is how many times more its launches differ than its blocks, of correlation `rho`, explain: 1 on average
    if no more. The mean of an F ratio with d degrees of freedom below the line is d / (d − 2), which is taken out.
    """
    inside = nested.n - nested.launches
    usual = np.where(inside > 2, (inside - 2) / np.maximum(inside, 1), 1.0)
    ratio = np.where(votes > 0, nested.ratio, 0.0)
    weight = (nested.launches - 1) * votes
    return weight, weight * usual * ratio / _growth(_memory(nested, rho), nested.n / nested.launches)


def _presumed(prior: float | FloatArray, *, told: FloatArray, weight: FloatArray) -> FloatArray:
    return np.maximum(1.0, (PRIOR_FREEDOM * prior + told) / (PRIOR_FREEDOM + weight))


def spread(
    nested: Nested,
    shared: Common,
    *,
    presumption: float = PRIOR_FREEDOM,
    contradiction: float = CONTRADICTION,
    own_memory: float = OWN_MEMORY,
) -> Spread:
    """The location with its standard error and freedom; `shared` broadcasts against the fits.

    The variance between launches is the presumed one, with the weight of `presumption` degrees of freedom, moderated by
    the launches' own (Smyth 2004, eq. 4); without any presumption it is the larger of the two. The location is that of
    all values together where launches are presumed alike (`ONE_SAMPLE`), else the mean of the launches. Where chance
    alone would part launches that far with a probability below `contradiction`, they alone decide, with one degree of
    freedom fewer than there are launches. Correlated blocks carry fewer, by (1 − ρ²) / (1 + ρ²) (Bartlett 1935); a data
    set's own correlation weighs as much as the shared one where it has `own_memory` blocks.
    """
    from scipy.special import fdtrc

    rho = _memory(nested, shared.rho, own_memory)
    presumed = _growth(rho, nested.n / nested.launches) * shared.inflation
    weight = nested.launches - 1
    alike = (1 - rho**2) / (1 + rho**2)
    inside = (nested.n - nested.launches) * alike
    point, variance, freedom = nested.point, nested.within, inside
    if presumption:
        moderated = (presumption * presumed + weight * nested.ratio) / (presumption + weight)
        one = presumed <= ONE_SAMPLE
        # What launches differ by is in `around` once, and must not be counted again.
        around = nested.around * (nested.n - 1) / np.maximum(nested.n - nested.launches + weight * nested.ratio, 1)
        point, variance = np.where(one, nested.together, point), np.where(one, around, variance)
        # A value that was drawn in says where the centre is not, and hardly anything of the spread.
        freedom = np.minimum(np.where(one, (nested.kept * nested.n - 1) * alike, freedom), presumption + weight)
    else:
        moderated = np.maximum(presumed, nested.ratio)
    chance = fdtrc(np.maximum(weight, 1), np.maximum(inside, 1), nested.ratio / presumed)
    overruled = (weight > 0) & (chance < contradiction)
    with np.errstate(invalid="ignore"):
        square = np.where(overruled, nested.between, variance * moderated)
    return Spread(
        point=np.where(overruled, nested.point, point),
        error=np.sqrt(square / nested.n),
        freedom=np.where(overruled, weight, freedom),
        overruled=overruled,
    )


def without(nested: Nested, absent: BoolArray) -> Nested:
    """The fits, along a single leading axis, that are not `absent`."""
    kept = {field.name: getattr(nested, field.name)[~absent] for field in fields(nested)}
    return Nested(**kept)


def _together(values: FloatArray, sd: FloatArray) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Huber's M-estimate of the values along the last axis, their variance about it, and the share left alone."""
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
    """Correlation of neighbouring blocks, corrected for each launch's mean having been taken out.

    E[r] ≈ ρ − (1 + 3ρ) / length (Marriott and Pope 1954).
    """
    squares = (rest**2).sum((-2, -1))
    products = (rest[..., 1:] * rest[..., :-1]).sum((-2, -1))
    raw = products / np.where(squares > 0, squares, 1.0)
    long = (length >= SHORTEST_MEMORY) & (squares > 0)
    return np.where(long, (length * raw + 1) / np.maximum(length - 3, 1), 0.0)


def _memory(nested: Nested, rho: FloatArray, own_memory: float = OWN_MEMORY) -> FloatArray:
    """A data set's own correlation moderated by the one that the run shows, between 0 and 0.9."""
    own = nested.n / (nested.n + own_memory)
    return np.clip(own * nested.rho + (1 - own) * rho, 0.0, 0.9)


def _growth(rho: FloatArray, length: FloatArray) -> FloatArray:
    """The F ratio that an AR(1) of correlation `rho` alone gives launches of `length` blocks: 1 for rho = 0.

    The variance of a launch's mean grows by 1 + 2 Σ (1 − j / length) ρʲ, and that within the launch shrinks to match.
    """
    growth = 1 + 2 * rho / (1 - rho) - 2 * rho * (1 - rho**length) / (length * (1 - rho) ** 2)
    return growth / (1 - (growth - 1) / np.maximum(length - 1, 1))
