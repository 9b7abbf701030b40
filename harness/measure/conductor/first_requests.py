"""Measures the first requests of a new process: several texts, then the same texts again."""

from collections.abc import Iterator

from harness.core.records.repetition import Phase, Repetition
from harness.core.records.scenario import Scenario
from harness.measure.conductor.dispatch import Dispatcher, Step
from harness.measure.conductor.requests import NO_BLOCK
from harness.measure.conductor.workers import ActiveWorker
from harness.plan.matrix import Plan

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
