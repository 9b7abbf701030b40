"""Measures start-ups: one round per launch, before the first block.

Start-ups between blocks would lengthen the time in which the machine can change. The first round runs whatever the
budget; where nothing else is measured, as many as the launch policy needs.
"""

from collections.abc import Iterator
from typing import TYPE_CHECKING

from harness.core.clock import Clock
from harness.core.records.repetition import Phase, Repetition
from harness.core.records.scenario import Mode, Scenario
from harness.measure.conductor.active_scenarios import ActiveScenarios
from harness.measure.conductor.budget import RunBudget
from harness.measure.conductor.dispatch import Dispatcher, Step
from harness.measure.conductor.events import EventHandler, WarmedUp
from harness.measure.conductor.requests import NO_BLOCK
from harness.measure.conductor.workers import ActiveWorker, WorkerPool
from harness.measure.worker.worker_lost import WorkerLost
from harness.plan.matrix import Plan

if TYPE_CHECKING:
    from harness.measure.worker.protocol import PageCache


class StartUps:
    """All rounds of start-ups of one run."""

    def __init__(
        self,
        plan: Plan,
        active_scenarios: ActiveScenarios,
        worker_pool: WorkerPool,
        *,
        dispatcher: Dispatcher,
        clock: Clock,
        emit: EventHandler,
    ) -> None:
        self._plan = plan
        self._active_scenarios = active_scenarios
        self._worker_pool = worker_pool
        self._dispatcher = dispatcher
        self._clock = clock
        self._emit = emit

    def run(self, budget: RunBudget) -> str:
        """Run all rounds. Return why there were fewer rounds than launches, or ""."""
        run_limits = self._plan.run_limits
        # The workers of the blocks are start-ups too, so that one round of dedicated ones is no value by itself.
        alone = not self._active_scenarios.in_blocks
        needed = run_limits.launch_policy.needed_launches if alone else 1
        for launch in range(run_limits.launches if self._active_scenarios.start_ups else 0):
            if launch >= needed and not budget.fits_start_ups(alone=alone):
                return f"the budget of {run_limits.budget_s:g} s had no time for more than {launch} start-ups"
            began = self._clock.now_ns()
            for scenario in self._plan.shuffled(self._active_scenarios.start_ups, "load", launch):
                self._emit(budget.progress(scenario.id))
                self._start_up(scenario, launch)
            budget.start_ups_done(began)
        return ""

    def _start_up(self, scenario: Scenario, launch: int) -> None:
        """Measure one start-up while no other worker runs."""
        page_cache: PageCache = "cold" if scenario.mode is Mode.LOAD_COLD else "warm"
        worker, done = self._worker_pool.start(
            scenario.arm, launch, page_cache=page_cache, dedicated=True, speak_first=scenario.mode.is_start_up
        )
        if not done.outcome.valid:
            self._active_scenarios.lose(scenario, done.outcome)
        if worker is not None:
            try:
                if done.outcome.valid and not scenario.mode.is_start_up:
                    self._measure_first_requests(scenario, ActiveWorker(arm=scenario.arm, worker=worker, launch=launch))
            finally:
                worker.close()

    def _measure_first_requests(self, scenario: Scenario, active: ActiveWorker) -> None:
        """Measure the first requests of a process that has synthesised nothing yet."""
        try:
            for repetition in first_requests(self._plan, self._dispatcher, scenario, active):
                self._emit(WarmedUp(repetition=repetition))
        except WorkerLost as lost:
            self._active_scenarios.lose_unmeasured(scenario, lost.outcome, launch=self._plan.run_limits.launches - 1)


FIRST_REQUESTS = 20


def first_requests(
    plan: Plan, dispatcher: Dispatcher, scenario: Scenario, active: ActiveWorker
) -> Iterator[Repetition]:
    """Synthesise each text as warm-up, then all of them again as measured, in the same order. Raises WorkerLost."""
    texts = min(FIRST_REQUESTS, len(plan.texts_of(scenario)))
    for phase in (Phase.WARMUP, Phase.MEASURED):
        for number in range(texts):
            utterance = plan.utterance(scenario, number)
            step = Step(utterance=utterance, block=NO_BLOCK, position=number, phase=phase)
            yield from dispatcher.repetitions(scenario, active, step)
