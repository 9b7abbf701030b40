"""A worker: one process that loads one arm and answers orders, one JSON line each.

It runs in foreign environments and, in a duel, from another revision's source: it needs the standard library, NumPy,
psutil and the engine's own packages. Nothing is printed on its standard output but answers; what libraries print there
goes to standard error, whose end the conductor keeps.
"""

import contextlib
from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING

from harness.core.clock import Clock
from harness.core.records.repetition import (
    AudioFeatures,
    Canary,
    ChunkMark,
    EngineCounters,
    Launch,
    LoadPart,
    Outcome,
    OutcomeKind,
    Repetition,
    ServerFigures,
    StageMark,
)
from harness.core.records.scenario import Band
from harness.engines.http.target import Reached
from harness.engines.protocol import (
    ARRIVAL,
    BODY_END,
    FIRST_BYTE,
    Engine,
    EngineOrder,
    Remote,
    SelfReporting,
    Shared,
    Stages,
)
from harness.engines.registry import find_starter
from harness.engines.speech import EngineRefusal, SpeechFailure, SpeechRequest, one_line, outcome_of
from harness.measure.system.server_process import ServerWatch
from harness.measure.worker.probes import Probes
from harness.measure.worker.protocol import (
    Answer,
    CanaryOrder,
    ConcurrentOrder,
    LoadOrder,
    Order,
    SpeakOrder,
    StatusOrder,
)
from harness.metrics.audio.features import extract
from harness.metrics.validity import check

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

FIRST_TEXT = "Hello world."


def nothing() -> None:
    """Nothing has to be done before an engine is imported."""


class Worker:
    """Answers orders. Transport, clock, probes and what is done before an engine is imported are passed in."""

    def __init__(self, *, clock: Clock, probes: Probes, before_load: Callable[[], None] = nothing) -> None:
        self._clock = clock
        self._probes = probes
        self._before_load = before_load
        self._engine: Engine | None = None
        self._watch: ServerWatch | None = None
        self._stages = Stages(clock)

    def answer(self, order: Order) -> Answer:
        """Do what is ordered, and come to rest. Failures of the engine are outcomes, not exceptions."""
        answer = self._answer(order)
        self._probes.rest()
        if self._watch:
            self._watch.rest()
        return answer

    def _answer(self, order: Order) -> Answer:
        if isinstance(order, LoadOrder):
            return Answer(launch=self._load(order))
        if isinstance(order, SpeakOrder):
            return Answer(repetition=self._speak(order))
        if isinstance(order, ConcurrentOrder):
            return self._attend(order)
        if isinstance(order, StatusOrder):
            return Answer(server=self._server_figures())
        return Answer(canary=_read_canary(order, self._clock))

    def close(self) -> None:
        """Close the engine, where one is loaded."""
        if self._engine is not None:
            self._engine.close()
            self._engine = None

    def _attend(self, order: ConcurrentOrder) -> Answer:
        """A crowd of requests, which takes a server, or an engine that several threads may ask."""
        engine: object = self._engine
        if isinstance(engine, Reached):
            from harness.measure.worker.concurrent import handle_concurrent, no_counters

            account = engine.account if isinstance(engine, Shared) else no_counters
            return Answer(
                crowd=handle_concurrent(
                    order, target=engine.target, server=engine.server, clock=self._clock, account=account
                )
            )
        if isinstance(engine, Shared) and order.traffic is None:
            from harness.measure.worker.concurrent import handle_concurrent_in_process

            crowd = handle_concurrent_in_process(order, engine=engine, clock=self._clock, probes=self._probes)
            self._stages.take()
            return Answer(crowd=crowd)
        return Answer(error="many requests at once take a server, or an engine that several may ask at once")

    def _server_figures(self) -> ServerFigures:
        engine: object = self._engine
        if isinstance(engine, SelfReporting):
            return engine.own_figures()
        return ServerFigures(reason="the engine has no server that could say anything")

    def _load(self, order: LoadOrder) -> Launch:
        engine_order = order.engine
        started_at = self._clock.wall()
        page_cache = self._probes.prepare_cache(engine_order.model_path, wanted=order.page_cache)
        stages = Stages(self._clock, order.slowdown)
        outcome = Outcome()
        self._before_load()
        try:
            self._engine = find_starter(engine_order.engine)(engine_order, clock=self._clock, stages=stages)
        except EngineRefusal as refusal:
            outcome = Outcome(kind=OutcomeKind.REFUSED, reason=str(refusal))
        except Exception as error:  # noqa: BLE001 - whatever the engine raises is its outcome
            outcome = Outcome(kind=OutcomeKind.ERROR, reason=one_line(error))
        self._stages = stages
        parts = [LoadPart(name=name, ns=end - start) for name, start, end in stages.take()]
        if self._engine is None:
            return Launch(
                arm_id=order.arm_id, launch=order.launch, started_at=started_at, page_cache=page_cache,
                parts=tuple(parts), dedicated=order.dedicated, outcome=outcome,
            )  # fmt: skip
        if isinstance(self._engine, Remote):
            self._watch = ServerWatch(self._engine.server)
        rss_loaded = self._watch.resident() if self._watch else self._probes.resident()
        outcome, first_ns = Outcome(), None
        if order.speak_first:
            outcome, first_ns = self._first_inference(engine_order, start_up=order.dedicated)
        self._probes.settle()
        if first_ns is not None:
            parts.append(LoadPart(name="first_inference", ns=first_ns))
        return Launch(
            arm_id=order.arm_id,
            launch=order.launch,
            started_at=started_at,
            page_cache=page_cache,
            parts=tuple(parts),
            rss_loaded=rss_loaded,
            facts=self._engine.facts,
            dedicated=order.dedicated,
            outcome=outcome,
        )

    def _first_inference(self, order: EngineOrder, *, start_up: bool) -> tuple[Outcome, int | None]:
        """The first synthesis after loading: part of the start-up, and never a repetition. Its time in ns, if it spoke.

        A server that answers badly is there and can be measured, since its repetitions count its failures; only where
        its `start_up` is what is measured has that failed.
        """
        assert self._engine is not None  # noqa: S101 - for the type checker; `_load` has just set it
        counted = isinstance(self._engine, Remote) and not start_up
        request = SpeechRequest(
            text=FIRST_TEXT,
            voice=order.voice,
            language=order.language,
            # A server is asked as in every repetition: it may do one thing and not the other.
            stream=bool(order.url),
        )
        start = self._clock.now_ns()
        try:
            frames = sum(len(chunk) for chunk in self._engine.synthesise(request))
        except Exception as error:  # noqa: BLE001 - whatever the engine raises is its outcome
            self._stages.take()
            if counted and isinstance(error, SpeechFailure) and error.answered:
                return Outcome(), None
            failed = outcome_of(error)
            return replace(failed, reason=f"the first inference failed: {failed.reason}"), None
        end = self._clock.now_ns()
        self._stages.take()
        if not frames:
            silent = Outcome(kind=OutcomeKind.INVALID_AUDIO, reason="the first inference gave no audio")
            return Outcome() if counted else silent, None
        return Outcome(), end - start

    def _speak(self, order: SpeakOrder) -> Repetition:
        if self._engine is None:
            return self._repetition(
                order, end_ns=0, outcome=Outcome(kind=OutcomeKind.ERROR, reason="nothing is loaded")
            )
        request = _request(order)
        chunks: list[NDArray[np.float32]] = []
        arrivals: list[int] = []
        outcome = Outcome()
        self._stages.take()
        before = self._account()
        if self._watch:
            self._watch.begin()
        self._probes.begin()
        started_at = self._clock.wall()
        cpu = self._clock.cpu_ns()
        start = self._clock.now_ns()
        try:
            for chunk in self._engine.synthesise(request):
                arrivals.append(self._clock.now_ns() - start)
                chunks.append(chunk)
        except Exception as error:  # noqa: BLE001 - whatever the engine raises is its outcome
            outcome = outcome_of(error)
        end = self._clock.now_ns() - start
        cpu_ns: int | None = self._clock.cpu_ns() - cpu
        memory, disturbance = self._probes.end(cpu_ns=cpu_ns or 0, wall_ns=end)
        if self._watch:
            memory, cpu_ns = self._watch.end()
        after = self._account()
        marks = [
            StageMark(stage=name, start_ns=began - start, end_ns=ended - start)
            for name, began, ended in self._stages.take()
        ]
        # An engine that stamps where the network ends knows better than we, who hear of a chunk after its decoding.
        arrivals = _moments(marks, ARRIVAL) or arrivals
        end = next(iter(_moments(marks, BODY_END)), end)
        audio = None
        if outcome.valid:
            audio, outcome = _heard(chunks, order, sample_rate=self._engine.facts.sample_rate)
        return self._repetition(
            order,
            end_ns=end,
            started_at=started_at,
            chunks=tuple(ChunkMark(at_ns=at, frames=len(chunk)) for at, chunk in zip(arrivals, chunks, strict=True)),
            stages=tuple(mark for mark in marks if mark.stage not in (ARRIVAL, BODY_END, FIRST_BYTE)),
            first_byte_ns=next(iter(_moments(marks, FIRST_BYTE)), None),
            cpu_ns=cpu_ns,
            memory=memory,
            disturbance=disturbance,
            audio=audio,
            outcome=outcome,
            account=after.since(before) if before and after else None,
        )

    def _account(self) -> EngineCounters | None:
        """What the engine has counted by now, where it keeps accounts."""
        engine: object = self._engine
        return engine.account() if isinstance(engine, Shared) else None

    def _repetition(self, order: SpeakOrder, *, end_ns: int, outcome: Outcome, **observed: object) -> Repetition:
        return Repetition(
            scenario_id=order.scenario_id,
            launch=order.launch,
            block=order.block,
            position=order.position,
            phase=order.phase,
            variant=order.variant,
            characters=len(order.text),
            end_ns=end_ns,
            outcome=outcome,
            **{"started_at": self._clock.wall(), **observed},  # type: ignore[arg-type]
        )


def _request(order: SpeakOrder) -> SpeechRequest:
    return SpeechRequest(
        text=order.text,
        voice=order.voice,
        speed=order.speed,
        language=order.language,
        is_phonemes=order.is_phonemes,
        stream=order.stream,
    )


def _heard(
    chunks: "list[NDArray[np.float32]]", order: SpeakOrder, *, sample_rate: int
) -> tuple[AudioFeatures, Outcome]:
    """What is kept of the audio, and whether it is valid speech of what was ordered."""
    audio = extract(chunks, sample_rate)
    outcome = check(
        audio,
        characters=len(order.text),
        band=Band(low=order.band_low / order.speed, high=order.band_high / order.speed),
        expected_sample_rate=sample_rate,
        original_seconds=order.original_seconds,
    )
    if order.audio_path and chunks:
        _keep(chunks, order.audio_path)
    return audio, outcome


def _keep(chunks: "list[NDArray[np.float32]]", path: str) -> None:
    """Keep the audio as float32 in NumPy's own format; whoever ordered it encodes it, and finds none on a full disk."""
    import numpy as np

    with contextlib.suppress(OSError):
        np.save(path, np.concatenate(chunks))


def _moments(marks: list[StageMark], name: str) -> list[int]:
    """The moments of a name, in ns since the repetition's start."""
    return [mark.start_ns for mark in marks if mark.stage == name]


def _read_canary(order: CanaryOrder, clock: Clock) -> Canary:
    from harness.measure.worker.canary import read

    return read(rounds=order.rounds, clock=clock)
