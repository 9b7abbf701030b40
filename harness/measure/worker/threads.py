"""Many listeners of an engine in process: a thread for each. They give the same records as listeners over HTTP."""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier
from typing import TYPE_CHECKING

from harness.core.clock import Clock
from harness.engines.http.exchange import AudioChunk
from harness.engines.protocol import Shared
from harness.engines.speech import SpeechRequest, outcome_of
from harness.measure.load.client import LoadResult
from harness.measure.load.records import KeepAudio, RecordBuilder, RequestTrace, Workload

if TYPE_CHECKING:
    from harness.measure.worker.probes import Probes

GATHERING_S = 60.0
"""Until then every thread is there, or none goes on."""


def synthesise_together(
    engine: Shared, workload: Workload, *, clock: Clock, probes: "Probes", keep: KeepAudio
) -> LoadResult:
    """A thread for each text of the programme; the moment at which the last of them is there is everybody's start."""
    judge = RecordBuilder(workload, sample_rate=engine.facts.sample_rate, keep=keep)
    requests = _requests(workload)

    def begin() -> None:
        judge.began_ns, judge.began_at = clock.now_ns(), clock.wall()

    gate = Barrier(len(requests), action=begin)

    def listen(trace: RequestTrace) -> None:
        gate.wait(GATHERING_S)
        trace.intended_ns = trace.ready_ns = judge.began_ns
        _ask(engine, workload, trace, clock=clock, probes=probes)

    probes.begin()
    cpu_ns = clock.cpu_ns()
    with ThreadPoolExecutor(len(requests), thread_name_prefix="listener") as threads:
        list(threads.map(listen, requests))
    cpu_ns = clock.cpu_ns() - cpu_ns
    memory, disturbance = probes.end(cpu_ns=cpu_ns, wall_ns=clock.now_ns() - judge.began_ns)
    attempts = tuple(judge(trace, workload.utterance(trace.number)) for trace in requests)
    return LoadResult(
        attempts=attempts,
        loop_lag_ns=(),
        began_at=judge.began_at,
        memory=memory,
        server_cpu_ns=cpu_ns,
        disturbance=disturbance,
    )


def synthesise_alone(
    engine: Shared, workload: Workload, *, clock: Clock, probes: "Probes", keep: KeepAudio
) -> LoadResult:
    """One text after the other, each when the one before it has come."""
    judge = RecordBuilder(workload, sample_rate=engine.facts.sample_rate, keep=keep)
    judge.began_ns, judge.began_at = clock.now_ns(), clock.wall()
    requests = _requests(workload)
    for trace in requests:
        trace.intended_ns = trace.ready_ns = clock.now_ns()
        _ask(engine, workload, trace, clock=clock, probes=probes)
    attempts = tuple(judge(trace, workload.utterance(trace.number)) for trace in requests)
    return LoadResult(attempts=attempts, loop_lag_ns=(), began_at=judge.began_at)


def _requests(workload: Workload) -> Sequence[RequestTrace]:
    texts = range(len(workload.utterances))
    return [RequestTrace(number=number, user=number, intended_ns=0, ready_ns=0) for number in texts]


def _ask(engine: Shared, workload: Workload, trace: RequestTrace, *, clock: Clock, probes: "Probes") -> None:
    """One request from its beginning to its end. What the engine raises is its outcome."""
    utterance = workload.utterance(trace.number)
    request = SpeechRequest(
        text=utterance.text,
        voice=workload.voice,
        speed=workload.speed,
        language=utterance.language,
        stream=workload.stream,
    )
    trace.sent_ns = clock.now_ns()
    try:
        for chunk in engine.synthesise(request):
            trace.heard.append(AudioChunk(at_ns=clock.now_ns(), audio=chunk))
    except Exception as error:  # noqa: BLE001 - whatever the engine raises is its outcome
        trace.outcome = outcome_of(error)
    trace.end_ns = clock.now_ns()
    trace.resident = probes.resident()
