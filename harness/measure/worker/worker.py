"""A worker: one process that loads one arm and answers orders, one JSON line each.

A worker may run in another environment and, in a duel, from another revision's source. It needs the standard library,
NumPy, psutil and the engine's packages. Only answers go to its standard output. Output of libraries is redirected to
standard error, whose end the conductor keeps.
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
from harness.engines.declarations import STARTED
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
    Spelling,
    Stages,
)
from harness.engines.registry import find_starter
from harness.engines.speech import EngineRefusal, SpeechFailure, SpeechRequest, one_line, outcome_of
from harness.measure.system.server_process import ServerWatch
from harness.measure.worker.memory_tracking import MemoryTracking
from harness.measure.worker.probes import Probes
from harness.measure.worker.protocol import (
    Answer,
    CanaryOrder,
    ConcurrentOrder,
    LoadOrder,
    Order,
    StatusOrder,
    SynthesisOrder,
    TrackOrder,
)
from harness.metrics.audio.features import extract
from harness.metrics.validity import check

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

FIRST_TEXT = "Hello world."


def do_nothing() -> None:
    """The default for `before_load`."""


class Worker:
    """Answers orders. `before_load` runs before the engine is imported."""

    def __init__(self, *, clock: Clock, probes: Probes, before_load: Callable[[], None] = do_nothing) -> None:
        self._clock = clock
        self._probes = probes
        self._before_load = before_load
        self._engine: Engine | None = None
        self._watch: ServerWatch | None = None
        self._stages = Stages(clock)
        self._tracking = MemoryTracking()

    def answer(self, order: Order) -> Answer:
        """Carry out an order, then wait until idle. Failures of the engine are outcomes, not exceptions."""
        answer = self._answer(order)
        self._probes.rest()
        if self._watch:
            self._watch.rest()
        return answer

    def _answer(self, order: Order) -> Answer:
        if isinstance(order, LoadOrder):
            return Answer(launch=self._load(order))
        if isinstance(order, SynthesisOrder):
            return Answer(repetition=self._synthesise(order))
        if isinstance(order, ConcurrentOrder):
            return self._run_concurrent(order)
        if isinstance(order, StatusOrder):
            return Answer(server=self._server_statistics())
        if isinstance(order, TrackOrder):
            reason = self._tracking.switch(order)
            return Answer(tracked=not reason, error=reason)
        return Answer(canary=_read_canary(order, self._clock))

    def close(self) -> None:
        if self._engine is not None:
            self._engine.close()
            self._engine = None

    def _run_concurrent(self, order: ConcurrentOrder) -> Answer:
        """Run concurrent requests. They need a server, or an engine that is safe to call from several threads."""
        engine: object = self._engine
        if isinstance(engine, Reached):
            from harness.measure.worker.concurrent import handle_concurrent, no_counters

            account = engine.account if isinstance(engine, Shared) else no_counters
            return Answer(
                crowd=handle_concurrent(  # codespell:ignore crowd
                    order, target=engine.target, server=engine.server, clock=self._clock, account=account
                )
            )
        if isinstance(engine, Shared) and order.traffic is None:
            from harness.measure.worker.concurrent import handle_concurrent_in_process

            concurrent = handle_concurrent_in_process(order, engine=engine, clock=self._clock, probes=self._probes)
            self._stages.take()
            return Answer(crowd=concurrent)  # codespell:ignore crowd
        return Answer(error="concurrent requests need a server or an engine that several threads can call")

    def _server_statistics(self) -> ServerFigures:
        engine: object = self._engine
        if isinstance(engine, SelfReporting):
            return engine.own_figures()
        return ServerFigures(reason="the engine has no server that could report statistics")

    def _load(self, order: LoadOrder) -> Launch:
        engine_order = order.engine
        started_at = self._clock.wall()
        page_cache = self._probes.prepare_cache(engine_order.model_path, wanted=order.page_cache)
        stages = Stages(self._clock, order.slowdown)
        outcome = Outcome()
        self._before_load()
        try:
            start = find_starter(STARTED.name if engine_order.server else engine_order.engine)
            self._engine = start(engine_order, clock=self._clock, stages=stages)
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
        outcome = Outcome()
        first_parts: tuple[LoadPart, ...] = ()
        if order.speak_first:
            outcome, first_parts = self._first_inference(engine_order, start_up=order.dedicated)
        # Imported and computed now, when all that is timed of the start-up is over.
        from harness.measure.worker.loaded_software import loaded_software

        self._probes.settle()
        return Launch(
            arm_id=order.arm_id,
            launch=order.launch,
            started_at=started_at,
            page_cache=page_cache,
            parts=(*parts, *first_parts),
            rss_loaded=rss_loaded,
            facts=self._engine.facts,
            dedicated=order.dedicated,
            outcome=outcome,
            software=loaded_software(engine_order.engine),
        )

    def _first_inference(self, order: EngineOrder, *, start_up: bool) -> tuple[Outcome, tuple[LoadPart, ...]]:
        """Run the first inference, which is part of the start-up. Return the outcome, and the parts if it is valid.

        A server that answers with a failure is up and can be measured, because its repetitions count failures. The
        failure matters only if its `start_up` is measured.
        """
        assert self._engine is not None  # noqa: S101 - for the type checker; `_load` has just set it
        counted = isinstance(self._engine, Remote) and not start_up
        request = SpeechRequest(
            text=FIRST_TEXT,
            voice=order.voice,
            language=order.language,
            # Use the same mode as in repetitions: a server may support only one of the two.
            stream=bool(order.url),
        )
        start = self._clock.now_ns()
        try:
            frames = sum(len(chunk) for chunk in self._engine.synthesise(request))
        except Exception as error:  # noqa: BLE001 - whatever the engine raises is its outcome
            self._stages.take()
            if counted and isinstance(error, SpeechFailure) and error.answered:
                return Outcome(), ()
            failed = outcome_of(error)
            return replace(failed, reason=f"the first inference failed: {failed.reason}"), ()
        end = self._clock.now_ns()
        arrivals = [began for name, began, _ in self._stages.take() if name == ARRIVAL]
        if not frames:
            silent = Outcome(kind=OutcomeKind.INVALID_AUDIO, reason="the first inference gave no audio")
            return Outcome() if counted else silent, ()
        begun = [LoadPart(name="first_audio", ns=each - start) for each in arrivals[:1] if order.server]
        return Outcome(), (*begun, LoadPart(name="first_inference", ns=end - start))

    def _synthesise(self, order: SynthesisOrder) -> Repetition:
        if self._engine is None:
            return self._repetition(
                order, end_ns=0, outcome=Outcome(kind=OutcomeKind.ERROR, reason="nothing is loaded")
            )
        request = _request(order)
        chunks: list[NDArray[np.float32]] = []
        arrivals: list[int] = []
        outcome = Outcome()
        self._stages.take()
        before = self._counters()
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
        after = self._counters()
        marks = [
            StageMark(stage=name, start_ns=began - start, end_ns=ended - start)
            for name, began, ended in self._stages.take()
        ]
        # Prefer the engine's own arrival stamps: we receive a chunk only after its decoding.
        arrivals = _moments(marks, ARRIVAL) or arrivals
        end = next(iter(_moments(marks, BODY_END)), end)
        audio = None
        if outcome.valid:
            audio, outcome = _validated(chunks, order, sample_rate=self._engine.facts.sample_rate)
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
            phonemes=self._phonemes() if order.audio_path and outcome.valid else "",
        )

    def _phonemes(self) -> str:
        """What the model was given, "" if the engine does not know."""
        engine: object = self._engine
        return engine.phonemes() if isinstance(engine, Spelling) else ""

    def _counters(self) -> EngineCounters | None:
        engine: object = self._engine
        return engine.account() if isinstance(engine, Shared) else None

    def _repetition(self, order: SynthesisOrder, *, end_ns: int, outcome: Outcome, **observed: object) -> Repetition:
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


def _request(order: SynthesisOrder) -> SpeechRequest:
    return SpeechRequest(
        text=order.text,
        voice=order.voice,
        speed=order.speed,
        language=order.language,
        is_phonemes=order.is_phonemes,
        stream=order.stream,
    )


def _validated(
    chunks: "list[NDArray[np.float32]]", order: SynthesisOrder, *, sample_rate: int
) -> tuple[AudioFeatures, Outcome]:
    """Features of the audio, and whether it is plausible speech for the ordered text."""
    audio = extract(chunks, sample_rate)
    outcome = check(
        audio,
        characters=len(order.text),
        band=Band(low=order.band_low / order.speed, high=order.band_high / order.speed),
        expected_sample_rate=sample_rate,
        original_seconds=order.original_seconds,
    )
    if order.audio_path and chunks:
        _save_audio(chunks, order.audio_path)
    return audio, outcome


def _save_audio(chunks: "list[NDArray[np.float32]]", path: str) -> None:
    """Save the audio as float32 in NumPy's format; the conductor encodes it. On a full disk there is no file."""
    import numpy as np

    with contextlib.suppress(OSError):
        np.save(path, np.concatenate(chunks))


def _moments(marks: list[StageMark], name: str) -> list[int]:
    """The start times of the marks of a stage, in ns since the start of the repetition."""
    return [mark.start_ns for mark in marks if mark.stage == name]


def _read_canary(order: CanaryOrder, clock: Clock) -> Canary:
    from harness.measure.worker.canary import read

    return read(rounds=order.rounds, clock=clock)
