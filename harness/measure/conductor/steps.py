"""Runs the steps of a block: one scenario, or the arms of a duel at the same time. Records lost workers."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from harness.core.clock import Clock
from harness.core.records.repetition import Outcome, Phase, Repetition
from harness.core.records.scenario import Scenario
from harness.measure.conductor.dispatch import Dispatcher, Step
from harness.measure.conductor.requests import NO_BLOCK
from harness.measure.conductor.workers import ActiveWorker, WorkerPool
from harness.measure.worker.slicing_checks import Slicing
from harness.measure.worker.time_slicing import can_pause
from harness.measure.worker.worker_lost import WorkerLost


@dataclass(frozen=True, slots=True, kw_only=True)
class StepResult:
    """The repetitions of one step. `lost` says how the worker was lost, or is None."""

    scenario: Scenario
    repetitions: Sequence[Repetition]
    lost: Outcome | None = None


class StepRunner:
    """Runs the steps of one run."""

    def __init__(self, *, dispatcher: Dispatcher, worker_pool: WorkerPool, clock: Clock, slicing: Slicing) -> None:
        self._dispatcher = dispatcher
        self._slicing = slicing
        self._worker_pool = worker_pool
        self._clock = clock

    def run_one(self, scenario: Scenario, step: Step, *, observed: bool = False) -> StepResult:
        """Run one scenario. With `observed`, the threads of the worker are observed meanwhile."""
        active = self._worker_pool[scenario.arm]
        began_at, began = self._clock.wall(), self._clock.now_ns()
        synthesise = self._dispatcher.observed if observed else self._dispatcher.repetitions
        try:
            repetitions = synthesise(scenario, active, step)
        except WorkerLost as lost:
            return self._lost(scenario, active, step, lost, began_at=began_at, end_ns=self._clock.now_ns() - began)
        return StepResult(scenario=scenario, repetitions=repetitions)

    def run_together(self, scenarios: Sequence[Scenario], step: Step) -> list[StepResult]:
        """Run the arms of a duel in slices, starting with the first. A lost worker costs only its own repetition."""
        workers = [self._worker_pool[each.arm] for each in scenarios]
        began_at, began = self._clock.wall(), self._clock.now_ns()
        found = self._dispatcher.run_together(scenarios, workers, step)
        end_ns = self._clock.now_ns() - began
        return [
            self._lost(
                scenario, active, replace(step, position=step.position + place), each, began_at=began_at, end_ns=end_ns
            )
            if isinstance(each, WorkerLost)
            else StepResult(scenario=scenario, repetitions=[each])
            for place, (scenario, active, each) in enumerate(zip(scenarios, workers, found, strict=True))
        ]

    def partners(self, scenarios: Sequence[Scenario]) -> dict[Scenario, tuple[Scenario, ...]]:
        """Scenario → those that differ only in their arm, among the scenarios whose workers can be paused.

        A scenario without such a partner is left out. Empty if the run does not use slices.
        """
        if not self._slicing.slice_s:
            return {}
        ready = [each for each in scenarios if can_pause(self._worker_pool[each.arm].worker)]
        found = {
            one: tuple(other for other in ready if one is not other and replace(one, arm=other.arm) == other)
            for one in ready
        }
        return {one: others for one, others in found.items() if others}

    def _lost(
        self, scenario: Scenario, active: ActiveWorker, step: Step, lost: WorkerLost, *, began_at: float, end_ns: int
    ) -> StepResult:
        repetition = Repetition(
            scenario_id=scenario.id,
            launch=active.launch,
            block=step.block if step.phase is Phase.MEASURED else NO_BLOCK,
            position=step.position,
            phase=step.phase,
            variant=step.utterance.variant,
            characters=step.utterance.characters,
            started_at=began_at,
            end_ns=end_ns,
            outcome=lost.outcome,
        )
        return StepResult(scenario=scenario, repetitions=[repetition], lost=lost.outcome)
