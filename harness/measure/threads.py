"""Many listeners of an engine in process: a thread for each. They give the same records as listeners over HTTP."""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier
from typing import TYPE_CHECKING

from harness.clock import Clock
from harness.engines.exchange import Heard
from harness.engines.protocol import Shared, SpeechRequest, outcome_of
from harness.measure.client import LoadResult
from harness.measure.judging import Judge, KeepAudio, Programme, Served

if TYPE_CHECKING:
    from harness.measure.worker import Probes

GATHERING_S = 60.0
"""Until then every thread is there, or none goes on."""


def ask_together(
    engine: Shared, programme: Programme, *, clock: Clock, probes: "Probes", keep: KeepAudio
) -> LoadResult:
    """A thread for each text of the programme; the moment at which the last of them is there is everybody's start."""
    judge = Judge(programme, sample_rate=engine.facts.sample_rate, keep=keep)
    requests = _requests(programme)

    def begin() -> None:
        judge.began_ns, judge.began_at = clock.now_ns(), clock.wall()

    gate = Barrier(len(requests), action=begin)

    def listen(served: Served) -> None:
        gate.wait(GATHERING_S)
        served.intended_ns = served.ready_ns = judge.began_ns
        _ask(engine, programme, served, clock=clock, probes=probes)

    probes.begin()
    cpu_ns = clock.cpu_ns()
    with ThreadPoolExecutor(len(requests), thread_name_prefix="listener") as threads:
        list(threads.map(listen, requests))
    cpu_ns = clock.cpu_ns() - cpu_ns
    memory, disturbance = probes.end(cpu_ns=cpu_ns, wall_ns=clock.now_ns() - judge.began_ns)
    attempts = tuple(judge(served, programme.utterance(served.number)) for served in requests)
    return LoadResult(
        attempts=attempts,
        loop_lag_ns=(),
        began_at=judge.began_at,
        memory=memory,
        server_cpu_ns=cpu_ns,
        disturbance=disturbance,
    )


def ask_alone(engine: Shared, programme: Programme, *, clock: Clock, probes: "Probes", keep: KeepAudio) -> LoadResult:
    """One text after the other, each when the one before it has come."""
    judge = Judge(programme, sample_rate=engine.facts.sample_rate, keep=keep)
    judge.began_ns, judge.began_at = clock.now_ns(), clock.wall()
    requests = _requests(programme)
    for served in requests:
        served.intended_ns = served.ready_ns = clock.now_ns()
        _ask(engine, programme, served, clock=clock, probes=probes)
    attempts = tuple(judge(served, programme.utterance(served.number)) for served in requests)
    return LoadResult(attempts=attempts, loop_lag_ns=(), began_at=judge.began_at)


def _requests(programme: Programme) -> Sequence[Served]:
    texts = range(len(programme.utterances))
    return [Served(number=number, listener=number, intended_ns=0, ready_ns=0) for number in texts]


def _ask(engine: Shared, programme: Programme, served: Served, *, clock: Clock, probes: "Probes") -> None:
    """One request from its beginning to its end. What the engine raises is its outcome."""
    utterance = programme.utterance(served.number)
    request = SpeechRequest(
        text=utterance.text,
        voice=programme.voice,
        speed=programme.speed,
        language=utterance.language,
        stream=programme.stream,
    )
    served.sent_ns = clock.now_ns()
    try:
        for chunk in engine.synthesise(request):
            served.heard.append(Heard(at_ns=clock.now_ns(), audio=chunk))
    except Exception as error:  # noqa: BLE001 - whatever the engine raises is its outcome
        served.outcome = outcome_of(error)
    served.end_ns = clock.now_ns()
    served.resident = probes.resident()
