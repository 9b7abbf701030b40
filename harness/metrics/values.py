"""The values of a metric in one scenario, grouped by launch, and the paired values of two arms."""

import math
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from statistics import NormalDist, fmean, median
from typing import NamedTuple, TypeAlias

from harness.core.errors import MeasurementError
from harness.core.records.repetition import OutcomeKind
from harness.core.records.value import Reading, known, unknown
from harness.core.records.verdict import Estimate

Grouped: TypeAlias = tuple[tuple[float, ...], ...]
"""One inner tuple per launch, each in block order."""

NO_BLOCK = -1
"""The block of a value that belongs to a launch or to the whole scenario."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Counts:
    """The outcomes of the measured repetitions, or of the launches of a start-up scenario.

    `invalid` counts by kind of failure; `disturbed` counts the valid ones with a disturbance mark.
    """

    attempted: int = 0
    valid: int = 0
    invalid: tuple[tuple[OutcomeKind, int], ...] = ()
    disturbed: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Values:
    """The known values of one metric. `launches` numbers the inner tuples, `blocks` their values.

    `reason` says why there are no values. `unknown` counts the readings without a value. `interval` is set if the
    metric has a special interval (success_rate).
    """

    metric: str
    counts: Counts
    grouped: Grouped = ()
    launches: tuple[int, ...] = ()
    blocks: tuple[tuple[int, ...], ...] = ()
    unknown: int = 0
    reason: str = ""
    interval: Estimate | None = None

    @property
    def n(self) -> int:
        return sum(len(launch) for launch in self.grouped)

    @property
    def flat(self) -> tuple[float, ...]:
        """All values, launch after launch."""
        return tuple(value for launch in self.grouped for value in launch)


class Placed(NamedTuple):
    """One reading and where it comes from. A tuple, because a run has a hundred thousand of them."""

    launch: int
    reading: Reading
    block: int = NO_BLOCK


class Collector:
    """Collects the values of one scenario by metric. `reason` says why a metric without readings has no value."""

    def __init__(self, counts: Counts, *, reason: str) -> None:
        self._counts = counts
        self._reason = reason
        self.values: dict[str, Values] = {}

    def add(self, metric: str, placed: Iterable[Placed], *, reason: str = "", interval: Estimate | None = None) -> None:
        """Group the readings, which are in block order, by launch.

        If none is known, the reason is the most frequent one of theirs, or `reason` if there is no reading at all.
        """
        found: dict[int, list[float]] = defaultdict(list)
        places: dict[int, list[int]] = defaultdict(list)
        reasons = Counter[str]()
        for launch, reading, block in placed:
            if reading.value is None:
                reasons[reading.reason] += 1
            else:
                found[launch].append(reading.value)
                places[launch].append(block)
        launches = tuple(sorted(found))
        why = reasons.most_common(1)[0][0] if reasons else reason or self._reason
        self.values[metric] = Values(
            metric=metric,
            counts=self._counts,
            grouped=tuple(tuple(found[launch]) for launch in launches),
            blocks=tuple(tuple(places[launch]) for launch in launches),
            launches=launches,
            unknown=reasons.total(),
            reason="" if found else why,
            interval=interval,
        )

    def add_whole(self, metric: str, reading: Reading, *, interval: Estimate | None = None) -> None:
        """Add a metric with one value for all of the scenario."""
        self.add(metric, [Placed(launch=0, reading=reading)], interval=interval)

    def add_success_rate(self, *, launches: int) -> None:
        """Add `success_rate` with its interval, from the counts. `launches` is the number of launches with attempts."""
        if not self._counts.attempted:
            self.add_whole("success_rate", unknown(self._reason))
            return
        interval = wilson(self._counts.valid, self._counts.attempted, launches=launches)
        self.add_whole("success_rate", known(interval.point), interval=interval)


def wilson(valid: int, attempted: int, *, launches: int, level: float = 0.95) -> Estimate:
    """The interval of a proportion: E. B. Wilson, J. Am. Stat. Assoc. 22 (1927) 209. `attempted` is at least 1.

    It stays within 0 and 1, and it does not collapse to a point where all or none are valid.
    """
    z = NormalDist().inv_cdf(0.5 + level / 2)
    rate = valid / attempted
    scale = 1 + z**2 / attempted
    centre = (rate + z**2 / (2 * attempted)) / scale
    half = z / scale * math.sqrt(rate * (1 - rate) / attempted + z**2 / (4 * attempted**2))
    return Estimate(
        point=rate,
        # At the ends the exact bound is the point itself; rounding must not put the point outside its interval.
        low=0.0 if valid == 0 else max(0.0, centre - half),
        high=1.0 if valid == attempted else min(1.0, centre + half),
        level=level,
        method="Wilson score interval",
        n=attempted,
        launches=launches,
    )


def paired_log_ratios(values_a: Values, values_b: Values) -> Grouped:
    """ln(a / b) of the values that two arms gave in the same launch and block, one inner tuple per launch.

    Several values of a block (a metric per chunk, concurrent requests) are replaced by their median. Values without a
    partner are left out. Raises MeasurementError if a value is 0 or below: then no ratio is defined.
    """
    return log_ratios_to_all(values_a, (values_b,))


def log_ratios_to_all(values: Values, others: Sequence[Values]) -> Grouped:
    """ln(a / m) for the geometric mean m of several arms' values in the same launch and block, as `paired_log_ratios`.

    Only blocks that all arms have count. Raises as `paired_log_ratios` does.
    """
    ratios = _log_ratios(values, *others)
    return tuple(ratios[launch] for launch in sorted(ratios))


def log_ratios_through(values_a: Values, values_b: Values, references: Iterable[Values]) -> Grouped:
    """ln(a / b) as `paired_log_ratios` gives it, also for arms that shared no block in a launch.

    For those it is ln(a / r) minus ln(b / r), with a reference r that shared blocks with both in the same process. The
    pairs are matched in order. Each result carries the noise of two pairs, and the scatter of the results shows it. Of
    several references, the one with the most results is used. Raises as `paired_log_ratios` does.
    """
    ratios = _log_ratios(values_a, values_b)
    apart = (set(values_a.launches) & set(values_b.launches)) - ratios.keys()
    for each in references if apart else ():
        ours, theirs = _log_ratios(values_a, each), _log_ratios(values_b, each)
        for launch in apart & ours.keys() & theirs.keys():
            through = tuple(a - b for a, b in zip(ours[launch], theirs[launch], strict=False))
            ratios[launch] = max(ratios.get(launch, ()), through, key=len)
    return tuple(ratios[launch] for launch in sorted(ratios))


def log_values_by_block(values: Mapping[str, Values]) -> list[dict[str, float]]:
    """Block by block, arm → ln of its median there, of the arms that have a value in it. All values are one run's.

    Raises MeasurementError if a value has no logarithm.
    """
    blocks: dict[tuple[int, int], dict[str, float]] = defaultdict(dict)
    for arm, each in values.items():
        for place, inner in _by_place(each).items():
            blocks[place][arm] = math.log(_positive(median(inner), each.metric, place))
    return [blocks[place] for place in sorted(blocks)]


def _log_ratios(values: Values, *others: Values) -> dict[int, tuple[float, ...]]:
    """Launch → ln of the ratio to the geometric mean of the others, of each block that all have."""
    ours, theirs = _by_place(values), [_by_place(each) for each in others]
    ratios: dict[int, list[float]] = defaultdict(list)
    for place in sorted(ours.keys() & set.intersection(*(set(each) for each in theirs))):
        a, *rest = median(ours[place]), *(median(each[place]) for each in theirs)
        _positive(min(a, *rest), values.metric, place)
        ratios[place[0]].append(fmean(math.log(a / b) for b in rest))
    return {launch: tuple(found) for launch, found in ratios.items()}


def _positive(value: float, metric: str, place: tuple[int, int]) -> float:
    if value > 0:
        return value
    raise MeasurementError(
        f"{metric} has the value {value:g}, which has no logarithm",
        where=f"launch {place[0]}, block {place[1]}",
        remedy="compare this metric by its values, not by ratios",
    )


def _by_place(values: Values) -> Mapping[tuple[int, int], list[float]]:
    places: dict[tuple[int, int], list[float]] = defaultdict(list)
    for launch, blocks, inner in zip(values.launches, values.blocks, values.grouped, strict=True):
        for block, value in zip(blocks, inner, strict=True):
            places[launch, block].append(value)
    return places
