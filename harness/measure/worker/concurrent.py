"""Answers a `ConcurrentOrder`: concurrent texts, or a load over time.

The client of a server runs alone in its process, so any lateness of the client is its own. An engine in process is
called from one thread per request.
"""

from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Protocol

from harness.core.clock import Clock
from harness.core.event_loop import run
from harness.core.records.repetition import LoadNote, Phase, Repetition
from harness.core.records.scenario import Arrivals, Band, Traffic, Utterance
from harness.engines.http.target import Target
from harness.engines.protocol import ServerProcess, Shared
from harness.measure.load.arrivals import NS, starts_of
from harness.measure.load.client import LoadClient, LoadResult
from harness.measure.load.invariants import SoloReference, check_invariants
from harness.measure.load.loops import closed_loop, open_loop
from harness.measure.load.records import KeepAudio, Workload, histogram
from harness.measure.system.server_process import ServerWatch
from harness.measure.worker.protocol import ConcurrentAnswer, ConcurrentOrder, RequestText

if TYPE_CHECKING:
    from collections.abc import Mapping

    import numpy as np
    from numpy.typing import NDArray

    from harness.core.records.repetition import EngineCounters
    from harness.measure.worker.probes import Probes

SAMPLING_S = 0.1
"""Seconds between two readings of the server's memory under load. A reading briefly blocks the client."""

SOLO_REPEATS = 2
"""How often each text is requested alone. The second answer shows how much two good answers differ."""

ReadCounters = Callable[[], "EngineCounters | None"]
"""Reads the counters of an engine."""


def no_counters() -> None:
    """The default: an engine without counters."""


def handle_concurrent(
    order: ConcurrentOrder, *, target: Target, server: ServerProcess, clock: Clock, account: ReadCounters = no_counters
) -> ConcurrentAnswer:
    """Carry out an order with a server. Faults are outcomes."""
    if order.traffic is not None:
        return _load(order, order.traffic, target=target, server=server, clock=clock)

    def run_workload(workload: Workload, keep: KeepAudio, *, alone: bool) -> LoadResult:
        texts = len(workload.utterances)
        watch = None if alone else ServerWatch(server)
        client = LoadClient(target, workload, clock=clock, keep=keep, watch=watch)
        return run(
            open_loop(
                client,
                starts_ns=(0,) * texts,
                places=1 if alone else 0,
                connections=texts if target.settings.keep_alive and not alone else 0,
            )
        )

    return _together(order, run_workload, sample_rate=target.settings.sample_rate, account=account)


def handle_concurrent_in_process(
    order: ConcurrentOrder, *, engine: Shared, clock: Clock, probes: "Probes"
) -> ConcurrentAnswer:
    """Carry out an order for concurrent texts with an engine in process. Faults are outcomes."""
    from harness.measure.worker.threads import synthesise_alone, synthesise_together

    def run_workload(workload: Workload, keep: KeepAudio, *, alone: bool) -> LoadResult:
        how = synthesise_alone if alone else synthesise_together
        return how(engine, workload, clock=clock, probes=probes, keep=keep)

    return _together(order, run_workload, sample_rate=engine.facts.sample_rate, account=engine.account)


def _load(
    order: ConcurrentOrder, traffic: Traffic, *, target: Target, server: ServerProcess, clock: Clock
) -> ConcurrentAnswer:
    watch = ServerWatch(server, interval_s=SAMPLING_S)
    client = LoadClient(target, _workload(order, order.texts), clock=clock, watch=watch)
    if traffic.arrivals is Arrivals.CLOSED:
        result = run(
            closed_loop(
                client,
                users=round(traffic.level),
                seconds=traffic.total_s,
                # Users start staggered; all are active when the window begins.
                stagger_s=traffic.warm_up_s,
                listen=traffic.listen,
                longest_s=traffic.longest_s,
            )
        )
    else:
        starts = starts_of(traffic, seed=order.seed)
        result = run(open_loop(client, starts_ns=starts, longest_s=traffic.longest_s))
    # Whole nanoseconds, as the starts are: 0.2 s + 0.4 s are a little more than 0.6 s in floating point.
    begins_ns, ends_ns = round(traffic.warm_up_s * NS), round((traffic.warm_up_s + traffic.seconds) * NS)
    repetitions = []
    for each in result.load_records:
        phase = Phase.WARMUP if each.intended_ns < begins_ns else Phase.MEASURED
        phase = Phase.COOLDOWN if each.intended_ns >= ends_ns else phase
        repetitions.append(_placed(each.repetition, order, phase, result))
    return _answer(repetitions, result)


class _RunWorkload(Protocol):
    """Requests every text of a workload: all at once, or one after the other."""

    def __call__(self, workload: Workload, keep: KeepAudio, *, alone: bool) -> LoadResult: ...


def _together(
    order: ConcurrentOrder, run_workload: _RunWorkload, *, sample_rate: int, account: ReadCounters
) -> ConcurrentAnswer:
    """Request all texts at once, then each text alone, twice, for comparison.

    The solo requests come last, because an engine that caches answers would otherwise answer all from its cache. If
    such an engine caches a wrong answer under load, it repeats it alone, and the comparison cannot detect it.
    """
    concurrent = _AudioByRequest()
    before = account()
    result = run_workload(_workload(order, order.texts), concurrent, alone=False)
    after = account()
    counted = after.since(before) if before and after else None
    repetitions = [
        replace(_placed(each, order, order.phase, result), account=counted, disturbance=result.disturbance)
        for each in result.repetitions
    ]
    if order.compare:
        distinct = [text for number, text in enumerate(order.texts) if text not in order.texts[:number]]
        alone = _AudioByRequest()
        for _ in range(SOLO_REPEATS):
            run_workload(_workload(order, distinct), alone, alone=True)
        references = [alone.answers[distinct.index(text)] for text in order.texts]
        repetitions = [_compared(each, concurrent, references[each.position], sample_rate) for each in repetitions]
        repetitions = check_invariants(repetitions, texts=len(distinct))
    return _answer(repetitions, result)


def _answer(repetitions: Sequence[Repetition], result: LoadResult) -> ConcurrentAnswer:
    lag = histogram(result.loop_lag_ns)
    note = LoadNote(timer_lag=lag, memory=result.memory, server_cpu_ns=result.server_cpu_ns)
    return ConcurrentAnswer(repetitions=tuple(repetitions), began_at=result.began_at, note=note)


class _AudioByRequest:
    """Collects the audio of every answer, by the number of its request."""

    def __init__(self) -> None:
        self.answers: dict[int, list[NDArray[np.float32]]] = defaultdict(list)

    def __call__(self, number: int, chunks: "Sequence[NDArray[np.float32]]") -> None:
        import numpy as np

        self.answers[number].append(np.concatenate(chunks))


def _compared(
    repetition: Repetition, concurrent: _AudioByRequest, references: "Sequence[NDArray[np.float32]]", sample_rate: int
) -> Repetition:
    """Compare an answer with its solo answers. Without valid solo answers the repetition stays as it is."""
    if not repetition.outcome.valid or len(references) < SOLO_REPEATS:
        return repetition
    first, again = references
    reference = SoloReference(first=first, again=again, sample_rate=sample_rate)
    return replace(repetition, outcome=reference.judge(concurrent.answers[repetition.position][0]))


def _workload(order: ConcurrentOrder, texts: Sequence[RequestText]) -> Workload:
    bands: Mapping[Utterance, Band] = {each.utterance: Band(low=each.band_low, high=each.band_high) for each in texts}
    return Workload(
        scenario_id=order.scenario_id,
        utterances=tuple(each.utterance for each in texts),
        band=bands.__getitem__,
        voice=order.voice,
        speed=order.speed,
    )


def _placed(repetition: Repetition, order: ConcurrentOrder, phase: Phase, result: LoadResult) -> Repetition:
    """Add launch, block, peak memory and, if known, the repetition's share of the CPU time.

    CPU time is divided by seconds of audio, so the CPU time per second of speech is right over all repetitions.
    """
    total = sum(chunk.frames for each in result.repetitions for chunk in each.chunks)
    own = sum(chunk.frames for chunk in repetition.chunks)
    cpu_ns = round(result.server_cpu_ns * own / total) if result.server_cpu_ns is not None and total else None
    memory = replace(result.memory, rss_after=repetition.memory.rss_after)
    return replace(repetition, launch=order.launch, block=order.block, phase=phase, cpu_ns=cpu_ns, memory=memory)
