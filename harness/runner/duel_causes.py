"""The causes of a duel's changes: which pairs are profiled, and how much of the budget that needs."""

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from itertools import accumulate, pairwise
from statistics import median

from harness.analysis.conclude import Conclusions
from harness.analysis.operators import PROFILED, with_profile
from harness.analysis.sequential import EARLIEST_BLOCKS
from harness.core.records.profile import FEWEST_REPETITIONS, Profiles
from harness.core.records.repetition import Phase, Repetition
from harness.core.records.run import RunData
from harness.core.records.scenario import Arm, Scenario
from harness.core.records.verdict import Verdict, VerdictKind
from harness.engines.declarations import declaration_of
from harness.measure.conductor.ort_profile import REPETITIONS

CHANGED = (VerdictKind.REGRESSED, VerdictKind.IMPROVED)

Pair = tuple[Scenario, Scenario]
"""Candidate and reference of one text."""
Profiler = Callable[[Sequence[Pair]], Mapping[str, Profiles]]
"""Profiles pairs; id of a candidate → its profiles."""

RESERVED = 0.4
"""The largest share of a budget that is kept for profiles. More would cost a duel too many pairs."""
PROFILING = 1.25
"""Duration of a profiled launch relative to its start and its repetitions without a profile."""


def pairs_of(data: RunData) -> tuple[Pair, ...]:
    """Candidate and reference of each text. They are adjacent in the plan."""
    scenarios = data.run.scenarios
    return tuple(zip(scenarios[::2], scenarios[1::2], strict=True))


def is_profiled(verdict: Verdict) -> bool:
    """Whether a verdict found a change that a profile may explain."""
    return verdict.kind in CHANGED and verdict.metric in PROFILED


def why_not_profiled(arm: Arm, data: RunData) -> str:
    """Why an arm is not profiled, or "". An engine that writes no profile would be started in vain."""
    if arm.url:
        return "the operators of a server cannot be seen"
    says_so = any(launch.facts.profile for launch in data.launches if launch.arm_id == arm.id)
    writes_one = says_so or declaration_of(arm.engine).profiles
    return "" if writes_one else f"the engine {arm.engine} writes no profile"


def profile_s(pair: Pair, data: RunData) -> float:
    """Seconds that the fewest repetitions of a pair's profile take, by the first start of each arm and the first block.

    Both arms start and speak in turns.
    """
    launches = math.ceil(FEWEST_REPETITIONS / REPETITIONS)
    first = data.blocks[0].block if data.blocks else 0
    return launches * sum(_launch_s(each, data, REPETITIONS, lambda made: made.block == first) for each in pair)


def arm_profile_s(scenario: Scenario, data: RunData) -> float:
    """Seconds that the fewest repetitions of one arm's profile take, by its first start and what was measured."""
    return _launch_s(scenario, data, FEWEST_REPETITIONS, lambda made: made.outcome.valid)


def _launch_s(scenario: Scenario, data: RunData, times: int, counts: Callable[[Repetition], bool]) -> float:
    """Seconds of a profiled launch with `times` repetitions, by those measured that count."""
    starts = [each for each in data.launches if each.arm_id == scenario.arm.id and each.outcome.valid]
    start_ns = sum(part.ns for each in starts[:1] for part in each.parts)
    measured = [each for each in data.repetitions if each.scenario_id == scenario.id and each.phase is Phase.MEASURED]
    spoken = [each.end_ns for each in measured if counts(each)]
    return PROFILING * (start_ns + (1 + times) * (median(spoken) if spoken else 0)) / 1e9


def reserved_s(data: RunData, budget_s: float) -> float:
    """Seconds of the budget to keep for profiles: of the longest text that fits into their share.

    Any changed text up to that one can then be profiled; others follow as far as time is left.
    """
    pairs = [pair for pair in pairs_of(data) if not any(why_not_profiled(each.arm, data) for each in pair)]
    costs = [profile_s(pair, data) for pair in pairs]
    return max((cost_s for cost_s in costs if cost_s <= RESERVED * budget_s), default=0.0)


def fitting(costs: Iterable[float], left_s: float) -> float:
    """The sum of as many `costs` (s) as fit into `left_s`, from the smallest."""
    return max((total for total in accumulate(sorted(costs), initial=0.0) if total <= left_s), default=0.0)


def blocks_before(data: RunData, latest_s: float) -> int | None:
    """After how many blocks the next one would end later than `latest_s` seconds from the start of the run.

    None if there are not yet as many blocks. The next block is presumed to take as long as the longest one so far with
    the launch before it.
    """
    ends = [block.started_at + block.wall_ns / 1e9 - data.run.started_at for block in data.blocks]
    gaps = [end - before for before, end in pairwise([0.0, *ends])]
    for blocks in range(EARLIEST_BLOCKS, len(ends) + 1):
        # Later launches take less time than the first one, which counts until another one has been seen.
        first = data.blocks[blocks - 1].launch == data.blocks[0].launch
        if ends[blocks - 1] + (gaps[0] if first else max(gaps[1:blocks])) > latest_s:
            return blocks
    return None


def explain_changes(conclusions: Conclusions, data: RunData, profile: Profiler) -> Conclusions:
    """Profile the pairs whose verdict found a change, and add the operators or the arena to its suspects.

    A server's operators cannot be seen.
    """
    found = {verdict.scenario_id for verdict in conclusions.verdicts if is_profiled(verdict)}
    pairs = {
        pair[0].id: pair for pair in pairs_of(data) if pair[0].id in found and not (pair[0].arm.url or pair[1].arm.url)
    }
    profiles = profile(list(pairs.values())) if pairs else {}

    def explained(verdict: Verdict) -> Verdict:
        if not is_profiled(verdict) or verdict.scenario_id not in pairs:
            return verdict
        return with_profile(verdict, profiles[verdict.scenario_id], *pairs[verdict.scenario_id], data)

    return replace(conclusions, verdicts=tuple(map(explained, conclusions.verdicts)))
