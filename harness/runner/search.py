"""The search for a better arm: rounds of candidates in paired blocks, halved each time. `tune` and `optimise` use it.

A candidate is a change to the base, written as an argument of a duel: a session option, a thread count, another model.
A round may consist of several runs: one that was killed is continued by a run with the rest of its time, and the blocks
of both count. Each round is judged by the blocks of all rounds so far.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from math import log

from harness.analysis.advice.additive import against_base
from harness.analysis.advice.halving import budgets, combined, survivors
from harness.analysis.advice.recommend import NEGLIGIBLE, quality_failures
from harness.analysis.advice.stalls import stalled
from harness.analysis.conclude import loss
from harness.core.comma_lists import split_list
from harness.core.errors import UsageError
from harness.core.records.run import RunData
from harness.core.records.scenario import Arm, Mode, Scenario
from harness.engines.pooled.options import SPLIT
from harness.metrics.derive import RunValues
from harness.metrics.values import log_values_by_block
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
SPLITS = (
    "window=0.7,planned_rtf=0.6",
    "window=0.7,planned_rtf=0.4",
    "window=1,planned_rtf=0.6",
    "first=32",
    "first=32,planned_rtf=0.6",
)
"""What is tried besides where audio is streamed by an engine that splits texts."""

BASE = ""
"""The base among the changes of a block."""
SIZE = "model_size"
"""The metric that is read from the files and needs no measurement."""
COMBINING = 2
"""After so many rounds the best changes are tried as one: each time, if they are not those of before."""
LEAST_REST = 0.1
"""A round that was killed is continued if at least this share of its time is left; one that others left less than this
of its time is not begun."""

Measure = Callable[[Sequence[Scenario], float, int], RunData]
"""Measures scenarios within a budget (s); the last argument is the number of the round."""
Earlier = Callable[[int], Sequence[RunData]]
"""The runs of a round (by its number) that an earlier process has stored."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Round:
    """The result of a round. `found`: change → log-ratio to the base (negative is better), None without shared blocks.

    The log-ratios are of all rounds up to this one. `blocks` are those of this round: change → ln of the value, the
    base under "". `unfit` and `lost`: change → why it is not a candidate any more: what it says or sounds is not its
    original's, or it could not be loaded or run.
    """

    runs: tuple[RunData, ...]
    found: Mapping[str, float | None]
    kept: tuple[str, ...]
    blocks: tuple[Mapping[str, float], ...] = ()
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
        return sum(data.seconds for data in self.runs)


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """The rounds, the best change ("" for none), and the seconds that the plan leaves for the final duel.

    `changes`: change → its log-ratio to the base by the blocks of all rounds.
    """

    rounds: tuple[Round, ...]
    winner: str
    duel_s: float
    changes: Mapping[str, float]

    def blocks(self, change: str) -> int:
        """In how many blocks a change was measured."""
        return sum(change in block for each in self.rounds for block in each.blocks)

    @property
    def ranking(self) -> tuple[str, ...]:
        """The changes from the best: those that came farthest first, and by their log-ratios among these."""
        out = {change for each in self.rounds for change in each.out}
        reached = {change: number for number, each in enumerate(self.rounds) for change in each.found}
        known = [change for change in reached if change in self.changes and change not in out]
        return tuple(sorted(known, key=lambda each: (each != self.winner, -reached[each], self.changes[each], each)))

    @property
    def leaders(self) -> tuple[str, ...]:
        """The changes that were better than the base, from the best; of equal ones, that with the fewest settings.

        Two are equal if they came as far and differ by less than `NEGLIGIBLE`.
        """
        ahead = [change for change in self.ranking if self.changes[change] < 0]
        if not ahead:
            return ()
        last = next((each.found for each in reversed(self.rounds) if ahead[0] in each.found), {})
        equal = [each for each in ahead if each in last and self.changes[each] - self.changes[ahead[0]] < NEGLIGIBLE]
        first = min(equal, key=lambda change: len(settings(change)))
        return (first, *(change for change in ahead if change != first))


@dataclass(frozen=True, slots=True, kw_only=True)
class Search:
    """A search for changes to `base` that improve `metric` for one text, requested as `mode` says."""

    base: Arm
    metric: str
    text: str
    voice: str
    language: str = ""
    changes: Sequence[str] = DEFAULT_CHANGES
    ignore_quality: bool = False
    mode: Mode = Mode.WHOLE

    def run(self, measure: Measure, *, budget_s: float, earlier: Earlier = lambda _number: ()) -> Found:
        """Run rounds until one candidate is left. Raises UsageError if there is nothing to try.

        A round that takes longer than its part of the budget shortens the rounds after it, or leaves them out.
        """
        left = self.distinct(self.changes)
        if not left:
            raise UsageError("nothing to try", where="--try", remedy="for example --try threads=1 --try spinning=off")
        parts = budgets(len(left), budget_s=budget_s)
        rounds: list[Round] = []
        for number, part_s in enumerate(parts[:-1]):
            left_s = budget_s - parts[-1] - sum(each.seconds for each in rounds)
            if rounds and left_s <= LEAST_REST * part_s:
                break
            seconds = min(part_s, left_s / (len(parts) - 1 - number))
            runs = self._runs(measure, left, seconds=seconds, number=number, earlier=earlier(number))
            done = self._round(left, runs, before=rounds)
            rounds.append(done)
            left = list(done.kept)
            # The first round has too few blocks to tell which of the alternatives is better, and what stalls.
            if number < COMBINING and (together := self._together(rounds)):
                left.append(together)
            if len(left) < 2:
                break
        # The duel gets the time of the rounds that were not needed, and its own in any case.
        duel_s = min(sum(parts[len(rounds) :]), budget_s - sum(each.seconds for each in rounds))
        winner = left[0] if left else ""
        return Found(rounds=tuple(rounds), winner=winner, duel_s=max(duel_s, parts[-1]), changes=_ratios(rounds))

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

    def scenario(self, arm: Arm) -> Scenario:
        return Scenario(arm=arm, mode=self.mode, text_class=self.text, voice=self.voice, language=self.language)

    def _runs(
        self, measure: Measure, changes: Sequence[str], *, seconds: float, number: int, earlier: Sequence[RunData]
    ) -> Sequence[RunData]:
        """The stored runs of a round, and one with the rest of its time if they came to no end."""
        arms = [self.base, *map(self.arm, changes)]
        ids = [arm.id for arm in arms]
        runs = [data for data in earlier if [each.arm.id for each in data.run.scenarios] == ids]
        rest = seconds - sum(data.seconds for data in runs)
        ended = any(data.run.status.is_finished for data in runs)
        if not runs or (not ended and rest > LEAST_REST * seconds):
            runs.append(measure([self.scenario(arm) for arm in arms], rest, number))
        return runs

    def _round(self, changes: Sequence[str], runs: Sequence[RunData], *, before: Sequence[Round]) -> Round:
        blocks: list[Mapping[str, float]] = []
        unfit: dict[str, str] = {}
        lost: dict[str, str] = {}
        for data in runs:
            # The scenarios of a run have resolved models; their order is that of the scenarios passed to `measure`.
            own = dict(zip(changes, data.run.scenarios[1:], strict=True))
            values = RunValues(data)
            unfit |= self._unfit(values, own)
            lost |= _lost(data, own)
            blocks += _blocks_of(values, changes, self.metric)
        done = Round(runs=tuple(runs), found={}, kept=(), blocks=tuple(blocks), unfit=unfit, lost=lost)
        ratios = _ratios([*before, done])
        found = {each: ratios.get(each) for each in changes}
        kept = survivors({each: value for each, value in found.items() if each not in done.out})
        return replace(done, found=found, kept=kept)

    def _unfit(self, values: RunValues, scenarios: Mapping[str, Scenario]) -> dict[str, str]:
        broken = quality_failures(() if self.ignore_quality else values.data.verdicts)
        reasons = {change: broken.get(each.id) or stalled(values.of(each)) for change, each in scenarios.items()}
        return {change: reason for change, reason in reasons.items() if reason}

    def _together(self, rounds: Sequence[Round]) -> str:
        """The best of what came through the first round as one; "" if that is a single change, or if it was tried."""
        ratios = _ratios(rounds)
        out = {change for each in rounds for change in each.out}
        better = [each for each in rounds[0].kept if ratios.get(each, 0.0) < -NEGLIGIBLE and each not in out]
        better.sort(key=lambda each: (ratios[each], each))
        together = combined(better, {each: frozenset(_subjects(each)) for each in better})
        tried = {self.arm(each).id for round_ in rounds for each in round_.found}
        return together if together and self.arm(together).id not in tried else ""


def _lost(data: RunData, scenarios: Mapping[str, Scenario]) -> dict[str, str]:
    """Change → why it could not be loaded or run. A run that was killed has lost workers that were well."""
    if not data.run.status.is_finished:
        return {}
    reasons = {change: loss(scenario, data) for change, scenario in scenarios.items()}
    return {change: reason for change, reason in reasons.items() if reason}


def settings(change: str) -> list[str]:
    """The names of the settings in a change."""
    return [item.partition("=")[0].strip() for item in split_list(change)]


def _subjects(change: str) -> set[str]:
    """What a change is about: two changes about the same are alternatives, and are not combined."""
    return {SPLIT[0] if each in SPLIT else each for each in settings(change)}


def _ratios(rounds: Sequence[Round]) -> dict[str, float]:
    return against_base([block for each in rounds for block in each.blocks], base=BASE)


def _blocks_of(of_run: RunValues, changes: Sequence[str], metric: str) -> list[dict[str, float]]:
    """The blocks of one run: change → ln of the metric's value. What was not valid each time has none."""
    named = dict(zip((BASE, *changes), of_run.data.run.scenarios, strict=True))
    if metric == SIZE:
        sizes = {each: scenario.arm.model.size for each, scenario in named.items() if scenario.arm.model}
        return [{each: log(size) for each, size in sizes.items() if size}]
    values = {each: of_run.of(scenario)[metric] for each, scenario in named.items()}
    return log_values_by_block(
        {each: found for each, found in values.items() if found.counts.valid >= found.counts.attempted}
    )
