"""A turn in a block: one scenario speaks, or both sides of a duel at the same time; and what it is to lose one."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from harness.clock import Clock
from harness.measure.asking import Asking, Turn
from harness.measure.desks import Desk, Desks
from harness.measure.fitness import Slicing
from harness.measure.handle import WorkerLost
from harness.measure.orders import NO_BLOCK
from harness.measure.slices import can_halt
from harness.records.repetition import Outcome, Phase, Repetition
from harness.records.scenario import Scenario


@dataclass(frozen=True, slots=True, kw_only=True)
class Taken:
    """What a scenario gave in its turn; `lost` is how its worker was lost, None where it was not."""

    scenario: Scenario
    repetitions: Sequence[Repetition]
    lost: Outcome | None = None


class Turns:
    """Takes the turns of one run."""

    def __init__(self, *, asking: Asking, desks: Desks, clock: Clock, slicing: Slicing) -> None:
        self._asking = asking
        self._slicing = slicing
        self._desks = desks
        self._clock = clock

    def one(self, scenario: Scenario, turn: Turn, *, watched: bool = False) -> Taken:
        """One repetition, or those of a crowd; `watched` is for a side of a duel that is looked at meanwhile."""
        desk = self._desks[scenario.arm]
        began_at, began = self._clock.wall(), self._clock.now_ns()
        ask = self._asking.watched if watched else self._asking.repetitions
        try:
            repetitions = ask(scenario, desk, turn)
        except WorkerLost as lost:
            return self._lost(scenario, desk, turn, lost, began_at=began_at, end_ns=self._clock.now_ns() - began)
        return Taken(scenario=scenario, repetitions=repetitions)

    def both(self, pair: tuple[Scenario, Scenario], turn: Turn) -> list[Taken]:
        """One repetition of each side of a duel, in slices; the first begins. Who is lost costs itself alone."""
        desks = self._desks[pair[0].arm], self._desks[pair[1].arm]
        began_at, began = self._clock.wall(), self._clock.now_ns()
        found = self._asking.together(pair, desks, turn)
        end_ns = self._clock.now_ns() - began
        return [
            self._lost(
                scenario, desk, replace(turn, position=turn.position + place), each, began_at=began_at, end_ns=end_ns
            )
            if isinstance(each, WorkerLost)
            else Taken(scenario=scenario, repetitions=[each])
            for place, (scenario, desk, each) in enumerate(zip(pair, desks, found, strict=True))
        ]

    def sides(self, scenarios: Sequence[Scenario]) -> dict[Scenario, Scenario]:
        """Scenario → the one that differs from it in its arm alone, of all whose workers can be halted.

        None where nothing is spoken in slices.
        """
        if not self._slicing.slice_s:
            return {}
        ready = [each for each in scenarios if can_halt(self._desks[each.arm].worker)]
        return {
            one: other for one in ready for other in ready if one is not other and replace(one, arm=other.arm) == other
        }

    def _lost(
        self, scenario: Scenario, desk: Desk, turn: Turn, lost: WorkerLost, *, began_at: float, end_ns: int
    ) -> Taken:
        repetition = Repetition(
            scenario_id=scenario.id,
            launch=desk.launch,
            block=turn.block if turn.phase is Phase.MEASURED else NO_BLOCK,
            position=turn.position,
            phase=turn.phase,
            variant=turn.utterance.variant,
            characters=turn.utterance.characters,
            started_at=began_at,
            end_ns=end_ns,
            outcome=lost.outcome,
        )
        return Taken(scenario=scenario, repetitions=[repetition], lost=lost.outcome)
