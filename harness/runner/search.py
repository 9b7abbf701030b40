"""The search for a better arm: rounds of candidates in paired blocks, halved each time. `tune` and `optimise` use it.

A candidate is a change to the base, written as an argument of a duel: a session option, a thread count, another model.
A round may consist of several runs: one that was killed is continued by a run with the rest of its time, and the pairs
of both count.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from math import log

from harness.analysis.advice.halving import Grouped, budgets, combined, location, survivors
from harness.analysis.advice.recommend import NEGLIGIBLE, quality_failures
from harness.analysis.conclude import loss
from harness.core.comma_lists import split_list
from harness.core.errors import MeasurementError, UsageError
from harness.core.records.run import RunData
from harness.core.records.scenario import Arm, Mode, Scenario
from harness.metrics.derive import RunValues, Values, log_ratios_through
from harness.plan.arm_spec import CURRENT, parse_arm_spec

DEFAULT_CHANGES = (
    "threads=1",
    "threads=2",
    "spinning=off",
    "arena=off",
    "memory_pattern=off",
    "graph_optimization=extended",
    "execution_mode=parallel,inter_threads=2",
)
"""The session options that are tried by default: each alone, then the best of them together."""

SIZE = "model_size"
"""The metric that is read from the files and needs no measurement."""
LEAST_REST = 0.1
"""A round that was killed is continued if at least this share of its time is left."""

Measure = Callable[[Sequence[Scenario], float, int], RunData]
"""Measures scenarios within a budget (s); the last argument is the number of the round."""
Earlier = Callable[[int], Sequence[RunData]]
"""The runs of a round (by its number) that an earlier process has stored."""


def _none(_number: int) -> Sequence[RunData]:
    return ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Round:
    """The result of a round. `found`: change → log-ratio to the base (negative is better), None without pairs.

    `unfit` and `lost`: change → why it is not a candidate any more: what it says or sounds is not its original's, or it
    could not be loaded or run.
    """

    runs: tuple[RunData, ...]
    found: Mapping[str, float | None]
    kept: tuple[str, ...]
    unfit: Mapping[str, str] = field(default_factory=dict)
    lost: Mapping[str, str] = field(default_factory=dict)

    @property
    def out(self) -> Mapping[str, str]:
        """Change → why it is no candidate any more."""
        return {**self.unfit, **self.lost}

    @property
    def run_id(self) -> str:
        """The ids of its runs."""
        return ", ".join(data.run.id for data in self.runs)

    @property
    def seconds(self) -> float:
        """How long its runs took."""
        return sum(data.seconds for data in self.runs)


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """The rounds, the best change ("" for none), and the seconds that the plan leaves for the final duel."""

    rounds: tuple[Round, ...]
    winner: str
    duel_s: float

    @property
    def ranking(self) -> tuple[str, ...]:
        """The changes from the best: those that came farthest first, and by their last figure among these."""
        last: dict[str, tuple[int, float]] = {}
        for number, each in enumerate(self.rounds):
            for change, value in each.found.items():
                if change in each.out or value is None:
                    last.pop(change, None)
                else:
                    last[change] = (-number, value)
        ordered = sorted(last, key=lambda change: (*last[change], change))
        first = [self.winner] if self.winner in last else []
        return (*first, *(change for change in ordered if change != self.winner))

    @property
    def leaders(self) -> tuple[str, ...]:
        """The changes that were better than the base, from the best; of equal ones, that with the fewest settings.

        Two are equal if they differ by less than `NEGLIGIBLE` in the last round that has both.
        """
        ahead = [change for change in self.ranking if (self.latest(change) or 0.0) < 0]
        if not ahead:
            return ()
        best = self.latest(ahead[0]) or 0.0
        last = next((each.found for each in reversed(self.rounds) if ahead[0] in each.found), {})
        equal = [each for each in ahead if each in last and (self.latest(each) or 0.0) - best < NEGLIGIBLE]
        first = min(equal, key=lambda change: len(settings(change)))
        return (first, *(change for change in ahead if change != first))

    def latest(self, change: str) -> float | None:
        """The log-ratio of a change to the base in the last round that has one."""
        values = (each.found[change] for each in reversed(self.rounds) if change in each.found)
        return next((value for value in values if value is not None), None)


@dataclass(frozen=True, slots=True, kw_only=True)
class Search:
    """A search for changes to `base` that improve `metric` for one text."""

    base: Arm
    metric: str
    text: str
    voice: str
    language: str = ""
    changes: Sequence[str] = DEFAULT_CHANGES
    ignore_quality: bool = False

    def run(self, measure: Measure, *, budget_s: float, earlier: Earlier = _none) -> Found:
        """Run rounds until one candidate is left. Raises UsageError if there is nothing to try."""
        left = self.distinct(self.changes)
        if not left:
            raise UsageError("nothing to try", where="--try", remedy="for example --try threads=1 --try spinning=off")
        parts = budgets(len(left), budget_s=budget_s)
        rounds: list[Round] = []
        for number, seconds in enumerate(parts[:-1]):
            done = self._round(measure, left, seconds=seconds, number=number, earlier=earlier(number))
            rounds.append(done)
            left = list(done.kept)
            if number == 0 and (together := self._together(left)):
                left.append(together)
            if len(left) < 2:
                break
        # The duel gets the time of the rounds that were not needed.
        return Found(rounds=tuple(rounds), winner=left[0] if left else "", duel_s=sum(parts[len(rounds) :]))

    def arm(self, change: str) -> Arm:
        """The base with a change."""
        return parse_arm_spec(change, base=self.base, models=())

    def distinct(self, changes: Sequence[str]) -> list[str]:
        """The changes whose arms differ from the base and from one another."""
        arms = {self.base.id}
        found = []
        for change in changes:
            arm = self.arm(change)
            if change not in CURRENT and arm.id not in arms:
                arms.add(arm.id)
                found.append(change)
        return found

    def scenario(self, arm: Arm, text: str = "") -> Scenario:
        """The scenario of an arm with the search's text, or another."""
        return Scenario(
            arm=arm, mode=Mode.WHOLE, text_class=text or self.text, voice=self.voice, language=self.language
        )

    def _round(
        self, measure: Measure, changes: Sequence[str], *, seconds: float, number: int, earlier: Sequence[RunData]
    ) -> Round:
        arms = [self.base, *map(self.arm, changes)]
        ids = [arm.id for arm in arms]
        runs = [data for data in earlier if [each.arm.id for each in data.run.scenarios] == ids]
        rest = seconds - sum(data.seconds for data in runs)
        ended = any(data.run.status.is_finished for data in runs)
        if not runs or (not ended and rest > LEAST_REST * seconds):
            runs.append(measure([self.scenario(arm) for arm in arms], rest, number))
        pairs: dict[str, Grouped] = dict.fromkeys(changes, ())
        unfit: dict[str, str] = {}
        lost: dict[str, str] = {}
        for data in runs:
            # The scenarios of a run have resolved models; their order is that of the scenarios passed to `measure`.
            own = dict(zip(changes, data.run.scenarios[1:], strict=True))
            unfit |= self._unfit(data, own)
            lost |= _lost(data, own)
            for each, more in _pairs_of(data, changes, self.metric).items():
                pairs[each] = (*pairs[each], *more)
        found = {each: location(pairs[each]) if any(pairs[each]) else None for each in changes}
        kept = survivors({each: found for each, found in pairs.items() if each not in unfit and each not in lost})
        return Round(runs=tuple(runs), found=found, kept=kept, unfit=unfit, lost=lost)

    def _unfit(self, data: RunData, scenarios: Mapping[str, Scenario]) -> dict[str, str]:
        reasons = quality_failures(() if self.ignore_quality else data.verdicts)
        return {change: reasons[each.id] for change, each in scenarios.items() if each.id in reasons}

    def _together(self, changes: Sequence[str]) -> str:
        return combined(changes, {each: frozenset(settings(each)) for each in changes})


def _lost(data: RunData, scenarios: Mapping[str, Scenario]) -> dict[str, str]:
    """Change → why it could not be loaded or run. A run that was killed has lost workers that were well."""
    if not data.run.status.is_finished:
        return {}
    reasons = {change: loss(scenario, data) for change, scenario in scenarios.items()}
    return {change: reason for change, reason in reasons.items() if reason}


def settings(change: str) -> list[str]:
    """The names of the settings in a change."""
    return [item.partition("=")[0].strip() for item in split_list(change)]


def _pairs_of(data: RunData, changes: Sequence[str], metric: str) -> dict[str, Grouped]:
    """Change → its log-ratios to the base in one run, launch by launch."""
    first, *others = data.run.scenarios
    if metric == SIZE:
        sizes = [scenario.arm.model.size if scenario.arm.model else 0 for scenario in (first, *others)]
        known = dict(zip(changes, sizes[1:], strict=True))
        return {each: ((log(size / sizes[0]),),) if size and sizes[0] else () for each, size in known.items()}
    values = RunValues(data)
    reference, *rest = (values.of(scenario)[metric] for scenario in data.run.scenarios)
    return {each: _pairs(ours, reference, rest) for each, ours in zip(changes, rest, strict=True)}


def _pairs(ours: Values, theirs: Values, others: Iterable[Values]) -> Grouped:
    if ours.counts.valid < ours.counts.attempted:
        return ()
    try:
        return log_ratios_through(ours, theirs, others)
    except MeasurementError:
        return ()
