"""What the conductor asks of a worker at its desk: one text, many at once, or a load."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from harness.measure.desks import Desk
from harness.measure.handle import Overdue, WorkerLost
from harness.measure.messages import CrowdAnswer, SpeakOrder
from harness.measure.orders import Originals, crowd_order, crowd_timeout, speak_order
from harness.measure.slices import Speaking, haltable, speak_at_once, speak_in_slices
from harness.measure.staff import Staff
from harness.plan.matrix import Plan
from harness.records.repetition import Phase, Repetition
from harness.records.scenario import Arm, Scenario, Utterance

SLICES_A_TEXT = 8
"""Turns that a side has at least: where a text takes only a few, both do not meet the same moments."""

SHORTEST_SLICE_S = 0.025
"""Shorter turns than that cost more than they are worth: see docs/method.md."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Turn:
    """When it is and what is spoken. Of the arms that are `opening`, audio may be kept: a launch's first turn."""

    utterance: Utterance
    block: int
    position: int
    phase: Phase
    opening: frozenset[Arm] = frozenset()


class Asking:
    """Gives the orders of one run. WorkerLost where a worker does not answer."""

    def __init__(self, plan: Plan, staff: Staff) -> None:
        self._plan = plan
        self._staff = staff
        self._originals = Originals()
        self._took: dict[str, int] = {}
        """Scenario id → ns of its newest repetition."""

    def repetitions(self, scenario: Scenario, desk: Desk, turn: Turn) -> Sequence[Repetition]:
        """What a scenario gives in a turn: one repetition of a text, or those of so many texts at once."""
        if scenario.is_crowd:
            return self.crowd(scenario, desk, block=turn.block, phase=turn.phase).repetitions
        order = self._order(scenario, desk, turn)
        repetition = desk.worker.speak(order, timeout_s=self._plan.pace.timeout_for(turn.utterance.characters))
        self._hear(scenario, repetition)
        return [repetition]

    def together(
        self, pair: tuple[Scenario, Scenario], desks: tuple[Desk, Desk], turn: Turn
    ) -> tuple[Repetition | WorkerLost, ...]:
        """One text by both sides of a duel at the same time, in slices; the first begins.

        What warms up is not measured, and is spoken without slices: whoever has a core of their own does not wait.
        """
        one, other = (
            Speaking(
                worker=haltable(desk.worker),
                order=self._order(scenario, desk, replace(turn, position=turn.position + place)),
            )
            for place, (scenario, desk) in enumerate(zip(pair, desks, strict=True))
        )
        # Each has the machine half of the time.
        timeout_s = 2 * self._plan.pace.timeout_for(turn.utterance.characters)
        if turn.phase is Phase.WARMUP:
            found = speak_at_once((one, other), timeout_s=timeout_s)
        else:
            found = speak_in_slices((one, other), slice_s=self._slice_s(pair), timeout_s=timeout_s)
        for scenario, each in zip(pair, found, strict=True):
            if not isinstance(each, WorkerLost):
                self._hear(scenario, each)
        return found

    def _hear(self, scenario: Scenario, repetition: Repetition) -> None:
        self._originals.hear(scenario, repetition)
        if repetition.outcome.valid:
            self._took[scenario.id] = repetition.end_ns

    def _slice_s(self, pair: tuple[Scenario, Scenario]) -> float:
        """As asked for, and shorter where the faster side would have few turns."""
        asked_s = self._plan.pace.rhythm.slice_s
        known = [self._took[each.id] / 1e9 for each in pair if each.id in self._took]
        return min(asked_s, max(SHORTEST_SLICE_S, min(known) / SLICES_A_TEXT)) if known else asked_s

    def _order(self, scenario: Scenario, desk: Desk, turn: Turn) -> SpeakOrder:
        return speak_order(
            scenario,
            turn.utterance,
            launch=desk.launch,
            block=turn.block,
            position=turn.position,
            phase=turn.phase,
            original_seconds=self._originals.seconds_for(scenario, turn.utterance),
            audio_path=self._staff.audio(scenario, desk.launch) if scenario.arm in turn.opening else "",
        )

    def crowd(
        self, scenario: Scenario, desk: Desk, *, block: int, phase: Phase, overdue: Overdue | None = None
    ) -> CrowdAnswer:
        """Many requests. What they ask for while warming up, no block asks for: a server may keep its answers.

        `overdue` is told where it takes longer than that says.
        """
        texts = self._plan.crowd(scenario, block if phase is Phase.MEASURED else -1 - desk.launch)
        order = crowd_order(
            scenario, texts, launch=desk.launch, block=block, phase=phase, seed=self._plan.pace.seed + block
        )
        return desk.worker.attend(order, timeout_s=crowd_timeout(scenario, texts, self._plan.pace), overdue=overdue)
