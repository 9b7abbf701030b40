"""Many requests of one worker at once: so many texts together, or a load over time. It answers a `CrowdOrder`.

A server's client has a process of its own and nothing else to do there, so that what it is late by is its own. An
engine in process is asked by as many threads.
"""

from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Protocol

from harness.clock import Clock
from harness.engines.protocol import ServerProcess, Shared
from harness.engines.target import Target
from harness.event_loop import run
from harness.measure.alone import Reference
from harness.measure.arrivals import NS, starts_of
from harness.measure.client import LoadClient, LoadResult
from harness.measure.judging import KeepAudio, Programme, histogram
from harness.measure.load import closed_loop, open_loop
from harness.measure.messages import CrowdAnswer, CrowdOrder, Spoken
from harness.measure.promises import kept_promises
from harness.measure.server_watch import ServerWatch
from harness.records.repetition import LoadNote, Phase, Repetition
from harness.records.scenario import Arrivals, Band, Traffic, Utterance

if TYPE_CHECKING:
    from collections.abc import Mapping

    import numpy as np
    from numpy.typing import NDArray

    from harness.measure.worker import Probes
    from harness.records.repetition import Account

SAMPLING_S = 0.1
"""Between two readings of the server's memory under load: each takes the interpreter from the client for a moment."""

ALONE = 2
"""How often a text is asked for by itself: the second answer says how much two good ones differ."""

Accounts = Callable[[], "Account | None"]
"""Gives all that an engine has counted by now."""


def no_account() -> None:
    """An engine that counts nothing."""


def attend(
    order: CrowdOrder, *, target: Target, server: ServerProcess, clock: Clock, account: Accounts = no_account
) -> CrowdAnswer:
    """Do what is ordered of a server. Faults are outcomes."""
    if order.traffic is not None:
        return _load(order, order.traffic, target=target, server=server, clock=clock)

    def ask(programme: Programme, keep: KeepAudio, *, alone: bool) -> LoadResult:
        texts = len(programme.utterances)
        watch = None if alone else ServerWatch(server)
        client = LoadClient(target, programme, clock=clock, keep=keep, watch=watch)
        return run(
            open_loop(
                client,
                starts_ns=(0,) * texts,
                places=1 if alone else 0,
                connections=texts if target.settings.keep_alive and not alone else 0,
            )
        )

    return _together(order, ask, sample_rate=target.settings.sample_rate, account=account)


def attend_here(order: CrowdOrder, *, engine: Shared, clock: Clock, probes: "Probes") -> CrowdAnswer:
    """Do what is ordered of an engine in process: so many texts at once. Faults are outcomes."""
    from harness.measure.threads import ask_alone, ask_together

    def ask(programme: Programme, keep: KeepAudio, *, alone: bool) -> LoadResult:
        how = ask_alone if alone else ask_together
        return how(engine, programme, clock=clock, probes=probes, keep=keep)

    return _together(order, ask, sample_rate=engine.facts.sample_rate, account=engine.account)


def _load(order: CrowdOrder, traffic: Traffic, *, target: Target, server: ServerProcess, clock: Clock) -> CrowdAnswer:
    watch = ServerWatch(server, interval_s=SAMPLING_S)
    client = LoadClient(target, _programme(order, order.texts), clock=clock, watch=watch)
    if traffic.arrivals is Arrivals.CLOSED:
        result = run(
            closed_loop(
                client,
                listeners=round(traffic.level),
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
    return CrowdAnswer(
        repetitions=tuple(repetitions),
        began_at=result.began_at,
        note=LoadNote(
            timer_lag=histogram(result.loop_lag_ns), memory=result.memory, server_cpu_ns=result.server_cpu_ns
        ),
    )


class _Ask(Protocol):
    """Asks for every text of a programme: all in one moment, or one after the other."""

    def __call__(self, programme: Programme, keep: KeepAudio, *, alone: bool) -> LoadResult: ...


def _together(order: CrowdOrder, ask: _Ask, *, sample_rate: int, account: Accounts) -> CrowdAnswer:
    """All texts in one moment, then each alone, twice, to be compared with.

    Afterwards, because an engine that keeps its answers would otherwise have them all. What such an engine got wrong
    under load it gives again when asked alone, and nothing shows.
    """
    heard = _Kept()
    before = account()
    result = ask(_programme(order, order.texts), heard, alone=False)
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
            ask(_programme(order, distinct), alone, alone=True)
        references = [alone.answers[distinct.index(text)] for text in order.texts]
        repetitions = [_compared(each, heard, references[each.position], sample_rate) for each in repetitions]
        repetitions = kept_promises(repetitions, texts=len(distinct))
    return CrowdAnswer(
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
    reference = Reference(first=first, again=again, sample_rate=sample_rate)
    return replace(repetition, outcome=reference.judge(heard.answers[repetition.position][0]))


def _programme(order: CrowdOrder, texts: Sequence[Spoken]) -> Programme:
    bands: Mapping[Utterance, Band] = {each.utterance: Band(low=each.band_low, high=each.band_high) for each in texts}
    return Programme(
        scenario_id=order.scenario_id,
        utterances=tuple(each.utterance for each in texts),
        band=bands.__getitem__,
        voice=order.voice,
        speed=order.speed,
    )


def _placed(repetition: Repetition, order: CrowdOrder, phase: Phase, result: LoadResult) -> Repetition:
    """In its launch and block, with the peak and, where it is known, its share of the CPU time of what speaks.

    The share follows the seconds of audio, so that CPU time per second of speech is right for all of them together.
    """
    spoken = sum(chunk.frames for each in result.repetitions for chunk in each.chunks)
    own = sum(chunk.frames for chunk in repetition.chunks)
    cpu_ns = round(result.server_cpu_ns * own / spoken) if result.server_cpu_ns is not None and spoken else None
    memory = replace(result.memory, rss_after=repetition.memory.rss_after)
    return replace(repetition, launch=order.launch, block=order.block, phase=phase, cpu_ns=cpu_ns, memory=memory)
