"""Warm-up: each text is synthesised before it is measured; the arms of a duel are observed meanwhile."""

from collections.abc import Iterable, Sequence
from typing import Protocol

from harness.core.records.repetition import Repetition
from harness.core.records.scenario import Arm, Scenario
from harness.measure.conductor.active_scenarios import ActiveScenarios
from harness.measure.conductor.events import EventHandler, WarmedUp
from harness.measure.conductor.steps import StepRunner
from harness.measure.conductor.workers import WorkerPool
from harness.measure.system.external_work import external_work
from harness.measure.worker.slicing_checks import (
    CANNOT_DETERMINE,
    CANNOT_PAUSE,
    ENOUGH_OBSERVATIONS,
    STATES_UNAVAILABLE,
    Slicing,
)
from harness.measure.worker.time_slicing import can_pause, pauser_of
from harness.plan.matrix import Plan

MOST_OBSERVED = 8
"""The most warm-up repetitions of a text, if short ones have not shown enough."""


class Repeat(Protocol):
    """Lets a scenario, or the arms of a duel at once, synthesise their text once more."""

    def __call__(self, *scenarios: Scenario, observed: bool = False) -> Sequence[Repetition]:
        """The repetitions; a scenario whose worker is lost is no longer active."""
        ...


class WarmUps:
    """The warm-ups of a run."""

    def __init__(
        self,
        plan: Plan,
        *,
        active_scenarios: ActiveScenarios,
        worker_pool: WorkerPool,
        steps: StepRunner,
        slicing: Slicing,
        repeat: Repeat,
        emit: EventHandler,
    ) -> None:
        self._plan = plan
        self._active_scenarios = active_scenarios
        self._worker_pool = worker_pool
        self._steps = steps
        self._slicing = slicing
        self._repeat = repeat
        self._emit = emit

    def run(self, scenarios: Sequence[Scenario], launch: int) -> None:
        """Warm up one after the other, or the arms of a duel at once if each has one thread.

        In the first launch a duel's arms are observed meanwhile, to decide whether they can be paused.
        """
        first = not launch and bool(self._slicing.slice_s)
        if first:
            self._examine(scenario.arm for scenario in scenarios)
        partners = self._steps.partners(scenarios)
        together: set[Scenario] = set()
        for scenario in scenarios:
            group = (scenario, *partners.get(scenario, ()))
            if len(group) > 1 and first:
                self._warm_up_observed(scenario)
            elif len(group) == 1 or any(each.arm.threads != 1 for each in group):
                self.warm_up(scenario)
            elif scenario not in together:
                together.update(group)
                self.warm_up(*group)
        if first:
            # An engine may start a process, or open a device, with its first text.
            self._examine(scenario.arm for scenario in partners)
            self._slicing.settle_first(scenario.arm.id for scenario in partners if scenario in self._active_scenarios)

    def warm_up(self, *scenarios: Scenario) -> None:
        """Warm up one scenario, or the arms of a duel at once, until one is lost."""
        for _ in range(self._plan.run_limits.warmups):
            if not self._once(*scenarios):
                return

    def _warm_up_observed(self, scenario: Scenario) -> None:
        """Warm up a side of a duel until enough has been observed of it."""
        seen = self._slicing.of(scenario.arm.id)
        for number in range(max(self._plan.run_limits.warmups, MOST_OBSERVED)):
            if number >= self._plan.run_limits.warmups and seen.observations >= ENOUGH_OBSERVATIONS:
                return
            if not self._once(scenario, observed=True):
                return

    def _once(self, *scenarios: Scenario, observed: bool = False) -> bool:
        """Synthesise once more; False if one of them has been lost."""
        if any(scenario not in self._active_scenarios for scenario in scenarios):
            return False
        for repetition in self._repeat(*scenarios, observed=observed):
            self._emit(WarmedUp(repetition=repetition))
        return True

    def _examine(self, arms: Iterable[Arm]) -> None:
        """Refuse slices if a process cannot be paused as a whole, or if its state cannot be observed."""
        for arm in dict.fromkeys(arms):
            if arm not in self._worker_pool:
                continue
            worker = self._worker_pool[arm].worker
            if not can_pause(worker):
                self._slicing.refuse(CANNOT_PAUSE)
            elif not pauser_of(worker).observable:
                self._slicing.refuse(CANNOT_DETERMINE.format(arm=arm.id, why=STATES_UNAVAILABLE))
            elif elsewhere := external_work(worker.pid, server=pauser_of(worker).server):
                self._slicing.refuse(f"{arm.id} {elsewhere}")
