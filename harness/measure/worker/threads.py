"""Sends concurrent requests to an engine in process, one thread each. The records equal those of HTTP clients."""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier
from typing import TYPE_CHECKING

from harness.core.clock import Clock
from harness.engines.http.exchange import AudioChunk
from harness.engines.protocol import Shared
from harness.engines.speech import outcome_of
from harness.measure.load.client import LoadResult
from harness.measure.load.records import KeepAudio, RecordBuilder, RequestTrace, Workload

if TYPE_CHECKING:
    from harness.measure.worker.probes import Probes

START_TIMEOUT_S = 60.0
"""Seconds until all threads must have started; else all of them fail."""


def synthesise_together(
    engine: Shared, workload: Workload, *, clock: Clock, probes: "Probes", keep: KeepAudio
) -> LoadResult:
    """Request each text of the workload from its own thread. All requests start when the last thread is ready."""
    records = RecordBuilder(workload, sample_rate=engine.facts.sample_rate, keep=keep)
    requests = _requests(workload)

    def begin() -> None:
        records.began_ns, records.began_at = clock.now_ns(), clock.wall()

    gate = Barrier(len(requests), action=begin)

    def send(trace: RequestTrace) -> None:
        gate.wait(START_TIMEOUT_S)
        trace.intended_ns = trace.ready_ns = records.began_ns
        _synthesise(engine, workload, trace, clock=clock, probes=probes)

    probes.begin()
    cpu_ns = clock.cpu_ns()
    with ThreadPoolExecutor(len(requests), thread_name_prefix="request") as threads:
        list(threads.map(send, requests))
    cpu_ns = clock.cpu_ns() - cpu_ns
    memory, disturbance = probes.end(cpu_ns=cpu_ns, wall_ns=clock.now_ns() - records.began_ns)
    load_records = tuple(records(trace, workload.utterance(trace.number)) for trace in requests)
    return LoadResult(
        load_records=load_records,
        loop_lag_ns=(),
        began_at=records.began_at,
        memory=memory,
        server_cpu_ns=cpu_ns,
        disturbance=disturbance,
    )


def synthesise_alone(
    engine: Shared, workload: Workload, *, clock: Clock, probes: "Probes", keep: KeepAudio
) -> LoadResult:
    """Request one text after the other, each when the previous one is complete."""
    records = RecordBuilder(workload, sample_rate=engine.facts.sample_rate, keep=keep)
    records.began_ns, records.began_at = clock.now_ns(), clock.wall()
    requests = _requests(workload)
    for trace in requests:
        trace.intended_ns = trace.ready_ns = clock.now_ns()
        _synthesise(engine, workload, trace, clock=clock, probes=probes)
    load_records = tuple(records(trace, workload.utterance(trace.number)) for trace in requests)
    return LoadResult(load_records=load_records, loop_lag_ns=(), began_at=records.began_at)


def _requests(workload: Workload) -> Sequence[RequestTrace]:
    texts = range(len(workload.utterances))
    return [RequestTrace(number=number, user=number, intended_ns=0, ready_ns=0) for number in texts]


def _synthesise(engine: Shared, workload: Workload, trace: RequestTrace, *, clock: Clock, probes: "Probes") -> None:
    """Run one request to its end. An exception of the engine becomes the outcome."""
    request = workload.request(workload.utterance(trace.number))
    trace.sent_ns = clock.now_ns()
    try:
        for chunk in engine.synthesise(request):
            trace.chunks.append(AudioChunk(at_ns=clock.now_ns(), audio=chunk))
    except Exception as error:  # noqa: BLE001 - whatever the engine raises is its outcome
        trace.outcome = outcome_of(error)
    trace.end_ns = clock.now_ns()
    trace.resident = probes.resident()
