"""Profiles a run's scenarios after everything is timed, and keeps the traces and the table made of them."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

from harness.analysis.operators import profiled_alone, profiled_pair
from harness.core.clock import Clock
from harness.core.records.allocations import AllocationPair
from harness.core.records.profile import FEWEST_REPETITIONS, Profile, Profiled, Profiles, ProfileSheet, Trace
from harness.core.records.run import RunData
from harness.core.records.scenario import Arm, Mode, Scenario, Utterance
from harness.measure.conductor.memray_launches import track_pair
from harness.measure.conductor.ort_profile import LONGEST_S, TimeLimit, profile_arm, profile_pair
from harness.measure.conductor.requests import order_language
from harness.measure.conductor.worker_factory import WorkerFactory
from harness.plan.matrix import Plan
from harness.runner.duel_causes import (
    RESERVED,
    Pair,
    arm_profile_s,
    fitting,
    profile_s,
    reserved_s,
    track_s,
    why_not_profiled,
    why_not_tracked,
)
from harness.runner.resources import Reporter
from harness.store.traces import trace_name, write_sheet, write_trace

SIDES = ("candidate", "reference")

ARMS_SHARE = 0.2
"""The share of a run's budget that is kept to profile its arms."""


KEPT_LAUNCHES = 3
"""The traces of so many launches of a side are kept: one is read to see a node, more to see whether it repeats."""


class ProfileTask:
    """Profiles pairs or single arms of the run `data`. Call `save` at the end."""

    def __init__(
        self,
        plan: Plan,
        data: RunData,
        *,
        worker_factory: WorkerFactory,
        clock: Clock,
        folder: Path,
        report: Reporter,
    ) -> None:
        self._plan = plan
        self._data = data
        self._worker_factory = worker_factory
        self._clock = clock
        self._folder = folder
        self._report = report
        self._found: list[Profiled] = []
        self._traces: list[Trace] = []
        self._trouble = ""
        self._began_ns = clock.now_ns()

    def pairs(self, pairs: Sequence[Pair], *, then: Sequence[Pair] = ()) -> Mapping[str, Profiles]:
        """Operator times of pairs of scenarios, measured in new workers in turns; id of a candidate → its profiles.

        They take what the blocks left of the budget, the shortest text first. A text that does not fit is refused.
        What else fits is left to track the allocations of the pairs of `then`.
        """
        costs = {candidate.id: profile_s((candidate, reference), self._data) for candidate, reference in pairs}
        waiting = sorted(pairs, key=lambda pair: costs[pair[0].id])
        later = [track_s(each, self._data) for each in then if not why_not_tracked(each)]
        found: dict[str, Profiles] = {}
        while waiting:
            candidate, reference = waiting.pop(0)
            rest_s = self._rest_s()
            later_s = fitting([*later, *(costs[each.id] for each, _ in waiting)], rest_s - costs[candidate.id])
            found[candidate.id] = self._pair(
                candidate, reference, left_s=rest_s - later_s, needed_s=costs[candidate.id], later=len(waiting)
            )
        return found

    def _pair(
        self, candidate: Scenario, reference: Scenario, *, left_s: float, needed_s: float, later: int
    ) -> Profiles:
        """Profile a pair within `left_s` seconds; refused if they are fewer than `needed_s`."""
        refused = why_not_profiled(candidate.arm, self._data) or why_not_profiled(reference.arm, self._data)
        if not refused and needed_s > left_s:
            whole_s = self._data.run.budget_s
            # A change that only the last pairs showed must be shown earlier, by the analysis in the middle.
            late = self._left_s() < reserved_s(self._data, whole_s)
            budget_s = max(2 * whole_s if late else whole_s + needed_s - left_s, needed_s / RESERVED)
            refused = _no_time(left_s=left_s, needed_s=needed_s, budget_s=budget_s)
        profiles = Profiles(refused=refused)
        if not profiles.reason:
            of = f" of {candidate.text_class}" if later or self._found else ""
            self._report(f"a change was found: profiling both sides{of}, up to {min(left_s, LONGEST_S):.0f} s")
            profiles = profile_pair(
                (candidate.arm, reference.arm),
                worker_factory=self._worker_factory,
                limit=TimeLimit(clock=self._clock, longest_s=min(left_s, LONGEST_S)),
                voice=candidate.voice,
                seed=self._seed,
                utterance=self._text(candidate),
                script=dict(self._plan.script),
                keep=partial(self._keep, candidate, SIDES),
            )
        found = profiled_pair(profiles, candidate=candidate.id, reference=reference.id)
        if not found.reason or self._traces:  # the suspects say why there is none
            self._add(found)
        return profiles

    def allocations(self, pairs: Sequence[Pair]) -> Mapping[str, AllocationPair]:
        """What pairs of scenarios allocate, in new workers under memray; id of a candidate → both sides.

        They take what is left of the budget, the shortest text first. A text that does not fit is refused.
        """
        costs = {pair: track_s(pair, self._data) for pair in pairs}
        return {pair[0].id: self._tracked(pair, costs[pair]) for pair in sorted(pairs, key=costs.__getitem__)}

    def _tracked(self, pair: Pair, needed_s: float) -> AllocationPair:
        candidate, reference = pair
        refused, left_s = why_not_tracked(pair), self._rest_s()
        if not refused and needed_s > left_s:
            budget_s = max(self._data.run.budget_s + needed_s - left_s, needed_s / RESERVED)
            refused = _no_time(left_s=left_s, needed_s=needed_s, budget_s=budget_s)
        if refused:
            return AllocationPair(reason=refused)
        self._report(f"memory grew: tracking the allocations of both sides, about {needed_s:.0f} s")
        return track_pair(
            (candidate.arm, reference.arm),
            worker_factory=self._worker_factory,
            voice=candidate.voice,
            seed=self._seed,
            utterance=self._text(candidate),
            script=dict(self._plan.script),
        )

    def _rest_s(self) -> float:
        """What blocks, and all launches after them, left of the budget."""
        return self._left_s() - (self._clock.now_ns() - self._began_ns) / 1e9

    def _left_s(self) -> float:
        """What the blocks left of the budget."""
        run, last = self._data.run, self._data.blocks[-1]
        return run.budget_s - (last.started_at + last.wall_ns / 1e9 - run.started_at)

    def every_arm(self, stop: Callable[[], bool], *, left_s: float) -> None:
        """Profile one scenario of each arm within `left_s` seconds: the first that is whole or streamed.

        The arm that takes least comes first, and one that does not fit is refused. Ends early once `stop` returns true.
        """
        chosen: dict[Arm, Scenario] = {}
        for scenario in self._plan.scenarios:
            if scenario.mode in (Mode.WHOLE, Mode.STREAM):
                chosen.setdefault(scenario.arm, scenario)
        unfit = {arm: why_not_profiled(arm, self._data) for arm in chosen}
        costs = {arm: 0.0 if unfit[arm] else arm_profile_s(chosen[arm], self._data) for arm in chosen}
        needed_s, began_ns = sum(costs.values()), self._clock.now_ns()
        kept = self._plan.run_limits.whole_s is not None
        budget_s = max(self._data.run.budget_s + needed_s - left_s, needed_s / ARMS_SHARE) if kept else None
        for arm, scenario in sorted(chosen.items(), key=lambda each: costs[each[0]]):
            if stop():
                return
            rest_s, reason = left_s - (self._clock.now_ns() - began_ns) / 1e9, unfit[arm]
            if not reason and costs[arm] > rest_s:
                reason = _no_time(left_s=rest_s, needed_s=costs[arm], budget_s=budget_s)
            profile = Profile(reason=reason)
            if not profile.reason:
                self._report(f"profiling {scenario.id}")
                profile = profile_arm(
                    arm,
                    worker_factory=self._worker_factory,
                    voice=scenario.voice,
                    seed=self._seed,
                    utterance=self._text(scenario),
                    repetitions=FEWEST_REPETITIONS,
                    script=dict(self._plan.script),
                    keep=partial(self._keep, scenario, ("",)),
                )
            self._add(profiled_alone(profile, scenario=scenario.id))

    def save(self) -> tuple[str, ...]:
        """Keep the table of what was profiled. Return notes: why something was not profiled or not kept."""
        notes = [f"not profiled: {each.candidate}: {each.reason}" for each in self._found if each.reason]
        if any(each.traces for each in self._found):
            # A path from the root would not be shown on a page.
            notes.append(f"traces for Perfetto and speedscope: traces/{self._data.run.id}, beside the results")
        try:
            if self._found:
                write_sheet(self._folder, self._data.run.id, ProfileSheet(profiled=tuple(self._found)))
        except OSError as error:
            self._trouble = self._trouble or f"traces: not kept: {error}"
        return (*notes, self._trouble) if self._trouble else tuple(notes)

    @property
    def _seed(self) -> int:
        return self._plan.run_limits.seed + 1

    def _text(self, scenario: Scenario) -> Utterance:
        text = self._plan.utterance(scenario, 0)
        return replace(text, language=order_language(scenario, text))

    def _keep(self, scenario: Scenario, sides: tuple[str, ...], side: int, launch: int, trace: Path) -> None:
        if launch >= KEPT_LAUNCHES:
            return
        before = [each for each in self._traces if (each.side, each.launch) == (sides[side], launch + 1)]
        name = trace_name(scenario.id, side=sides[side], launch=launch, session=len(before))
        try:
            size = write_trace(self._folder, self._data.run.id, name, trace)
        except OSError as error:
            self._trouble = f"traces: not kept: {error}"
            return
        self._traces.append(Trace(side=sides[side], launch=launch + 1, file=name, size=size))

    def _add(self, found: Profiled) -> None:
        """Add the table of a text with the traces that were kept of it."""
        self._found.append(replace(found, traces=tuple(self._traces)))
        self._traces.clear()


def _no_time(*, left_s: float, needed_s: float, budget_s: float | None) -> str:
    advice = f": `--budget {math.ceil(budget_s / 10) * 10}s`" if budget_s else ""
    return f"it takes about {needed_s:.0f} s, and {max(0.0, left_s):.0f} s of the budget were left{advice}"
