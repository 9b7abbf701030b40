"""What the conductor asks of a worker at its desk: one text, many at once, or a load."""

from collections.abc import Sequence

from harness.measure.desks import Desk
from harness.measure.messages import CrowdAnswer
from harness.measure.orders import Originals, crowd_order, crowd_timeout, speak_order
from harness.measure.staff import Staff
from harness.plan.matrix import Plan
from harness.records.repetition import Phase, Repetition
from harness.records.scenario import Scenario, Utterance


class Asking:
    """Gives the orders of one run. WorkerLost where a worker does not answer."""

    def __init__(self, plan: Plan, staff: Staff) -> None:
        self._plan = plan
        self._staff = staff
        self._originals = Originals()

    def repetitions(
        self,
        scenario: Scenario,
        desk: Desk,
        *,
        utterance: Utterance,
        block: int,
        position: int,
        phase: Phase,
        opening: bool = False,
    ) -> Sequence[Repetition]:
        """What a scenario gives in one turn of a block: one repetition of a text, or those of so many texts at once.

        `opening` is a launch's first turn, of which audio may be kept.
        """
        if scenario.is_crowd:
            return self.crowd(scenario, desk, block=block, phase=phase).repetitions
        order = speak_order(
            scenario,
            utterance,
            launch=desk.launch,
            block=block,
            position=position,
            phase=phase,
            original_seconds=self._originals.seconds_for(scenario, utterance),
            audio_path=self._staff.audio(scenario, desk.launch) if opening else "",
        )
        repetition = desk.worker.speak(order, timeout_s=self._plan.pace.timeout_for(utterance.characters))
        self._originals.hear(scenario, repetition)
        return [repetition]

    def crowd(self, scenario: Scenario, desk: Desk, *, block: int, phase: Phase) -> CrowdAnswer:
        """Many requests. What they ask for while warming up, no block asks for: a server may keep its answers."""
        texts = self._plan.crowd(scenario, block if phase is Phase.MEASURED else -1 - desk.launch)
        order = crowd_order(
            scenario, texts, launch=desk.launch, block=block, phase=phase, seed=self._plan.pace.seed + block
        )
        return desk.worker.attend(order, timeout_s=crowd_timeout(scenario, texts, self._plan.pace))
