"""Many requests of one worker at once: so many texts together, or a load over time. It answers a `ConcurrentOrder`.

A server's client has a process of its own and nothing else to do there, so that what it is late by is its own. An
engine in process is asked by as many threads.
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
from harness.measure.load.invariants import check_invariants
from harness.measure.load.isolation import SoloReference
from harness.measure.load.loops import closed_loop, open_loop
from harness.measure.load.records import KeepAudio, Workload, histogram
from harness.measure.system.server_process import ServerWatch
from harness.measure.worker.protocol import ConcurrentAnswer, ConcurrentOrder, Spoken

if TYPE_CHECKING:
    from collections.abc import Mapping

    import numpy as np
    from numpy.typing import NDArray

    from harness.core.records.repetition import EngineCounters
    from harness.measure.worker.probes import Probes

SAMPLING_S = 0.1
"""Between two readings of the server's memory under load: each takes the interpreter from the client for a moment."""

ALONE = 2
"""How often a text is asked for by itself: the second answer says how much two good ones differ."""

Accounts = Callable[[], "EngineCounters | None"]
"""Gives all that an engine has counted by now."""


def no_counters() -> None:
    """An engine that counts nothing."""


def handle_concurrent(
    order: ConcurrentOrder, *, target: Target, server: ServerProcess, clock: Clock, account: Accounts = no_counters
) -> ConcurrentAnswer:
    """Do what is ordered of a server. Faults are outcomes."""
    if order.traffic is not None:
        return _load(order, order.traffic, target=target, server=server, clock=clock)

    def ask(workload: Workload, keep: KeepAudio, *, alone: bool) -> LoadResult:
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

    return _together(order, ask, sample_rate=target.settings.sample_rate, account=account)


def handle_concurrent_in_process(
    order: ConcurrentOrder, *, engine: Shared, clock: Clock, probes: "Probes"
) -> ConcurrentAnswer:
    """Do what is ordered of an engine in process: so many texts at once. Faults are outcomes."""
    from harness.measure.worker.threads import synthesise_alone, synthesise_together

    def ask(workload: Workload, keep: KeepAudio, *, alone: bool) -> LoadResult:
        how = synthesise_alone if alone else synthesise_together
        return how(engine, workload, clock=clock, probes=probes, keep=keep)

    return _together(order, ask, sample_rate=engine.facts.sample_rate, account=engine.account)


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
                # Listeners do not all come in one moment; by the window's beginning all are there.
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
    for each in result.attempts:
        phase = Phase.WARMUP if each.intended_ns < begins_ns else Phase.MEASURED
        phase = Phase.COOLDOWN if each.intended_ns >= ends_ns else phase
        repetitions.append(_placed(each.repetition, order, phase, result))
    return ConcurrentAnswer(
        repetitions=tuple(repetitions),
        began_at=result.began_at,
        note=LoadNote(
            timer_lag=histogram(result.loop_lag_ns), memory=result.memory, server_cpu_ns=result.server_cpu_ns
        ),
    )


class _Ask(Protocol):
    """Asks for every text of a programme: all in one moment, or one after the other."""

    def __call__(self, workload: Workload, keep: KeepAudio, *, alone: bool) -> LoadResult: ...


def _together(order: ConcurrentOrder, ask: _Ask, *, sample_rate: int, account: Accounts) -> ConcurrentAnswer:
    """All texts in one moment, then each alone, twice, to be compared with.

    Afterwards, because an engine that keeps its answers would otherwise have them all. What such an engine got wrong
    under load it gives again when asked alone, and nothing shows.
    """
    heard = _Kept()
    before = account()
    result = ask(_workload(order, order.texts), heard, alone=False)
    after = account()
    counted = after.since(before) if before and after else None
    repetitions = [
        replace(_placed(each, order, order.phase, result), account=counted, disturbance=result.disturbance)
        for each in result.repetitions
    ]
    if order.compare:
        distinct = [text for number, text in enumerate(order.texts) if text not in order.texts[:number]]
        alone = _Kept()
        for _ in range(ALONE):
            ask(_workload(order, distinct), alone, alone=True)
        references = [alone.answers[distinct.index(text)] for text in order.texts]
        repetitions = [_compared(each, heard, references[each.position], sample_rate) for each in repetitions]
        repetitions = check_invariants(repetitions, texts=len(distinct))
    return ConcurrentAnswer(
        repetitions=tuple(repetitions),
        began_at=result.began_at,
        note=LoadNote(
            timer_lag=histogram(result.loop_lag_ns), memory=result.memory, server_cpu_ns=result.server_cpu_ns
        ),
    )


class _Kept:
    """The audio of each request, by its number: every answer that it got, one after the other."""

    def __init__(self) -> None:
        self.answers: dict[int, list[NDArray[np.float32]]] = defaultdict(list)

    def __call__(self, number: int, chunks: "Sequence[NDArray[np.float32]]") -> None:
        import numpy as np

        self.answers[number].append(np.concatenate(chunks))


def _compared(
    repetition: Repetition, heard: _Kept, references: "Sequence[NDArray[np.float32]]", sample_rate: int
) -> Repetition:
    """With what differs from the answer given alone; where alone it failed too, there is nothing to hold it against."""
    if not repetition.outcome.valid or len(references) < ALONE:
        return repetition
    first, again = references
    reference = SoloReference(first=first, again=again, sample_rate=sample_rate)
    return replace(repetition, outcome=reference.judge(heard.answers[repetition.position][0]))


def _workload(order: ConcurrentOrder, texts: Sequence[Spoken]) -> Workload:
    bands: Mapping[Utterance, Band] = {each.utterance: Band(low=each.band_low, high=each.band_high) for each in texts}
    return Workload(
        scenario_id=order.scenario_id,
        utterances=tuple(each.utterance for each in texts),
        band=bands.__getitem__,
        voice=order.voice,
        speed=order.speed,
    )


def _placed(repetition: Repetition, order: ConcurrentOrder, phase: Phase, result: LoadResult) -> Repetition:
    """In its launch and block, with the peak and, where it is known, its share of the CPU time of what speaks.

    The share follows the seconds of audio, so that CPU time per second of speech is right for all of them together.
    """
    spoken = sum(chunk.frames for each in result.repetitions for chunk in each.chunks)
    own = sum(chunk.frames for chunk in repetition.chunks)
    cpu_ns = round(result.server_cpu_ns * own / spoken) if result.server_cpu_ns is not None and spoken else None
    memory = replace(result.memory, rss_after=repetition.memory.rss_after)
    return replace(repetition, launch=order.launch, block=order.block, phase=phase, cpu_ns=cpu_ns, memory=memory)
