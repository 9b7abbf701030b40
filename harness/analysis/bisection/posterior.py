"""The posterior of a bisection: at which places of an ordered list a metric changed.

The places are versions, commits or sets of packages, in order. The first is *good* with the level 0, the last is *bad*
with the level 1; a level is a place's log-ratio to good as a fraction of bad's. Levels form a Markov chain: at each
step from one place to the next a level stays, or changes with a small probability to another one of `LEVELS`. A
measurement shows a place's level with an error. The forward-backward algorithm gives the exact posterior.

So one change, several changes and a change that came back are all hypotheses of one model; the first is by far the most
probable before anything is measured.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from harness.analysis.stats.grouped import FloatArray, IntArray

LEVELS: tuple[float, ...] = (-1.0, -0.75, -0.5, -0.25, 0.0, 0.25, 0.5, 0.75, 1.0, 1.5, 2.0)
"""The levels that a place may have. Between them the nearest stands for a place's own. In a wide gap a place would look
like a stray measurement, which keeps the answer from being certain; more levels cost more probes."""
GOOD, BAD = LEVELS.index(0.0), LEVELS.index(1.0)
EXTRA_STEPS = 0.4
"""The expected number of further changes, beside the one that is known to be somewhere. The larger it is, the more
places are measured only to see whether something changed there and came back."""
USUAL = 10.0
"""A change leads this many times as often to the level of good or of bad as to another one."""
LEVEL_SD = 0.07
"""How far (standard deviation) a place's own level may lie from that of `LEVELS` which stands for it."""
STRAY = 0.002
"""The probability that a measurement shows nothing of its place: its error is of another kind than is known."""
STRAY_WIDTH = 5.0
"""Such a measurement shows any level of a range of this width."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LevelReading:
    """A measurement of one place: the level, its standard error, and the degrees of freedom of Student's t."""

    place: int
    level: float
    error: float
    freedom: float

    def log_likelihoods(self) -> FloatArray:
        """The logarithm of the density of this measurement for each of `LEVELS`."""
        from scipy.special import gammaln

        scale = np.hypot(self.error, LEVEL_SD)
        # Of the sum of both variances (Satterthwaite 1946): only that of the error was estimated.
        estimated = max((self.error / scale) ** 4, 1e-12)
        freedom = min(self.freedom / estimated, 1e6)
        distance = (self.level - np.asarray(LEVELS)) / scale
        peak = gammaln((freedom + 1) / 2) - gammaln(freedom / 2) - 0.5 * np.log(freedom * np.pi) - np.log(scale)
        density = np.exp(peak - (freedom + 1) / 2 * np.log1p(distance**2 / freedom))
        found: FloatArray = np.log((1 - STRAY) * density + STRAY / STRAY_WIDTH)
        return found


@dataclass(frozen=True)
class Posterior:
    """What is known of `count` places. Places in `skipped` cannot be measured, so changes are located between others.

    `levels` has the shape (places that are not skipped, LEVELS): the probability of each level. `changes` is the
    probability of a change between each of these places and the next.
    """

    count: int
    readings: Sequence[LevelReading]
    skipped: Collection[int] = ()

    @cached_property
    def places(self) -> IntArray:
        """The places that are not skipped, in order."""
        found: IntArray = np.array([place for place in range(self.count) if place not in self.skipped])
        return found

    @cached_property
    def _likelihoods(self) -> FloatArray:
        """Shape (places, LEVELS), each row scaled to a maximum of 1."""
        logs = np.zeros((len(self.places), len(LEVELS)))
        row = {int(place): number for number, place in enumerate(self.places)}
        for reading in self.readings:
            if reading.place in row:
                logs[row[reading.place]] += reading.log_likelihoods()
        found: FloatArray = np.exp(logs - logs.max(-1, keepdims=True))
        for number, level in ((0, GOOD), (-1, BAD)):
            found[number] = 0.0
            found[number, level] = 1.0
        return found

    @cached_property
    def _transitions(self) -> FloatArray:
        """Shape (gaps, LEVELS, LEVELS): the probability of each level after a gap, given the level before it."""
        weights = np.ones(len(LEVELS))
        weights[[GOOD, BAD]] = USUAL
        leaving = np.tile(weights, (len(LEVELS), 1))
        np.fill_diagonal(leaving, 0.0)
        leaving /= leaving.sum(-1, keepdims=True)
        changed = 1 - (1 - EXTRA_STEPS / max(1, self.count - 1)) ** np.diff(self.places)
        found: FloatArray = changed[:, None, None] * leaving + (1 - changed)[:, None, None] * np.eye(len(LEVELS))
        return found

    @cached_property
    def _forward(self) -> FloatArray:
        return self._passed(self._likelihoods, self._transitions)

    @cached_property
    def _backward(self) -> FloatArray:
        turned = self._transitions[::-1].swapaxes(-1, -2)
        return self._passed(self._likelihoods[::-1], turned)[::-1]

    @staticmethod
    def _passed(likelihoods: FloatArray, transitions: FloatArray) -> FloatArray:
        """Each place's levels given what was measured up to it and there; scaled to a sum of 1."""
        found = np.empty_like(likelihoods)
        found[0] = likelihoods[0]
        for number, step in enumerate(transitions, 1):
            reached = (found[number - 1] @ step) * likelihoods[number]
            found[number] = reached / max(reached.sum(), np.finfo(float).tiny)
        return found

    @cached_property
    def levels(self) -> FloatArray:
        """The probability of each level at each place."""
        both = self._forward * self._backward / np.where(self._likelihoods > 0, self._likelihoods, 1.0)
        found: FloatArray = both / both.sum(-1, keepdims=True)
        return found

    @cached_property
    def changes(self) -> FloatArray:
        """The probability of a change in each gap."""
        joint = self._forward[:-1, :, None] * self._transitions * self._backward[1:, None, :]
        stayed = np.trace(joint, axis1=1, axis2=2)
        found: FloatArray = 1 - stayed / joint.sum((1, 2))
        return found

    def changes_exactly_at(self, gaps: Collection[int]) -> float:
        """The probability that changes are in all of these gaps and in no other."""
        diagonal = np.eye(len(LEVELS))
        chosen = np.array([number in gaps for number in range(len(self.changes))])
        allowed = np.where(chosen[:, None, None], 1 - diagonal, diagonal)
        return float(np.exp(self._log_total(self._transitions * allowed) - self._log_total(self._transitions)))

    def _log_total(self, transitions: FloatArray) -> float:
        """The logarithm of the summed probability of all paths."""
        levels, total = self._likelihoods[0], 0.0
        for number, step in enumerate(transitions, 1):
            levels = (levels @ step) * self._likelihoods[number]
            size = levels.sum()
            if size <= 0:
                return -np.inf
            total += float(np.log(size))
            levels = levels / size
        return total

    def gains(self, error: float) -> Mapping[int, float]:
        """Place → the expected information (bits) of measuring it with a standard error of `error` (a level)."""
        scale = float(np.hypot(error, LEVEL_SD))
        shown = np.linspace(LEVELS[0] - 4 * scale, LEVELS[-1] + 4 * scale, 400)
        peaks = np.exp(-0.5 * ((shown[None, :] - np.asarray(LEVELS)[:, None]) / scale) ** 2)
        peaks /= peaks.sum(-1, keepdims=True)
        mixed = self.levels @ peaks
        gained = _entropy(mixed) - self.levels @ _entropy(peaks)
        return {int(place): float(bits) for place, bits in list(zip(self.places, gained, strict=True))[1:-1]}

    def most_telling(self, error: float, *, known: Collection[int] = ()) -> int | None:
        """The place whose measurement tells most; of equal ones the one in the middle. None if no place is left.

        Places that are `known` exactly are measured again only if there are no others.
        """
        every = self.gains(error)
        gains = {place: bits for place, bits in every.items() if place not in known} or every
        if not gains:
            return None
        best = max(gains.values())
        equal = [place for place, bits in gains.items() if bits >= best - 1e-9]
        return equal[(len(equal) - 1) // 2]


def _entropy(probabilities: FloatArray) -> FloatArray:
    """In bits, along the last axis."""
    logs = np.log2(np.where(probabilities > 0, probabilities, 1.0))
    found: FloatArray = -(probabilities * logs).sum(-1)
    return found
