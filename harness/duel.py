"""Duels: two arms in one run, paired block by block. No baseline and no quiet machine is needed.

The statistic is the log-ratio of each pair; what the machine does to one arm it does to the other.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from statistics import median

from harness.errors import MeasurementError, UsageError
from harness.judge.comparison import Comparison, NotComparable, Policy
from harness.judge.comparison import Duel as Paired
from harness.judge.gate import judge
from harness.judge.grouped import Grouped
from harness.judge.power import tolerance_for
from harness.judge.stopping import StoppingRule, blocks_in
from harness.measure.operators import Profile
from harness.metrics.derive import Values, paired_log_ratios, repetition_figures, scenario_values
from harness.metrics.metric import Per
from harness.metrics.registry import METRICS
from harness.plan.corpus import TEXT_CLASSES
from harness.records.repetition import Phase
from harness.records.run import RunData
from harness.records.scenario import Arm, Mode, Scenario
from harness.records.verdict import Verdict, VerdictKind
from harness.verdicts import Conclusions, all_values, look_at, loss, summarise_all

STAGES = ("phonemise", "inference", "postprocess", "rest")
LEAST_CONTRIBUTION = 0.002
"""A stage that moved the whole by less than this ratio is no suspect."""
CHANGED = (VerdictKind.REGRESSED, VerdictKind.IMPROVED)
TIMED = ("latency", "ttfa", "ttfc", "rtf", "rtf_model", "cpu_per_audio")
"""Metrics that operators' times explain."""
LEAST_OPERATOR = 0.01
MOST_OPERATORS = 5
"""Operator types that moved all nodes' time by less than the ratio are no suspects, and the strongest are enough."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Opponents:
    """The two arms; a change is the candidate's, from the reference."""

    candidate: Arm
    reference: Arm

    @property
    def same(self) -> bool:
        """Whether this is an arm against itself: an A/A."""
        return replace(self.candidate, side="") == replace(self.reference, side="")

    def told_apart(self) -> "Opponents":
        """With ids that differ, where nothing else does."""
        if self.candidate.id != self.reference.id:
            return self
        return replace(self, reference=replace(self.reference, side="reference"))


def duel_scenarios(opponents: Opponents, *, texts: Sequence[str], voice: str, mode: Mode) -> tuple[Scenario, ...]:
    """Each text by each arm."""
    for name in texts:
        if name not in TEXT_CLASSES:
            raise UsageError(f"unknown text class {name!r}", where="--text", remedy="kokoro-bench duel --help")
    return tuple(
        Scenario(arm=arm, mode=mode, text_class=name, voice=voice)
        for name in texts
        for arm in (opponents.candidate, opponents.reference)
    )


class DuelJudging:
    """Judges a duel while it goes on and once it has ended, by one stopping rule whose looks share the error."""

    def __init__(self, *, effect: float, budget_s: float, launches: int, policy: Policy) -> None:
        self.policy = policy
        self._tolerance = tolerance_for(effect)
        self._budget_s = budget_s
        self._launches = launches
        self._rule: StoppingRule | None = None

    def enough(self, data: RunData) -> str:
        """The reason to stop after the blocks so far, or "" to go on."""
        lost = [_lost(pair, data) for pair in pairs_of(data)]
        if all(lost):
            return f"a duel takes two: {lost[0]}"
        if self._rule is None:
            self._rule = StoppingRule(planned_blocks=self._planned_blocks(data), policy=self.policy)
        blocks = len(data.blocks)
        if blocks not in self._rule.looks():
            return ""
        # What is read once a launch gains nothing from further blocks, and must not keep a decided duel open.
        open_to_more = [each for each in self.comparisons(data) if METRICS[each.metric].per is Per.REPETITION]
        decision = self._rule.after(blocks, open_to_more)
        return decision.reason if decision.stop else ""

    def conclude(self, data: RunData) -> Conclusions:
        """Summaries of both arms, and one verdict per text and gated metric, of the candidate against the reference."""
        share = self._rule.share(len(data.blocks)) if self._rule else 1.0
        verdicts = judge(self.comparisons(data), self.policy, share=share)
        return Conclusions(
            summaries=summarise_all(data, all_values(data)),
            verdicts=tuple(_with_suspects(verdict, data) for verdict in verdicts),
            targets=(),
        )

    def explain(self, conclusions: Conclusions, data: RunData, profile: Callable[[Scenario], Profile]) -> Conclusions:
        """The verdicts that found a change with the operators that moved, by one profile of each side.

        Profiled after all is measured, and only where something was found.
        """
        found = {verdict.scenario_id for verdict in conclusions.verdicts if verdict.kind in CHANGED}
        suspects = {
            candidate.id: operator_suspects(profile(candidate), profile(reference))
            for candidate, reference in pairs_of(data)
            if candidate.id in found
        }
        verdicts = tuple(
            replace(verdict, suspects=_inserted(verdict.suspects, suspects[verdict.scenario_id]))
            if verdict.kind in CHANGED and verdict.metric in TIMED
            else verdict
            for verdict in conclusions.verdicts
        )
        return replace(conclusions, verdicts=verdicts)

    def comparisons(self, data: RunData) -> list[Comparison]:
        """One per text and gated metric; a text of which a side was lost is one failure."""
        found = []
        for candidate, reference in pairs_of(data):
            if lost := _lost((candidate, reference), data):
                failed = NotComparable(kind=VerdictKind.FAILED, reason=lost, advice=look_at(data))
                found.append(self._compared(candidate, reference, "latency", failed, data))
                continue
            ours, theirs = scenario_values(candidate, data), scenario_values(reference, data)
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
        walls = [block.wall_ns / 1e9 for block in data.blocks]
        return Comparison(
            scenario_id=candidate.id,
            metric=metric,
            tolerance=self._tolerance,
            data=sides,
            reference=reference.arm.id,
            higher_is_better=not METRICS[metric].lower_is_better,
            run_id=data.run.id,
            seconds_per_block=median(walls) if walls else None,
        )

    def _planned_blocks(self, data: RunData) -> int:
        """How many blocks the budget allows, as the first launch and the first block went."""
        first = data.blocks[0]
        overhead_s = max(0.0, first.started_at - data.run.started_at)
        left_s = self._budget_s - self._launches * overhead_s
        return max(1, blocks_in(left_s, seconds_per_block=first.wall_ns / 1e9)) if left_s > 0 else 1


def pairs_of(data: RunData) -> tuple[tuple[Scenario, Scenario], ...]:
    """Candidate and reference of each text: they stand next to one another in the plan."""
    scenarios = data.run.scenarios
    return tuple(zip(scenarios[::2], scenarios[1::2], strict=True))


def _lost(pair: tuple[Scenario, Scenario], data: RunData) -> str:
    """Which side of a pair was given up, and why; "" where both are there."""
    for scenario, side in zip(pair, ("the candidate", "the reference"), strict=True):
        if reason := loss(scenario, data):
            return f"{side} was lost: {reason}"
    return ""


def latency_pairs(data: RunData) -> Grouped:
    """The log-ratios of the first pair's latencies, launch by launch; nothing where there are none."""
    candidate, reference = pairs_of(data)[0]
    ours, theirs = scenario_values(candidate, data)["latency"], scenario_values(reference, data)["latency"]
    return paired_log_ratios(ours, theirs) if ours.n and theirs.n else ()


def _sides(ours: Values, theirs: Values) -> Paired | NotComparable | None:
    """The pairs; a failure where one side was never validly measured; None where neither has such a figure."""
    if not ours.n and not theirs.n and ours.counts.valid and theirs.counts.valid:
        return None
    for values, side in ((ours, "the candidate"), (theirs, "the reference")):
        if not values.n:
            return NotComparable(kind=VerdictKind.FAILED, reason=f"{side} has no figure: {values.reason}")
    try:
        return Paired(pairs=paired_log_ratios(ours, theirs))
    except MeasurementError as error:
        return NotComparable(kind=VerdictKind.INCOMPARABLE, reason=error.what, advice=error.remedy)


def _with_suspects(verdict: Verdict, data: RunData) -> Verdict:
    if verdict.kind not in CHANGED:
        return verdict
    candidate, reference = next(pair for pair in pairs_of(data) if pair[0].id == verdict.scenario_id)
    suspects = (*_stages(candidate, reference, data), *_differences(candidate.arm, reference.arm, data))
    return replace(verdict, suspects=suspects)


def operator_suspects(ours: Profile, theirs: Profile) -> list[str]:
    """The operator types whose time in a repetition moved, the strongest first; why not, where there is no profile.

    A profile is a few repetitions in one process: it points at where to look, it decides nothing.
    """
    if reason := ours.reason or theirs.reason:
        return [f"operators: not profiled ({reason[:160]})"]
    whole = sum(theirs.operators.values())
    if not whole or not ours.operators:
        return []
    names = ours.operators.keys() | theirs.operators.keys()
    moved = {name: (ours.operators.get(name, 0.0) - theirs.operators.get(name, 0.0)) / whole for name in names}
    ordered = sorted(moved.items(), key=lambda item: (-abs(item[1]), item[0]))
    return [
        f"operator {name}: {share:+.1%} of all nodes' time "
        f"({theirs.operators.get(name, 0.0) / 1e3:.1f} → {ours.operators.get(name, 0.0) / 1e3:.1f} ms)"
        for name, share in ordered[:MOST_OPERATORS]
        if abs(share) >= LEAST_OPERATOR
    ]


def _inserted(suspects: tuple[str, ...], operators: Sequence[str]) -> tuple[str, ...]:
    """The operators after the stages, which they explain, and before what differs between the arms."""
    stages = sum(suspect.split(":")[0] in STAGES for suspect in suspects)
    return (*suspects[:stages], *operators, *suspects[stages:])


def _stages(candidate: Scenario, reference: Scenario, data: RunData) -> list[str]:
    """The stages that moved the whole, the strongest first: median seconds of one arm less the other's."""
    ours, theirs = _stage_seconds(candidate, data), _stage_seconds(reference, data)
    whole = sum(theirs.values())
    if not ours or not theirs or not whole:
        return []
    moved = {stage: (ours[stage] - theirs[stage]) / whole for stage in STAGES}
    ordered = sorted(moved.items(), key=lambda item: -abs(item[1]))
    return [
        f"{stage}: {share:+.1%} of the whole ({theirs[stage] * 1e3:.1f} → {ours[stage] * 1e3:.1f} ms)"
        for stage, share in ordered
        if abs(share) >= LEAST_CONTRIBUTION
    ]


def _stage_seconds(scenario: Scenario, data: RunData) -> dict[str, float]:
    """Stage → median seconds over the valid measured repetitions."""
    seconds: dict[str, list[float]] = {stage: [] for stage in STAGES}
    for repetition in data.repetitions:
        if repetition.scenario_id != scenario.id or repetition.phase is not Phase.MEASURED:
            continue
        figures = repetition_figures(repetition)
        latency = figures["latency"].value
        for stage in STAGES:
            share = figures[f"stage_share_{stage}"].value
            if latency is not None and share is not None:
                seconds[stage].append(share * latency)
    return {stage: median(values) for stage, values in seconds.items()} if all(seconds.values()) else {}


def _differences(ours: Arm, theirs: Arm, data: RunData) -> list[str]:
    """What the two arms loaded that is not the same."""
    packages = [_packages(arm, data) for arm in (theirs, ours)]
    found = [
        f"{name} {packages[0].get(name, 'absent')} → {packages[1].get(name, 'absent')}"
        for name in sorted(packages[0].keys() | packages[1].keys())
        if packages[0].get(name) != packages[1].get(name)
    ]
    if ours.model and theirs.model and ours.model.sha256 != theirs.model.sha256:
        found.append(f"model {theirs.model.name} → {ours.model.name}")
    for name in ("engine", "provider", "threads", "revision", "slowdown"):
        before, after = getattr(theirs, name), getattr(ours, name)
        if before != after:
            found.append(f"{name} {before or 'default'} → {after or 'default'}")
    if ours.session_options != theirs.session_options:
        found.append(f"session options {dict(theirs.session_options)} → {dict(ours.session_options)}")
    return found


def _packages(arm: Arm, data: RunData) -> dict[str, str]:
    launch = next((launch for launch in data.launches if launch.arm_id == arm.id and launch.outcome.valid), None)
    return dict(launch.facts.packages) if launch else {}
