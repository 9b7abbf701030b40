"""What a process is asked for first, after a start of its own: so many texts, and then the same again."""

from collections.abc import Iterator

from harness.measure.asking import Asking, Turn
from harness.measure.desks import Desk
from harness.measure.orders import NO_BLOCK
from harness.plan.matrix import Plan
from harness.records.repetition import Phase, Repetition
from harness.records.scenario import Scenario

FIRST_REQUESTS = 20


def first_requests(plan: Plan, asking: Asking, scenario: Scenario, desk: Desk) -> Iterator[Repetition]:
    """Each text as a warm-up, and after all of them each again as measured, in the same order. WorkerLost."""
    texts = min(FIRST_REQUESTS, len(plan.utterances[scenario.text_class]))
    for phase in (Phase.WARMUP, Phase.MEASURED):
        for number in range(texts):
            utterance = plan.utterance(scenario, number)
            turn = Turn(utterance=utterance, block=NO_BLOCK, position=number, phase=phase)
            yield from asking.repetitions(scenario, desk, turn)
