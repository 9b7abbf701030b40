"""A turn in a block: one scenario speaks, or both sides of a duel at the same time; and what it is to lose one."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from harness.core.clock import Clock
from harness.core.records.repetition import Outcome, Phase, Repetition
from harness.core.records.scenario import Scenario
from harness.measure.conductor.dispatch import Dispatcher, Turn
from harness.measure.conductor.requests import NO_BLOCK
from harness.measure.conductor.workers import ActiveWorker, WorkerPool
from harness.measure.worker.handle import WorkerLost
from harness.measure.worker.slicing_checks import Slicing
from harness.measure.worker.time_slicing import can_halt


@dataclass(frozen=True, slots=True, kw_only=True)
class StepResult:
    """What a scenario gave in its turn; `lost` is how its worker was lost, None where it was not."""

    scenario: Scenario
    repetitions: Sequence[Repetition]
    lost: Outcome | None = None


class StepRunner:
    """Takes the turns of one run."""

    def __init__(self, *, dispatcher: Dispatcher, worker_pool: WorkerPool, clock: Clock, slicing: Slicing) -> None:
        self._dispatcher = dispatcher
        self._slicing = slicing
        self._worker_pool = worker_pool
        self._clock = clock

    def one(self, scenario: Scenario, turn: Turn, *, watched: bool = False) -> StepResult:
        """One repetition, or those of a crowd; `watched` is for a side of a duel that is looked at meanwhile."""
        active = self._worker_pool[scenario.arm]
        began_at, began = self._clock.wall(), self._clock.now_ns()
        ask = self._dispatcher.watched if watched else self._dispatcher.repetitions
        try:
            repetitions = ask(scenario, active, turn)
        except WorkerLost as lost:
            return self._lost(scenario, active, turn, lost, began_at=began_at, end_ns=self._clock.now_ns() - began)
        return StepResult(scenario=scenario, repetitions=repetitions)

    def both(self, pair: tuple[Scenario, Scenario], turn: Turn) -> list[StepResult]:
        """One repetition of each side of a duel, in slices; the first begins. Who is lost costs itself alone."""
        worker_pool = self._worker_pool[pair[0].arm], self._worker_pool[pair[1].arm]
        began_at, began = self._clock.wall(), self._clock.now_ns()
        found = self._dispatcher.together(pair, worker_pool, turn)
        end_ns = self._clock.now_ns() - began
        return [
            self._lost(
                scenario, active, replace(turn, position=turn.position + place), each, began_at=began_at, end_ns=end_ns
            )
            if isinstance(each, WorkerLost)
            else StepResult(scenario=scenario, repetitions=[each])
            for place, (scenario, active, each) in enumerate(zip(pair, worker_pool, found, strict=True))
        ]

    def sides(self, scenarios: Sequence[Scenario]) -> dict[Scenario, Scenario]:
        """Scenario → the one that differs from it in its arm alone, of all whose workers can be halted.

        None where nothing is spoken in slices.
        """
        if not self._slicing.slice_s:
            return {}
        ready = [each for each in scenarios if can_halt(self._worker_pool[each.arm].worker)]
        return {
            one: other for one in ready for other in ready if one is not other and replace(one, arm=other.arm) == other
        }

    def _lost(
        self, scenario: Scenario, active: ActiveWorker, turn: Turn, lost: WorkerLost, *, began_at: float, end_ns: int
    ) -> StepResult:
        repetition = Repetition(
            scenario_id=scenario.id,
            launch=active.launch,
            block=turn.block if turn.phase is Phase.MEASURED else NO_BLOCK,
            position=turn.position,
            phase=turn.phase,
            variant=turn.utterance.variant,
            characters=turn.utterance.characters,
            started_at=began_at,
            end_ns=end_ns,
            outcome=lost.outcome,
        )
        return StepResult(scenario=scenario, repetitions=[repetition], lost=lost.outcome)
