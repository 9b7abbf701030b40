"""The scenarios that are still in a run."""

from harness.core.clock import Clock
from harness.core.records.repetition import Outcome, Phase, Repetition
from harness.core.records.scenario import Arm, Scenario
from harness.measure.conductor.events import EventHandler, ScenarioLost, WarmedUp
from harness.measure.conductor.requests import NO_BLOCK
from harness.plan.matrix import Plan


class ActiveScenarios:
    """Whoever is lost leaves it for the rest of the run, and that is said."""

    def __init__(self, plan: Plan, *, clock: Clock, emit: EventHandler) -> None:
        self._plan = plan
        self._clock = clock
        self._emit = emit
        self.alive = list(plan.scenarios)

    def __contains__(self, scenario: Scenario) -> bool:
        return scenario in self.alive

    @property
    def in_blocks(self) -> list[Scenario]:
        """Those that blocks are made of."""
        return [scenario for scenario in self.alive if not scenario.mode.starts_alone]

    @property
    def start_ups(self) -> list[Scenario]:
        """Those that are about a start of their own."""
        return [scenario for scenario in self.alive if scenario.mode.starts_alone]

    def at_work(self, arm: Arm) -> list[Scenario]:
        """What blocks have of an arm."""
        return [scenario for scenario in self.in_blocks if scenario.arm == arm]

    def leave_out(self, scenario: Scenario) -> None:
        """Go on without a scenario that was not lost."""
        self.alive.remove(scenario)

    def lose(self, scenario: Scenario, outcome: Outcome) -> None:
        """Go on without a scenario, because of what became of its last repetition or its worker's start."""
        if scenario in self.alive:
            self.alive.remove(scenario)
            self._emit(ScenarioLost(scenario_id=scenario.id, outcome=outcome))

    def give_up(self, scenario: Scenario, outcome: Outcome, *, launch: int) -> None:
        """Lose a scenario that nothing happened to: a record of its own says why there is no more of it."""
        utterance = self._plan.utterance(scenario, 0)
        repetition = Repetition(
            scenario_id=scenario.id, launch=launch, block=NO_BLOCK, position=0,
            phase=Phase.WARMUP, variant=utterance.variant, characters=utterance.characters,
            started_at=self._clock.wall(), end_ns=0, outcome=outcome,
        )  # fmt: skip
        self._emit(WarmedUp(repetition=repetition))
        self.lose(scenario, outcome)
