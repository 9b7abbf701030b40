"""The search for session options: rounds of candidates in paired blocks, halved each time, and a duel at the end."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from harness.analysis.advice.halving import Grouped, budgets, combined, location, survivors
from harness.analysis.advice.recommend import quality_failures
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
"""The changes that are tried by default: each alone, then the best of them together."""

Measure = Callable[[Sequence[Scenario], float, int], RunData]
"""Measures scenarios within a budget (s); the last argument is the number of the round."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Round:
    """The result of a round. `found`: change → log-ratio to the reference (negative is better), None without pairs.

    `unfit`: change → why it is not a candidate any more: what it says or sounds is not its original's.
    """

    run_id: str
    found: Mapping[str, float | None]
    kept: tuple[str, ...]
    unfit: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Search:
    """The rounds, the best change ("" for none), and the seconds that remain for the final duel."""

    rounds: tuple[Round, ...]
    winner: str
    duel_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Tuning:
    """A search for changes to `base`, the configured arm, that improve `metric` for one text."""

    base: Arm
    metric: str
    text: str
    voice: str
    language: str = ""
    changes: Sequence[str] = DEFAULT_CHANGES
    ignore_quality: bool = False

    def search(self, measure: Measure, *, budget_s: float) -> Search:
        """Run rounds until one candidate is left. Raises UsageError if there is nothing to try."""
        left = self._distinct(self.changes)
        if not left:
            raise UsageError("nothing to try", where="--try", remedy="for example --try threads=1 --try spinning=off")
        parts = budgets(len(left), budget_s=budget_s)
        rounds: list[Round] = []
        for number, seconds in enumerate(parts[:-1]):
            done = self._round(measure, left, seconds=seconds, number=number)
            rounds.append(done)
            left = list(done.kept)
            if number == 0 and (together := self._together(left)):
                left.append(together)
            if len(left) < 2:
                break
        # The duel gets the time of the rounds that were not needed.
        return Search(rounds=tuple(rounds), winner=left[0] if left else "", duel_s=sum(parts[len(rounds) :]))

    def arm(self, change: str) -> Arm:
        """The base with a change."""
        return parse_arm_spec(change, base=self.base, models=())

    def _round(self, measure: Measure, changes: Sequence[str], *, seconds: float, number: int) -> Round:
        data = measure(
            [self._scenario(self.base), *(self._scenario(self.arm(each)) for each in changes)], seconds, number
        )
        # The scenarios of the run have resolved models; their order is that of the scenarios passed to `measure`.
        values = RunValues(data)
        reference, *others = (values.of(scenario)[self.metric] for scenario in data.run.scenarios)
        pairs = {each: _pairs(found, reference, others) for each, found in zip(changes, others, strict=True)}
        found = {each: location(pairs[each]) if any(pairs[each]) else None for each in changes}
        reasons = quality_failures(() if self.ignore_quality else data.verdicts)
        ids = [scenario.id for scenario in data.run.scenarios[1:]]
        unfit = {each: reasons[own] for each, own in zip(changes, ids, strict=True) if own in reasons}
        kept = survivors({each: found for each, found in pairs.items() if each not in unfit})
        return Round(run_id=data.run.id, found=found, kept=kept, unfit=unfit)

    def _scenario(self, arm: Arm) -> Scenario:
        return Scenario(arm=arm, mode=Mode.WHOLE, text_class=self.text, voice=self.voice, language=self.language)

    def _distinct(self, changes: Sequence[str]) -> list[str]:
        """The changes whose arms differ from the base and from one another."""
        arms = {self.base.id}
        found = []
        for change in changes:
            arm = self.arm(change)
            if change not in CURRENT and arm.id not in arms:
                arms.add(arm.id)
                found.append(change)
        return found

    def _together(self, changes: Sequence[str]) -> str:
        return combined(changes, {each: frozenset(_names(each)) for each in changes})


def _pairs(ours: Values, theirs: Values, others: Sequence[Values]) -> Grouped:
    if ours.counts.valid < ours.counts.attempted:
        return ()
    try:
        return log_ratios_through(ours, theirs, others)
    except MeasurementError:
        return ()


def _names(change: str) -> list[str]:
    """The names of the settings in a change."""
    return [item.partition("=")[0].strip() for item in split_list(change)]
