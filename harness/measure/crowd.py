"""Many requests of one worker at once: so many texts together, or a load over time. It answers a `CrowdOrder`.

The client has a process of its own and nothing else to do there, so that what it is late by is its own.
"""

from collections import defaultdict
from dataclasses import replace
from typing import TYPE_CHECKING

from harness.clock import Clock
from harness.engines.protocol import ServerProcess
from harness.engines.target import Target
from harness.event_loop import run
from harness.measure.alone import Reference
from harness.measure.arrivals import NS, starts_of
from harness.measure.client import LoadResult
from harness.measure.judging import Programme, histogram
from harness.measure.load import closed_loop, open_loop
from harness.measure.messages import CrowdAnswer, CrowdOrder, Spoken
from harness.measure.server_watch import ServerWatch
from harness.records.repetition import LoadNote, Phase, Repetition
from harness.records.scenario import Arrivals, Band, Traffic, Utterance

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import numpy as np
    from numpy.typing import NDArray

SAMPLING_S = 0.1
"""Between two readings of the server's memory under load: each takes the interpreter from the client for a moment."""


def attend(order: CrowdOrder, *, target: Target, server: ServerProcess, clock: Clock) -> CrowdAnswer:
    """Do what is ordered. Faults are outcomes."""
    if order.traffic is not None:
        return _load(order, Traffic(**order.traffic), target=target, server=server, clock=clock)
    return _together(order, target=target, server=server, clock=clock)


def _load(order: CrowdOrder, traffic: Traffic, *, target: Target, server: ServerProcess, clock: Clock) -> CrowdAnswer:
    watch = ServerWatch(server, interval_s=SAMPLING_S)
    programme = _programme(order)
    if traffic.arrivals is Arrivals.CLOSED:
        result = run(
            closed_loop(
                target,
                programme,
                clock=clock,
                listeners=round(traffic.level),
                seconds=traffic.total_s,
                # Listeners do not all come in one moment; by the window's beginning all are there.
                stagger_s=traffic.warm_up_s,
                listen=traffic.listen,
                watch=watch,
            )
        )
    else:
        starts = starts_of(traffic, seed=order.seed)
        result = run(open_loop(target, programme, clock=clock, starts_ns=starts, watch=watch))
    begins_ns, ends_ns = traffic.warm_up_s * NS, (traffic.warm_up_s + traffic.seconds) * NS
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


def _together(order: CrowdOrder, *, target: Target, server: ServerProcess, clock: Clock) -> CrowdAnswer:
    """All texts in one moment over connections that are there, then each alone, twice, to be compared with.

    Afterwards, because a server that keeps its answers would otherwise have them all. What such a server got wrong
    under load it gives again when asked alone, and nothing shows.
    """
    heard = _Kept()
    texts = len(order.texts)
    result = run(
        open_loop(
            target,
            _programme(order),
            clock=clock,
            starts_ns=(0,) * texts,
            watch=ServerWatch(server),
            keep=heard,
            connections=texts if target.settings.keep_alive else 0,
        )
    )
    repetitions = [_placed(each, order, Phase(order.phase), result) for each in result.repetitions]
    if order.compare:
        alone = _alone(order, target=target, clock=clock)
        repetitions = [_compared(each, heard, alone, target.settings.sample_rate) for each in repetitions]
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


def _alone(order: CrowdOrder, *, target: Target, clock: Clock) -> _Kept:
    """Each text twice, one request at a time."""
    kept = _Kept()
    for _ in range(2):
        run(open_loop(target, _programme(order), clock=clock, starts_ns=(0,) * len(order.texts), places=1, keep=kept))
    return kept


def _compared(repetition: Repetition, heard: _Kept, alone: _Kept, sample_rate: int) -> Repetition:
    """With what differs from the answer given alone; where alone it failed too, there is nothing to hold it against."""
    number = repetition.position
    references = alone.answers[number]
    if not repetition.outcome.valid or len(references) < 2:
        return repetition
    first, again = references
    reference = Reference(first=first, again=again, sample_rate=sample_rate)
    return replace(repetition, outcome=reference.judge(heard.answers[number][0]))


def _programme(order: CrowdOrder) -> Programme:
    bands: Mapping[Utterance, Band] = {
        _utterance(each): Band(low=each["band_low"], high=each["band_high"]) for each in order.texts
    }
    return Programme(
        scenario_id=order.scenario_id,
        utterances=tuple(_utterance(each) for each in order.texts),
        band=bands.__getitem__,
        voice=order.voice,
        speed=order.speed,
    )


def _utterance(spoken: Spoken) -> Utterance:
    return Utterance(
        text_class=spoken["text_class"], variant=spoken["variant"], text=spoken["text"], language=spoken["language"]
    )


def _placed(repetition: Repetition, order: CrowdOrder, phase: Phase, result: LoadResult) -> Repetition:
    """In its launch and block, with the server's peak and, where it is known, its share of the server's CPU time.

    The share follows the seconds of audio, so that CPU time per second of speech is right for all of them together.
    """
    spoken = sum(chunk.frames for each in result.repetitions for chunk in each.chunks)
    own = sum(chunk.frames for chunk in repetition.chunks)
    cpu_ns = round(result.server_cpu_ns * own / spoken) if result.server_cpu_ns is not None and spoken else None
    memory = replace(result.memory, rss_after=repetition.memory.rss_after)
    return replace(repetition, launch=order.launch, block=order.block, phase=phase, cpu_ns=cpu_ns, memory=memory)
