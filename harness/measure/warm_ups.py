"""Warming up: each text once or more before it is measured, and a first look at what both sides of a duel do."""

from collections.abc import Iterable, Sequence
from typing import Protocol

from harness.measure.desks import Desks
from harness.measure.elsewhere import works_elsewhere
from harness.measure.events import Listener, WarmedUp
from harness.measure.fitness import CANNOT_TELL, ENOUGH_LOOKS, UNABLE, UNTOLD, Slicing
from harness.measure.roster import Roster
from harness.measure.slices import can_halt, halter_of
from harness.measure.turns import Turns
from harness.plan.matrix import Plan
from harness.records.repetition import Repetition
from harness.records.scenario import Arm, Scenario

MOST_WATCHED = 8
"""Warm-up repetitions of a text at most, where short ones have not shown enough."""


class Repeat(Protocol):
    """Has a scenario, or both sides of a duel at once, speak their text once more."""

    def __call__(self, *scenarios: Scenario, watched: bool = False) -> Sequence[Repetition]:
        """What came of it; who is lost over it is no longer in the roster."""
        ...


class WarmUps:
    """The warm-ups of a run."""

    def __init__(
        self,
        plan: Plan,
        *,
        roster: Roster,
        desks: Desks,
        turns: Turns,
        slicing: Slicing,
        repeat: Repeat,
        emit: Listener,
    ) -> None:
        self._plan = plan
        self._roster = roster
        self._desks = desks
        self._turns = turns
        self._slicing = slicing
        self._repeat = repeat
        self._emit = emit

    def play(self, scenarios: Sequence[Scenario], launch: int) -> None:
        """Warm up one after the other; both sides of a duel at once where neither needs the other's core.

        In the first launch a duel's sides are looked at meanwhile: can they be halted in the middle of their work?
        """
        first = not launch and bool(self._slicing.slice_s)
        if first:
            self._examine(scenario.arm for scenario in scenarios)
        sides = self._turns.sides(scenarios)
        both: set[Scenario] = set()
        for scenario in scenarios:
            other = sides.get(scenario)
            if other is not None and first:
                self._watch(scenario)
            elif other is None or any(arm.threads != 1 for arm in (scenario.arm, other.arm)):
                self.warm_up(scenario)
            elif scenario not in both:
                both |= {scenario, other}
                self.warm_up(scenario, other)
        if first:
            # An engine may start a process, or open a device, with its first text.
            self._examine(scenario.arm for scenario in sides)
            self._slicing.settle_first(scenario.arm.id for scenario in sides if scenario in self._roster)

    def warm_up(self, *scenarios: Scenario) -> None:
        """Warm up one, or both sides of a duel at once; what has lost a side is over."""
        for _ in range(self._plan.pace.warmups):
            if not self._once(*scenarios):
                return

    def _watch(self, scenario: Scenario) -> None:
        """Warm up a side of a duel until enough has been seen of it."""
        seen = self._slicing.of(scenario.arm.id)
        for number in range(max(self._plan.pace.warmups, MOST_WATCHED)):
            if number >= self._plan.pace.warmups and seen.looks >= ENOUGH_LOOKS:
                return
            if not self._once(scenario, watched=True):
                return

    def _once(self, *scenarios: Scenario, watched: bool = False) -> bool:
        """Speak once more; False where one of them is lost by now."""
        if any(scenario not in self._roster for scenario in scenarios):
            return False
        for repetition in self._repeat(*scenarios, watched=watched):
            self._emit(WarmedUp(repetition=repetition))
        return True

    def _examine(self, arms: Iterable[Arm]) -> None:
        """Refuse slices where a process cannot be halted as a whole, or says nothing of what it does."""
        for arm in dict.fromkeys(arms):
            if arm not in self._desks:
                continue
            worker = self._desks[arm].worker
            if not can_halt(worker):
                self._slicing.refuse(UNABLE)
            elif not halter_of(worker).tells:
                self._slicing.refuse(CANNOT_TELL.format(arm=arm.id, why=UNTOLD))
            elif elsewhere := works_elsewhere(worker.pid):
                self._slicing.refuse(f"{arm.id} {elsewhere}")
