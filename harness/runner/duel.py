"""Duels: two arms in one run, paired block by block. No baseline and no quiet machine is needed.

The statistic is the log-ratio of each pair. Disturbances of the machine affect both arms of a pair alike.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from harness.analysis.causes import suspects_of
from harness.analysis.conclude import Conclusions, all_values, look_at, loss, summarise_all
from harness.analysis.gate import run_gate
from harness.analysis.sequential import EARLIEST_BLOCKS, StoppingRule, blocks_in
from harness.analysis.stats.comparison import Comparison, NotComparable, Policy
from harness.analysis.stats.comparison import Duel as Paired
from harness.analysis.stats.grouped import Grouped, count
from harness.analysis.stats.paired import FEWEST_PAIRS, alike
from harness.analysis.stats.power import tolerance_for
from harness.core.errors import MeasurementError, UsageError
from harness.core.records.run import RunData
from harness.core.records.scenario import Arm, Mode, Scenario
from harness.core.records.verdict import Verdict, VerdictKind
from harness.measure.conductor.budget import launches_within
from harness.metrics.derive import RunValues, scenario_values
from harness.metrics.metric import Per
from harness.metrics.registry import METRICS
from harness.metrics.values import Values, paired_log_ratios
from harness.plan.corpus import TEXT_CLASSES
from harness.plan.matrix import ALL_LAUNCHES, LaunchPolicy
from harness.runner.duel_causes import CHANGED, blocks_before, is_profiled, pairs_of, profile_s, reserved_s

LATER_LAUNCH = 0.55
"""Duration of a later launch in slices relative to the first launch: it has no first inference, and both arms start at
the same time. If the factor is too small, the plan has more blocks than fit, which does no harm. If it were too large,
the duel would end before its budget."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DuelArms:
    """The two arms. A change is that of the candidate relative to the reference."""

    candidate: Arm
    reference: Arm

    @property
    def same(self) -> bool:
        """Whether both arms are equal (an A/A comparison)."""
        return replace(self.candidate, side="") == replace(self.reference, side="")

    @property
    def two_servers(self) -> bool:
        """Whether two different servers play: at two addresses, or started by the run, each by itself."""
        urls = self.candidate.url, self.reference.url
        return all(urls) and (urls[0] != urls[1] or bool(self.candidate.server))

    def with_distinct_labels(self) -> "DuelArms":
        """The arms with different ids, if they are equal."""
        if self.candidate.id != self.reference.id:
            return self
        return replace(self, reference=replace(self.reference, side="reference"))


def duel_scenarios(
    opponents: DuelArms, *, texts: Sequence[str], voice: str, mode: Mode, language: str = ""
) -> tuple[Scenario, ...]:
    """The scenarios of both arms for every text; candidate and reference alternate.

    Two servers get streamed requests, whatever the mode, and each pair another text of the class: they may cache.
    """
    variant = None if opponents.two_servers else 0
    mode = Mode.ENDPOINT if opponents.two_servers else mode
    if unknown := [name for name in texts if name not in TEXT_CLASSES]:
        raise UsageError(f"unknown text class {unknown[0]!r}", where="--text", remedy="kokoro-bench duel --help")
    return tuple(
        Scenario(arm=arm, mode=mode, text_class=name, voice=voice, language=language, variant=variant)
        for name in texts
        for arm in (opponents.candidate, opponents.reference)
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Terms:
    """How the pairs of a duel are measured and analysed: in slices, or one arm after the other.

    `blocks` is the user's number of blocks in each launch; None for as many as the budget has time for.
    """

    launches: int
    policy: Policy
    blocks: int | None = None
    launch_policy: LaunchPolicy = ALL_LAUNCHES


@dataclass(frozen=True, slots=True, kw_only=True)
class DuelBudget:
    """What a duel may take: `s` seconds, which are `share` of the user's budget; advice names the whole.

    `profiled`: whether a part of it is kept to profile what changed.
    """

    s: float
    share: float = 1.0
    profiled: bool = False


class DuelAnalysis:
    """Analyses a duel after each block and at its end. The analyses of its stopping rule share one error rate.

    If arms turn out to be unfit for slices, the duel goes on by the terms `otherwise`, with a new stopping rule. Blocks
    that were measured in slices then do not count.
    """

    def __init__(
        self,
        *,
        effect: float,
        budget: DuelBudget,
        terms: Terms,
        otherwise: Terms | None = None,
        tolerance: Callable[[str, str], float] | None = None,
        other_scenarios: int = 0,
    ) -> None:
        """The policy of `terms` also states what the run as a whole requires (`--require`).

        `tolerance` replaces that of `effect`: (scenario id, metric) → ratio. `other_scenarios` is the number of
        scenarios outside the duel whose metrics are decided together with its own.
        """
        self.policy = terms.policy
        self._tolerance = tolerance or (lambda _scenario_id, _metric: tolerance_for(effect))
        self._other_scenarios = other_scenarios
        self._budget = budget
        self._terms = terms
        self._otherwise = otherwise or self._terms
        self._rules: dict[bool, StoppingRule] = {}
        # In slices or not → the reason to stop that waits for a launch.
        self._waits: dict[bool, str] = {}

    def enough(self, data: RunData) -> str:
        """The reason to stop after the blocks so far, or "" to go on."""
        data = data.counted
        lost = [_lost(pair, data) for pair in pairs_of(data)]
        if all(lost):
            return f"a duel needs both arms: {lost[0]}"
        blocks = len(data.blocks)
        if not blocks:
            return ""
        self._rules.setdefault(
            data.in_slices,
            StoppingRule(planned_blocks=self._planned_blocks(data), policy=self._terms_of(data).policy),
        )
        rule = self._rule(data)
        if rule is None or blocks not in rule.planned_analyses():
            # Whatever ends a duel between its analyses, its verdicts share the error that these have left.
            return "" if self._lacks_launches(data) else self.settled(data)
        found = self.comparisons(data)
        # Metrics with one value per launch gain nothing from further blocks of this one. They keep a decided duel open
        # until there are as many launches as an interval needs.
        open_to_more = [each for each in found if METRICS[each.metric].per is Per.REPETITION]
        elsewhere = math.ceil(len(found) / len(lost) * self._other_scenarios)
        if elsewhere or blocks == rule.last_chance:
            # A change that ends the duel for its cause must also be one when everything is decided together.
            rule = replace(rule, others=elsewhere + len(found) - len(open_to_more))
        kept_s = self._kept_s(data)
        costs = {pair[0].id: profile_s(pair, data) for pair in pairs_of(data)} if kept_s else {}
        decision = rule.after(
            blocks,
            open_to_more,
            has_cause=lambda verdict: is_profiled(verdict) and costs[verdict.scenario_id] <= kept_s,
        )
        by_launch = any(METRICS[each.metric].per is Per.LAUNCH and rule.policy.gates(each.metric) for each in found)
        may_wait = by_launch and blocks not in (rule.last_chance, rule.planned_blocks)
        waits = decision.stop and may_wait and self._lacks_launches(data)
        self._waits[data.in_slices] = decision.reason if waits else ""
        return decision.reason if decision.stop and not waits else ""

    def settled(self, data: RunData) -> str:
        """The reason to end the current launch, because the next one is all that a decided duel waits for."""
        return self._waits.get(data.counted.in_slices, "")

    def _lacks_launches(self, data: RunData) -> bool:
        """Whether metrics with one value per launch have too few pairs, and a further launch is planned."""
        return len({block.launch for block in data.blocks}) < min(FEWEST_PAIRS, self._planned_launches(data))

    def conclude(self, data: RunData, derived: RunValues | None = None) -> Conclusions:
        """Summaries of both arms, and one verdict per text and gated metric on the candidate.

        `derived` are the values of `data`, if they are already known.
        """
        notes = self.how_paired(data)
        derived = derived or RunValues(data)
        data = data.counted
        verdicts = run_gate(self.comparisons(data, derived), self.policy_for(data), share=self.share(data))
        return Conclusions(
            summaries=summarise_all(data, all_values(derived)),
            verdicts=tuple(self._with_suspects(self._with_time(verdict, data), data) for verdict in verdicts),
            targets=(),
            notes=notes,
        )

    def share(self, data: RunData) -> float:
        """The fraction of the error rate that an analysis at the end of `data` may spend."""
        rule = self._rule(data.counted)
        return rule.alpha_spent(len(data.counted.blocks)) if rule else 1.0

    def _rule(self, data: RunData) -> StoppingRule | None:
        """The stopping rule for the counted blocks `data`, with the last analysis that leaves time for profiles."""
        rule, kept_s = self._rules.get(data.in_slices), self._kept_s(data)
        return replace(rule, last_chance=blocks_before(data, self._budget.s - kept_s)) if rule and kept_s else rule

    def _kept_s(self, data: RunData) -> float:
        """Seconds of the budget that are kept for profiles."""
        return reserved_s(data, self._budget.s) if self._budget.profiled and data.blocks else 0.0

    def policy_for(self, data: RunData) -> Policy:
        """The policy of the terms by which the counted blocks were measured."""
        return self._terms_of(data.counted).policy

    def _terms_of(self, data: RunData) -> Terms:
        """The terms by which the counted blocks were measured."""
        return self._terms if data.in_slices or not data.blocks else self._otherwise

    @staticmethod
    def how_paired(data: RunData) -> tuple[str, ...]:
        """Notes: whether the arms of a pair ran at the same time, and the reason if they did not."""
        slices = [block.slice_ns for block in data.blocks if block.slice_ns]
        if data.in_slices:
            return (f"the arms of a pair ran at the same time, in turns of up to {max(slices) / 1e6:g} ms",)
        why = next((block.whole for block in data.blocks if block.whole), "")
        notes = (f"the arms of a pair ran one after the other: {why}",) if why else ()
        if slices:
            return (*notes, f"blocks measured in turns before that was found do not count: {len(slices)} blocks")
        return notes

    def comparisons(self, data: RunData, derived: RunValues | None = None) -> list[Comparison]:
        """One comparison per text and gated metric. A text whose candidate or reference was lost gives one failure."""
        found, derived = [], derived or RunValues(data)
        for candidate, reference in pairs_of(data):
            if lost := _lost((candidate, reference), data):
                failed = NotComparable(kind=VerdictKind.FAILED, reason=lost, advice=look_at(data))
                found.append(self._compared(candidate, reference, "latency", failed, data))
                continue
            ours, theirs = derived.of(candidate), derived.of(reference)
            for name, values in ours.items():
                if METRICS[name].gated:
                    found += self._comparison(candidate, reference, values, theirs[name], data)
        return found

    def _comparison(
        self, candidate: Scenario, reference: Scenario, ours: Values, theirs: Values, data: RunData
    ) -> list[Comparison]:
        sides = _sides(ours, theirs)
        return [] if sides is None else [self._compared(candidate, reference, ours.metric, sides, data)]

    def _compared(
        self, candidate: Scenario, reference: Scenario, metric: str, sides: Paired | NotComparable, data: RunData
    ) -> Comparison:
        return Comparison(
            scenario_id=candidate.id,
            metric=metric,
            tolerance=self._tolerance(candidate.id, metric),
            data=sides,
            reference=reference.arm.id,
            higher_is_better=not METRICS[metric].lower_is_better,
            run_id=data.run.id,
            seconds_per_value=self._seconds_per_value(sides, data),
        )

    def _seconds_per_value(self, sides: Paired | NotComparable, data: RunData) -> float | None:
        """The time (s) of the duel by the number of its pairs; the whole budget where it ended the duel."""
        # The rest of a budget into which no launch fits counts: else a smaller budget would be advised than was spent.
        pairs = count(sides.pairs) if isinstance(sides, Paired) else 0
        if not pairs or not data.blocks:
            return None
        last = data.blocks[-1]
        taken_s = last.started_at + last.wall_ns / 1e9 - data.run.started_at
        return (self._budget.s if taken_s > self._budget.s / 2 else taken_s) / pairs / self._budget.share

    def _with_suspects(self, verdict: Verdict, data: RunData) -> Verdict:
        if verdict.kind not in CHANGED:
            return verdict
        candidate, reference = next(pair for pair in pairs_of(data) if pair[0].id == verdict.scenario_id)
        return verdict.with_suspects(suspects_of(verdict, candidate, reference, data, self.policy))

    def _with_time(self, verdict: Verdict, data: RunData) -> Verdict:
        """The verdict; if there are too few pairs for an interval, with advice on the budget for the first analysis."""
        if verdict.kind is not VerdictKind.INCONCLUSIVE or verdict.change is not None or not data.blocks:
            return verdict
        if METRICS[verdict.metric].per is Per.LAUNCH and len(data.blocks) >= EARLIEST_BLOCKS:
            # More time does not help: the duel ends when another value is decided.
            return replace(verdict, advice=f"it has one pair a launch, and needs {FEWEST_PAIRS} launches")
        first = data.blocks[0]
        overhead_s = max(0.0, first.started_at - data.run.started_at)
        needed_s = self._terms_of(data).launches * overhead_s + EARLIEST_BLOCKS * first.wall_ns / 1e9
        duel_s, budget_s = (max(10, math.ceil(each / 10) * 10) for each in (needed_s, needed_s / self._budget.share))
        advice = f"{EARLIEST_BLOCKS} pairs take about {duel_s} s here: `--budget {budget_s}s` or more"
        return replace(verdict, advice=advice)

    def _planned_launches(self, data: RunData) -> int:
        """The number of launches that are wanted and fit the budget, by the first launch and block."""
        first, terms = data.blocks[0], self._terms_of(data)
        return launches_within(
            self._budget.s,
            wanted=terms.launches,
            launch_policy=terms.launch_policy,
            launch_s=max(0.0, first.started_at - data.run.started_at),
            block_s=first.wall_ns / 1e9,
        )

    def _planned_blocks(self, data: RunData) -> int:
        """The number of blocks that are wanted and fit the budget, by the durations of the first launch and block."""
        overhead_s = max(0.0, data.blocks[0].started_at - data.run.started_at)
        block_s = data.blocks[0].wall_ns / 1e9
        terms, launches = self._terms_of(data), self._planned_launches(data)
        later = LATER_LAUNCH if terms.launch_policy.slice_s else 1.0
        left_s = self._budget.s - (1 + later * (launches - 1)) * overhead_s
        affordable = max(1, blocks_in(left_s, seconds_per_block=block_s)) if left_s > 0 else 1
        return affordable if terms.blocks is None else min(affordable, launches * terms.blocks)


def _lost(pair: tuple[Scenario, Scenario], data: RunData) -> str:
    """Which scenario of a pair was lost, and why; "" if none was."""
    for scenario, side in zip(pair, ("the candidate", "the reference"), strict=True):
        if reason := loss(scenario, data):
            return f"{side} was lost: {reason}"
    return ""


def latency_pairs(data: RunData) -> Grouped:
    """The log-ratios of the first pair's latencies, launch by launch; empty if there are none."""
    candidate, reference = pairs_of(data)[0]
    ours, theirs = scenario_values(candidate, data)["latency"], scenario_values(reference, data)["latency"]
    return paired_log_ratios(ours, theirs) if ours.n and theirs.n else ()


def _sides(ours: Values, theirs: Values) -> Paired | NotComparable | None:
    """The pairs; a failure if one scenario has no valid value; None if the metric applies to neither."""
    if not ours.n and not theirs.n and ours.counts.valid and theirs.counts.valid:
        return None
    for values, side in ((ours, "the candidate"), (theirs, "the reference")):
        if not values.n:
            return NotComparable(kind=VerdictKind.FAILED, reason=f"{side} has no value: {values.reason}")
    try:
        pairs = alike(ours.metric, paired_log_ratios(ours, theirs))
        return Paired(pairs=pairs, pair_sd=METRICS[ours.metric].pair_sd)
    except MeasurementError as error:
        return NotComparable(kind=VerdictKind.INCOMPARABLE, reason=error.what, advice=error.remedy)
