"""What the measurements of a bisection show: how certain which change is, and what to measure next."""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING

from harness.analysis.bisection.posterior import BAD, GOOD, LEVEL_SD, LEVELS, LevelReading, Posterior
from harness.analysis.stats.interval import DeferredEstimate
from harness.analysis.stats.paired import deferred_estimates
from harness.core.records.bisection import BisectionAnswer, FoundStep, Known, Probe

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from harness.analysis.stats.grouped import Grouped
    from harness.core.records.verdict import Estimate

ERROR_RATE = 0.01
"""The greatest probability of a wrong answer."""
LEVEL = 0.95
"""The confidence level of every interval of a bisection."""
EXACT = 1e-6
"""The least standard error of a log-ratio in a weighted mean: values that repeat exactly have none."""
CERTAIN = 4
"""A probe may end when its level is this many times as certain as the answer has to be."""
FEWEST_FREEDOM = 2.0
METHOD = "paired log-ratio, difference of two places"


@dataclass(frozen=True, slots=True, kw_only=True)
class Pairs:
    """The blocks of one probe, launch by launch: log-ratios to good, to the middle of good and bad, and bad to good."""

    ratio: Grouped
    centred: Grouped
    whole: Grouped


def estimates_of(pairs: Pairs, *, launch_inflation: float, launch_sd: float) -> tuple[Known, Known, Known] | None:
    """The three estimates of a probe, in the order of `Pairs`; None for fewer than three pairs."""
    found = deferred_estimates(
        [pairs.ratio, pairs.centred, pairs.whole],
        scenarios=["probe"] * 3,
        launch_inflation=launch_inflation,
        launch_sd=launch_sd,
    )
    ratio, centred, whole = (known_of(each) if each else None for each in found)
    return (ratio, centred, whole) if ratio and centred and whole else None


def known_of(found: DeferredEstimate) -> Known:
    """What a bisection keeps of an estimate."""
    return Known(point=found.point, error=found.error, freedom=found.freedom)


def pooled(found: Sequence[Known]) -> Known:
    """The mean of several estimates of one log-ratio, weighted by their precision."""
    weights = [1 / (each.error**2 + EXACT**2) for each in found]
    return Known(
        point=sum(weight * each.point for weight, each in zip(weights, found, strict=True)) / sum(weights),
        error=math.sqrt(1 / sum(weights)),
        freedom=sum(each.freedom for each in found),
    )


def as_estimate(known: Known, *, n: int, launches: int) -> Estimate:
    """The estimate of `n` values of `launches` launches, with its interval at `LEVEL`."""
    deferred = DeferredEstimate(
        point=known.point, error=known.error, freedom=known.freedom, method=METHOD, n=n, launches=launches
    )
    return deferred.estimate(LEVEL)


@dataclass(frozen=True, slots=True, kw_only=True)
class State:
    """The measurements of a bisection of `count` places so far. `first` is the log-ratio of bad to good in their duel.

    Places in `skipped` cannot be measured. At least one of `first` and a probe is needed.
    """

    count: int
    probes: tuple[Probe, ...] = ()
    first: Known | None = None
    skipped: Collection[int] = ()
    error_rate: float = ERROR_RATE

    @property
    def whole(self) -> Known:
        """The log-ratio of bad to good from all runs."""
        return pooled([*([self.first] if self.first else []), *(probe.whole for probe in self.probes)])

    def posterior(self) -> Posterior:
        """What is known of the places."""
        whole = self.whole
        readings = [_reading(probe, whole) for probe in self.probes]
        return Posterior(self.count, readings, skipped=frozenset(self.skipped))

    def next_place(self) -> int | None:
        """The place to measure next: the one that tells most. None if no place between good and bad is left."""
        whole = self.whole
        ours = {probe.place: [each for each in self.probes if each.place == probe.place] for probe in self.probes}
        errors = {place: pooled([each.centred for each in found]).error for place, found in ours.items()}
        # Between two levels of the model, a more exact value would decide nothing.
        known = {place for place, error in errors.items() if error <= abs(whole.point) * LEVEL_SD / 2}
        return self.posterior().most_telling(self.usual_error(), known=known)

    def usual_error(self) -> float:
        """The expected standard error of the next probe, as a level: that of earlier ones, or of the duel."""
        size = max(abs(self.whole.point), EXACT)
        errors = sorted(probe.centred.error for probe in self.probes) or ([self.first.error] if self.first else [])
        return errors[len(errors) // 2] / size

    def is_certain(self, probe: Probe) -> bool:
        """Whether a further block of the current probe would hardly change anything.

        If two launches contradict each other, a third one has to say which of them is usual.
        """
        if min(probe.ratio.freedom, probe.centred.freedom) < FEWEST_FREEDOM:
            return False
        with_it = State(
            count=self.count,
            probes=(*self.probes, probe),
            first=self.first,
            skipped=self.skipped,
            error_rate=self.error_rate,
        ).posterior()
        row = list(with_it.places).index(probe.place)
        exact = _reading(probe, self.whole).error <= LEVEL_SD / 2
        return exact or bool(with_it.levels[row].max() >= 1 - self.error_rate / CERTAIN)

    def probes_left(self) -> int:
        """About how many further probes the answer takes: one for each bit that is not known, and one more."""
        changes = [float(each) for each in self.posterior().changes]
        bits = -sum(each * math.log2(each) for each in changes if each > 0)
        return math.ceil(bits) + 1

    def answer(self) -> Answer:
        """The most probable changes. They are an answer if they are probable enough."""
        posterior = self.posterior()
        places = [int(place) for place in posterior.places]
        changes = [float(each) for each in posterior.changes]
        most = max(range(len(changes)), key=changes.__getitem__)
        gaps = [gap for gap, each in enumerate(changes) if each > 0.5] or [most]
        steps = tuple(self._step(gaps, number, places, changes[gap]) for number, gap in enumerate(gaps))
        confidence = posterior.changes_exactly_at(gaps)
        found = BisectionAnswer.UNDECIDED
        if confidence >= 1 - self.error_rate:
            found = self._kind(steps, posterior)
        by_gap = dict(zip(places, changes, strict=False))
        return Answer(
            answer=found,
            steps=steps,
            confidence=confidence,
            changes=tuple(by_gap.get(place, 0.0) for place in range(self.count - 1)),
        )

    def _kind(self, steps: Sequence[FoundStep], posterior: Posterior) -> BisectionAnswer:
        if len(steps) == 1:
            return BisectionAnswer.STEP if steps[0].after - steps[0].before == 1 else BisectionAnswer.RANGE
        levels = [LEVELS[int(row.argmax())] for row in posterior.levels]
        rising = all(one <= other for one, other in pairwise(levels))
        return BisectionAnswer.SPREAD if rising else BisectionAnswer.CAME_BACK

    def _step(self, gaps: Sequence[int], number: int, places: Sequence[int], probability: float) -> FoundStep:
        """A change in the gap `gaps[number]`: the difference of what was measured between it and its neighbours."""
        starts = [0, *(places[gap + 1] for gap in gaps)]
        ends = [*(places[gap] for gap in gaps), self.count - 1]
        old, new = (self._ratio(starts[at], ends[at]) for at in (number, number + 1))
        change = Known(
            point=new.point - old.point,
            error=math.hypot(new.error, old.error),
            freedom=min(new.freedom, old.freedom),
        )
        return FoundStep(
            before=ends[number],
            after=starts[number + 1],
            change=as_estimate(
                change,
                n=sum(probe.pairs for probe in self.probes),
                launches=sum(probe.launches for probe in self.probes),
            ),
            share=change.point / self.whole.point if self.whole.point else 1.0,
            probability=probability,
        )

    def _ratio(self, start: int, end: int) -> Known:
        """The log-ratio to good of places without a change between them. Before a change it is that of good itself."""
        if start == 0:
            return Known(point=0.0, error=0.0, freedom=math.inf)
        ours = [probe.ratio for probe in self.probes if start <= probe.place <= end]
        last = [self.whole] if end == self.count - 1 else []
        return pooled([*ours, *last]) if ours or last else self.whole


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """The most probable changes; `confidence` is the probability of these and no others.

    `changes` is the probability of a change between each place and the next that is not skipped.
    """

    answer: BisectionAnswer
    steps: tuple[FoundStep, ...]
    confidence: float
    changes: tuple[float, ...]


def _reading(probe: Probe, whole: Known) -> LevelReading:
    """The level that a probe shows: its distance to the middle of good and bad in units of their difference."""
    size = math.copysign(max(abs(whole.point), EXACT), whole.point)
    return LevelReading(
        place=probe.place,
        level=probe.centred.point / size + (LEVELS[GOOD] + LEVELS[BAD]) / 2,
        error=math.hypot(probe.centred.error, whole.error / 2) / abs(size),
        freedom=probe.centred.freedom,
    )
