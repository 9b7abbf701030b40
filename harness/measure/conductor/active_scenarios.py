"""Tracks the scenarios that are still active in a run."""

from harness.core.clock import Clock
from harness.core.records.repetition import Outcome, Phase, Repetition
from harness.core.records.scenario import Arm, Scenario
from harness.measure.conductor.events import EventHandler, ScenarioLost, WarmedUp
from harness.measure.conductor.requests import NO_BLOCK
from harness.plan.matrix import Plan


class ActiveScenarios:
    """The active scenarios. A lost scenario leaves for the rest of the run, and an event reports it."""

    def __init__(self, plan: Plan, *, clock: Clock, emit: EventHandler) -> None:
        self._plan = plan
        self._clock = clock
        self._emit = emit
        self.alive = list(plan.scenarios)

    def __contains__(self, scenario: Scenario) -> bool:
        return scenario in self.alive

    @property
    def in_blocks(self) -> list[Scenario]:
        """Active scenarios that run in blocks."""
        return [scenario for scenario in self.alive if not scenario.mode.starts_alone]

    @property
    def start_ups(self) -> list[Scenario]:
        """Active scenarios that measure a dedicated start-up."""
        return [scenario for scenario in self.alive if scenario.mode.starts_alone]

    def of_arm(self, arm: Arm) -> list[Scenario]:
        """Active scenarios of an arm that run in blocks."""
        return [scenario for scenario in self.in_blocks if scenario.arm == arm]

    def skip(self, scenario: Scenario) -> None:
        """Remove a scenario that was not lost, without an event."""
        self.alive.remove(scenario)

    def lose(self, scenario: Scenario, outcome: Outcome) -> None:
        """Remove a scenario whose last repetition or worker start failed with `outcome`."""
        if scenario in self.alive:
            self.alive.remove(scenario)
            self._emit(ScenarioLost(scenario_id=scenario.id, outcome=outcome))

    def lose_unmeasured(self, scenario: Scenario, outcome: Outcome, *, launch: int) -> None:
        """Remove a scenario that has no failed repetition. A record outside the blocks states the reason."""
        utterance = self._plan.utterance(scenario, 0)
        repetition = Repetition(
            scenario_id=scenario.id, launch=launch, block=NO_BLOCK, position=0,
            phase=Phase.WARMUP, variant=utterance.variant, characters=utterance.characters,
            started_at=self._clock.wall(), end_ns=0, outcome=outcome,
        )  # fmt: skip
        self._emit(WarmedUp(repetition=repetition))
        self.lose(scenario, outcome)
