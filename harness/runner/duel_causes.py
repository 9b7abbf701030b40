"""The causes of a duel's changes: which pairs are profiled, and how much of the budget that needs."""

import math
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from itertools import accumulate, pairwise
from statistics import median
from typing import Protocol

from harness.analysis.allocations import allocation_suspects
from harness.analysis.arena import peak_growth
from harness.analysis.causes import in_order
from harness.analysis.conclude import Conclusions
from harness.analysis.operators import PROFILED, with_profile
from harness.analysis.sequential import EARLIEST_BLOCKS
from harness.analysis.stats.paired import PEAK
from harness.core.records.allocations import AllocationPair
from harness.core.records.profile import FEWEST_REPETITIONS, Profiles
from harness.core.records.repetition import Phase, Repetition
from harness.core.records.run import RunData
from harness.core.records.scenario import Arm, Scenario
from harness.core.records.verdict import Verdict, VerdictKind
from harness.engines.declarations import declaration_of
from harness.measure.conductor.memray_launches import REQUESTS, memray_site
from harness.measure.conductor.ort_profile import REPETITIONS as PROFILED_REPETITIONS

CHANGED = (VerdictKind.REGRESSED, VerdictKind.IMPROVED)

Pair = tuple[Scenario, Scenario]
"""Candidate and reference of one text."""


class Profiler(Protocol):
    """Launches pairs anew once everything is measured. Both results: id of a candidate → what was found."""

    def pairs(self, pairs: Sequence[Pair], *, then: Sequence[Pair] = ()) -> Mapping[str, Profiles]:
        """Profile pairs. Time is left to track the allocations of those that are `then` tracked."""
        ...

    def allocations(self, pairs: Sequence[Pair]) -> Mapping[str, AllocationPair]:
        """Track the allocations of pairs."""
        ...


RESERVED = 0.4
"""The largest share of a budget that is kept for profiles. More would cost a duel too many pairs."""
PROFILING = 1.25
"""Duration of a profiled launch relative to its start and its repetitions without a profile."""
TRACKED_START, TRACKED_REQUEST, READING_S = 2.5, 1.25, 1.0
"""Duration of a start and of a request under memray relative to those without it, and of reading its files (s)."""
LOOKS_GROWN = 1.02
"""From this ratio of the peaks so far on, time is kept to track allocations."""
NOT_INSTALLED = "memray is not installed: pip install 'kokoro-bench[memray]'"


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
    launches = math.ceil(FEWEST_REPETITIONS / PROFILED_REPETITIONS)
    first = data.blocks[0].block if data.blocks else 0
    return launches * sum(
        _launch_s(each, data, PROFILED_REPETITIONS, lambda made: made.block == first) for each in pair
    )


def arm_profile_s(scenario: Scenario, data: RunData) -> float:
    """Seconds that the fewest repetitions of one arm's profile take, by its first start and what was measured."""
    return _launch_s(scenario, data, FEWEST_REPETITIONS, lambda made: made.outcome.valid)


def _launch_s(scenario: Scenario, data: RunData, times: int, counts: Callable[[Repetition], bool]) -> float:
    """Seconds of a profiled launch with `times` repetitions, by those measured that count."""
    start_s, spoken_s = _start_and_speech_s(scenario, data, counts)
    return PROFILING * (start_s + (1 + times) * spoken_s)


def _start_and_speech_s(
    scenario: Scenario, data: RunData, counts: Callable[[Repetition], bool], *, first: bool = True
) -> tuple[float, float]:
    """Seconds of the first start of an arm, else of its shortest one, and of a repetition by those that count."""
    launches = [each for each in data.launches if each.arm_id == scenario.arm.id and each.outcome.valid]
    starts = [sum(part.ns for part in each.parts) for each in launches]
    start_ns = (starts[0] if first else min(starts)) if starts else 0
    measured = [each for each in data.repetitions if each.scenario_id == scenario.id and each.phase is Phase.MEASURED]
    spoken = [each.end_ns for each in measured if counts(each)]
    return start_ns / 1e9, (median(spoken) if spoken else 0) / 1e9


def has_grown(verdict: Verdict) -> bool:
    """Whether a verdict found that a candidate needs more memory, which its allocations may explain."""
    return verdict.kind is VerdictKind.REGRESSED and verdict.metric == PEAK


def why_not_tracked(pair: Pair) -> str:
    """Why the allocations of a pair cannot be tracked, or ""."""
    if any(each.arm.url or each.arm.server or declaration_of(each.arm.engine).server for each in pair):
        return "memray sees those of a worker, and not those of a server"
    if sys.platform == "win32":
        return "memray does not run on Windows"
    return "" if memray_site() else NOT_INSTALLED


def track_s(pair: Pair, data: RunData) -> float:
    """Seconds that tracking the allocations of a pair takes, by the shortest start of each arm and what was measured.

    The arms start one after the other: in a duel they may start at the same time, and each of them slows the other.
    """
    return sum(
        TRACKED_START * start_s + TRACKED_REQUEST * REQUESTS * spoken_s + READING_S
        for start_s, spoken_s in (
            _start_and_speech_s(each, data, lambda made: made.outcome.valid, first=False) for each in pair
        )
    )


def _looks_grown(pair: Pair, data: RunData) -> bool:
    """Whether the allocations of a pair can be tracked and, by its peaks so far, may have to be."""
    ours, theirs = (
        [each.memory.peak for each in data.repetitions if each.scenario_id == side.id and each.memory.peak]
        for side in pair
    )
    if not (ours and theirs) or median(ours) <= LOOKS_GROWN * median(theirs):
        return False
    # Asked between blocks: looking for memray comes last.
    return not (is_formula(pair) or why_not_tracked(pair))


def is_formula(pair: Pair) -> bool:
    """Whether the memory of a pair is that of a scripted engine."""
    return any(declaration_of(each.arm.engine).is_scripted for each in pair)


def reserved_s(data: RunData, budget_s: float) -> float:
    """Seconds of the budget to keep for profiles: of the longest text that fits into their share.

    Any changed text up to that one can then be profiled; others follow as far as time is left. If memory looks grown,
    and both fit, the time to track the allocations of one text is kept as well.
    """
    pairs = [pair for pair in pairs_of(data) if not any(why_not_profiled(each.arm, data) for each in pair)]
    costs = [profile_s(pair, data) for pair in pairs]
    most_s = RESERVED * budget_s
    kept_s = max((cost_s for cost_s in costs if cost_s <= most_s), default=0.0)
    tracked_s = min((track_s(pair, data) for pair in pairs_of(data) if _looks_grown(pair, data)), default=0.0)
    return kept_s + tracked_s if kept_s + tracked_s <= most_s else kept_s


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


def explain_changes(conclusions: Conclusions, data: RunData, profiler: Profiler) -> Conclusions:
    """Launch the pairs whose verdict found a change anew, and add what that shows to its suspects.

    Profiles show operators and the arena, but not those of a server. Memory that grew is tracked by its allocations.
    """
    of_all = {pair[0].id: pair for pair in pairs_of(data)}
    found = {verdict.scenario_id for verdict in conclusions.verdicts if is_profiled(verdict)}
    pairs = {key: pair for key, pair in of_all.items() if key in found and not (pair[0].arm.url or pair[1].arm.url)}
    tracked = {verdict.scenario_id for verdict in conclusions.verdicts if has_grown(verdict)}
    grown = [pair for key, pair in of_all.items() if key in tracked and not is_formula(pair)]
    profiles = profiler.pairs(list(pairs.values()), then=grown) if pairs else {}
    allocations = profiler.allocations(grown) if grown else {}

    def explained(verdict: Verdict) -> Verdict:
        key = verdict.scenario_id
        if is_profiled(verdict) and key in pairs:
            verdict = with_profile(verdict, profiles[key], *pairs[key], data)
        if has_grown(verdict) and key in allocations:
            more = allocation_suspects(allocations[key], peak_growth(*of_all[key], data) or 0.0)
            verdict = verdict.with_suspects(in_order((*verdict.suspected, *more)))
        return verdict

    return replace(conclusions, verdicts=tuple(map(explained, conclusions.verdicts)))
