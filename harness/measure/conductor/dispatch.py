"""Sends the orders of a run to loaded workers: one text, concurrent texts, or a load."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from math import ceil

from harness.core.records.repetition import OutcomeKind, Phase, Repetition
from harness.core.records.scenario import Arm, Scenario, Utterance
from harness.measure.conductor.requests import Originals, concurrent_order, concurrent_timeout, synthesis_order
from harness.measure.conductor.worker_factory import WorkerFactory
from harness.measure.conductor.workers import ActiveWorker
from harness.measure.system.thread_states import states_of
from harness.measure.worker.handle import Overdue
from harness.measure.worker.observed_synthesis import synthesise_observed
from harness.measure.worker.protocol import ConcurrentAnswer, SynthesisOrder
from harness.measure.worker.slicing_checks import Slicing
from harness.measure.worker.time_slicing import (
    SlicedSynthesis,
    as_pausable,
    synthesise_in_parallel,
    synthesise_in_slices,
)
from harness.measure.worker.worker_lost import WorkerLost
from harness.plan.corpus import shortest_s
from harness.plan.matrix import Plan

SLICES_A_TEXT = 8
"""The fewest slices per side of a pair. With fewer, the sides do not meet the same machine conditions."""

KNOWN_TIMES = 2
"""A text whose duration is known may take this many times as long, even if the budget ends before."""

LEAST_OF_BUDGET = 0.1
"""The part of the budget that a text of any length gets, even if less is left."""

SHORTEST_SLICE_S = 0.025
"""Below this, switching costs more than slicing gains: see docs/method.md."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One text at one position of a block. Audio may be kept for `first_block_arms`, which run their first block."""

    utterance: Utterance
    block: int
    position: int
    phase: Phase
    first_block_arms: frozenset[Arm] = frozenset()


class Dispatcher:
    """Sends the orders of one run. Raises WorkerLost if a worker does not answer."""

    def __init__(
        self,
        plan: Plan,
        worker_factory: WorkerFactory,
        slicing: Slicing | None = None,
        budget_left_s: Callable[[], float] | None = None,
    ) -> None:
        """`budget_left_s` gives what is left of the budget (s), by default all of it."""
        self._plan = plan
        self._budget_left_s = budget_left_s or (lambda: plan.run_limits.budget_s)
        self._worker_factory = worker_factory
        self._slicing = slicing or Slicing(plan.run_limits.launch_policy)
        self._originals = Originals(plan.scenarios)
        self._durations_ns: dict[str, int] = {}
        """Scenario id → duration of its latest valid repetition, in ns."""

    def repetitions(self, scenario: Scenario, active: ActiveWorker, step: Step) -> Sequence[Repetition]:
        """Run a scenario for one step. A concurrent scenario returns one repetition per request."""
        if scenario.is_concurrent:
            return self.concurrent(scenario, active, block=step.block, phase=step.phase).repetitions
        order = self._order(scenario, active, step)
        timeout_s = self._timeout_s([scenario], step)
        try:
            repetition = active.worker.synthesise(order, timeout_s=timeout_s)
        except WorkerLost as lost:
            self._explain(lost, step, timeout_s)
            raise
        self._note_repetition(scenario, repetition)
        return [repetition]

    def run_together(
        self, scenarios: Sequence[Scenario], workers: Sequence[ActiveWorker], step: Step
    ) -> tuple[Repetition | WorkerLost, ...]:
        """Synthesise one text with several arms in alternating slices, starting with the first.

        Warm-up is not measured, so it runs in parallel without slices.
        """
        sides = [
            self._sliced(scenario, active, replace(step, position=step.position + place))
            for place, (scenario, active) in enumerate(zip(scenarios, workers, strict=True))
        ]
        looped_ns = [side.pauser.looped_ns for side in sides]
        # Each side has the machine for its part of the time.
        timeout_s = self._timeout_s(scenarios, step)
        if step.phase is Phase.WARMUP:
            results = synthesise_in_parallel(sides, timeout_s=timeout_s)
        else:
            results = synthesise_in_slices(sides, slice_s=self._slice_s(scenarios), timeout_s=timeout_s)
        for scenario, side, before_ns in zip(scenarios, sides, looped_ns, strict=True):
            if isinstance(side.result, WorkerLost):
                self._explain(side.result, step, timeout_s, sides=len(sides))
            if isinstance(side.result, Repetition):
                self._note_repetition(scenario, side.result)
                self._note_evidence(scenario, side, looped_ns=before_ns)
        return results

    def observed(self, scenario: Scenario, active: ActiveWorker, step: Step) -> Sequence[Repetition]:
        """Synthesise one text with one side of a duel while observing its threads. Raises WorkerLost."""
        side = self._sliced(scenario, active, step)
        before_ns = side.pauser.looped_ns
        timeout_s = self._timeout_s([scenario], step)
        observations = synthesise_observed(side, timeout_s=timeout_s)
        if isinstance(side.result, WorkerLost):
            self._explain(side.result, step, timeout_s)
            raise side.result
        assert side.result is not None  # noqa: S101 - for the type checker; a result is a repetition or WorkerLost
        self._note_repetition(scenario, side.result)
        self._slicing.of(scenario.arm.id).add_observations(observations.states())
        self._note_evidence(scenario, side, looped_ns=before_ns)
        return [side.result]

    def _timeout_s(self, scenarios: Sequence[Scenario], step: Step) -> float:
        """The time-out (s) of one text of these sides. Before its duration is known, the budget limits it.

        An engine that is slow to answer may have the answer's time-out whatever is left. A text that no engine speaks
        within that may not: it would outlast the budget and be given up all the same.
        """
        limits, sides = self._plan.run_limits, len(scenarios)
        known_s = [self._durations_ns.get(each.id, 0) / 1e9 for each in scenarios]
        answers_in_time = shortest_s(step.utterance.characters) <= limits.timeout_s
        least_s = sides * limits.timeout_s if answers_in_time else LEAST_OF_BUDGET * limits.budget_s
        allowed_s = max(least_s, self._budget_left_s(), sides * KNOWN_TIMES * max(known_s))
        return min(sides * limits.timeout_for(step.utterance.characters), round(allowed_s, 1))

    def _explain(self, lost: WorkerLost, step: Step, timeout_s: float, *, sides: int = 1) -> None:
        """Add to the reason of a time-out that the budget has shortened which budget would do."""
        limits = self._plan.run_limits
        whole_s = limits.timeout_for(step.utterance.characters)
        if lost.kind is OutcomeKind.TIMEOUT and timeout_s < sides * whole_s:
            minutes = ceil(len(self._plan.arms) * (limits.warmups + 1) * whole_s / 60)
            needed = f"{minutes}m" if minutes < 120 else f"{ceil(minutes / 60)}h"
            lost.reason += (
                f"; the budget of {limits.budget_s:g} s has no time for a text of {step.utterance.characters} "
                f"characters: shorten it, or give up to --budget {needed}"
            )

    def _sliced(self, scenario: Scenario, active: ActiveWorker, step: Step) -> SlicedSynthesis:
        return SlicedSynthesis(worker=as_pausable(active.worker), order=self._order(scenario, active, step))

    def _note_evidence(self, scenario: Scenario, side: SlicedSynthesis, *, looped_ns: int) -> None:
        """Record what a repetition showed about an arm. `looped_ns` is the loop counter before the repetition."""
        seen = self._slicing.of(scenario.arm.id)
        seen.add_pauses(states_of(side.pauses))
        if isinstance(side.result, Repetition) and side.result.outcome.valid:
            seen.add_synthesis(side.result, looped_ns=side.pauser.looped_ns - looped_ns)

    def _note_repetition(self, scenario: Scenario, repetition: Repetition) -> None:
        self._originals.handle(scenario, repetition)
        if repetition.outcome.valid:
            self._durations_ns[scenario.id] = repetition.end_ns

    def _slice_s(self, scenarios: Sequence[Scenario]) -> float:
        """The requested slice, shortened if the fastest side would get fewer than `SLICES_A_TEXT`. In s."""
        requested_s = self._slicing.slice_s
        known = [self._durations_ns[each.id] / 1e9 for each in scenarios if each.id in self._durations_ns]
        return min(requested_s, max(SHORTEST_SLICE_S, min(known) / SLICES_A_TEXT)) if known else requested_s

    def _order(self, scenario: Scenario, active: ActiveWorker, step: Step) -> SynthesisOrder:
        return synthesis_order(
            scenario,
            step.utterance,
            launch=active.launch,
            block=step.block,
            position=step.position,
            phase=step.phase,
            original_seconds=self._originals.seconds_for(scenario, step.utterance),
            audio_path=self._worker_factory.audio(scenario, active.launch)
            if scenario.arm in step.first_block_arms
            else "",
        )

    def concurrent(
        self, scenario: Scenario, active: ActiveWorker, *, block: int, phase: Phase, overdue: Overdue | None = None
    ) -> ConcurrentAnswer:
        """Send concurrent requests. Warm-up texts differ from block texts, because a server may cache its answers.

        `overdue` is called if the answer takes longer than its limit.
        """
        texts = self._plan.concurrent_texts(scenario, block if phase is Phase.MEASURED else -1 - active.launch)
        order = concurrent_order(
            scenario, texts, launch=active.launch, block=block, phase=phase, seed=self._plan.run_limits.seed + block
        )
        return active.worker.run_concurrent(
            order, timeout_s=concurrent_timeout(scenario, texts, self._plan.run_limits), overdue=overdue
        )
