"""The client of a load: asks, stamps, judges what came, and watches its own lateness while it does so."""

import asyncio
import gc
import sys
from collections import deque
from collections.abc import AsyncIterator, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from harness.clock import Clock
from harness.engines.exchange import Exchange, Heard
from harness.engines.faults import EndpointFault
from harness.engines.protocol import SpeechRequest
from harness.engines.target import Target
from harness.measure.server_watch import ServerWatch
from harness.measure.streams import StreamPool
from harness.metrics.features import extract
from harness.metrics.validity import check
from harness.records.repetition import (
    VALID,
    AudioFeatures,
    ChunkMark,
    Memory,
    Outcome,
    Phase,
    Repetition,
    StageMark,
)
from harness.records.scenario import Band, Utterance

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

HEARTBEAT_S = 0.005
SWITCH_INTERVAL_S = 0.000_5
HELD_FRAMES = 1 << 26
"""Audio that waits to be judged: 256 MiB, or 46 minutes at 24 kHz. Only what exceeds it is judged under load."""

KeepAudio = Callable[[int, "Sequence[NDArray[np.float32]]"], None]
"""Gets a request's number and its chunks, one request at a time, in a thread of its own."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Programme:
    """What the listeners ask for: request n speaks text n of `utterances`, from the beginning again after the last.

    A server that caches shows where texts come again: give as many as there are requests, or mean it. `band` gives the
    plausible seconds of audio per character of a text, at speed 1.
    """

    scenario_id: str
    utterances: tuple[Utterance, ...]
    band: Callable[[Utterance], Band]
    voice: str
    speed: float = 1.0
    stream: bool = True

    def utterance(self, number: int) -> Utterance:
        """The text of request `number`."""
        return self.utterances[number % len(self.utterances)]


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempt:
    """One request; its `position` is its number. Times in ns.

    `intended_ns` counts from the load's beginning. `waited_ns` passed until one of a bounded number of places was free;
    `lag_ns` is how much later than it could have the client began: its own fault, and part of the latency all the same.
    """

    repetition: Repetition
    listener: int
    intended_ns: int
    waited_ns: int
    lag_ns: int


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadResult:
    """All that was observed, by intended start. `loop_lag_ns`: how late the client's own timer came, every 5 ms.

    `memory` and `server_cpu_ns` are those of the server's process tree over the whole load, where it is known.
    """

    attempts: tuple[Attempt, ...]
    loop_lag_ns: tuple[int, ...]
    memory: Memory = field(default_factory=Memory)
    server_cpu_ns: int | None = None

    @property
    def repetitions(self) -> tuple[Repetition, ...]:
        """The requests as repetitions."""
        return tuple(attempt.repetition for attempt in self.attempts)

    @property
    def lag_ns(self) -> tuple[int, ...]:
        """Every sign of the client's own lateness: of its starts and of its timer."""
        return tuple(attempt.lag_ns for attempt in self.attempts) + self.loop_lag_ns


@dataclass(slots=True, kw_only=True)
class Served:
    """One request as it came about; times in ns on the clock. `ready_ns`: from then on it could begin."""

    number: int
    listener: int
    intended_ns: int
    ready_ns: int
    sent_ns: int = 0
    end_ns: int = 0
    connect: tuple[int, int] | None = None
    first_byte_ns: int | None = None
    heard: list[Heard] = field(default_factory=list)
    outcome: Outcome = VALID

    @property
    def frames(self) -> int:
        """How much audio came."""
        return sum(len(heard.audio) for heard in self.heard)


class LoadClient:
    """What all requests of one load share. Everything happens within `working`."""

    def __init__(self, target: Target, programme: Programme, *, clock: Clock, keep: KeepAudio | None = None) -> None:
        self._target = target
        self._programme = programme
        self._clock = clock
        self._keep = keep
        self._pool = StreamPool(target.address, target.settings, clock=clock)
        # Judging is milliseconds of NumPy, which would be everybody's lag: it waits for the end, or has its own thread.
        self._held: deque[tuple[Served, Utterance]] = deque()
        self._held_frames = 0
        self._judges = ThreadPoolExecutor(max_workers=1, thread_name_prefix="judge")
        self._judging: list[asyncio.Future[Attempt]] = []
        self._loop_lag_ns: list[int] = []
        self._asked = 0
        self._began_at = 0.0
        self.began_ns = 0

    @asynccontextmanager
    async def working(self) -> AsyncIterator[None]:
        """The load begins; its end finds every request judged and every connection closed."""
        gc.collect()
        # What was there before need not be walked through again in the middle of the load.
        gc.freeze()
        # A judge in Python code must not hold the interpreter for the usual 5 ms while an answer waits for its stamp.
        interval = sys.getswitchinterval()
        sys.setswitchinterval(SWITCH_INTERVAL_S)
        self.began_ns, self._began_at = self._clock.now_ns(), self._clock.wall()
        beating = asyncio.create_task(self._beat())
        try:
            yield
        finally:
            beating.cancel()
            self._pool.close()
            # -1: those without a frame too.
            self._judge_down_to(-1)
            await asyncio.gather(*self._judging)
            sys.setswitchinterval(interval)
            gc.unfreeze()
            self._judges.shutdown()

    async def ask(self, *, listener: int, intended_ns: int, ready_ns: int) -> Served:
        """One request from its sending to its end. Faults are outcomes."""
        served = Served(number=self._asked, listener=listener, intended_ns=intended_ns, ready_ns=ready_ns)
        self._asked += 1
        utterance = self._programme.utterance(served.number)
        served.sent_ns = self._clock.now_ns()
        request = SpeechRequest(
            text=utterance.text,
            voice=self._programme.voice,
            speed=self._programme.speed,
            language=utterance.language,
            stream=self._programme.stream,
        )
        try:
            await self._exchange(request, served)
        except EndpointFault as fault:
            served.outcome = Outcome(kind=fault.kind, reason=str(fault), fault=fault.fault)
            served.end_ns = self._clock.now_ns()
        self._held.append((served, utterance))
        self._held_frames += served.frames
        self._judge_down_to(HELD_FRAMES)
        return served

    def _judge_down_to(self, frames: int) -> None:
        """Hand to the judges what has waited longest, until no more than `frames` are waiting."""
        loop = asyncio.get_running_loop()
        while self._held and self._held_frames > frames:
            served, utterance = self._held.popleft()
            self._held_frames -= served.frames
            self._judging.append(loop.run_in_executor(self._judges, self._judge, served, utterance))

    async def sleep_until(self, at_ns: int) -> None:
        """Wait; not at all where the time is past."""
        left_ns = at_ns - self._clock.now_ns()
        if left_ns > 0:
            await asyncio.sleep(left_ns / 1e9)

    def result(self, *, watch: ServerWatch | None) -> LoadResult:
        """What was observed, once the work is over."""
        memory, cpu_ns = watch.end() if watch is not None else (Memory(peak_reason="the server was not watched"), None)
        attempts = sorted((future.result() for future in self._judging), key=lambda each: each.intended_ns)
        return LoadResult(
            attempts=tuple(attempts),
            loop_lag_ns=tuple(self._loop_lag_ns),
            memory=memory,
            server_cpu_ns=cpu_ns,
        )

    async def _exchange(self, request: SpeechRequest, served: Served) -> None:
        stream = self._pool.idle()
        if stream is None:
            stream = await self._pool.connect()
            served.connect = (served.sent_ns, self._clock.now_ns())
        exchange: Exchange = stream.begin(self._target.address, self._target.ask(request))
        try:
            await stream.converse(exchange, served.heard)
        finally:
            served.first_byte_ns = exchange.answer.first_byte_ns
            served.end_ns = exchange.answer.end_ns or self._clock.now_ns()
            self._pool.give_back(stream)

    def _judge(self, served: Served, utterance: Utterance) -> Attempt:
        """In the judges' thread: the audio's features and validity, then the record. The audio itself is let go."""
        audio, outcome = None, served.outcome
        chunks = [heard.audio for heard in served.heard]
        if outcome.valid:
            audio = extract(chunks, self._target.settings.sample_rate)
            outcome = self._check(audio, utterance)
            if self._keep is not None:
                self._keep(served.number, chunks)
        start = served.intended_ns
        connect = served.connect
        repetition = Repetition(
            scenario_id=self._programme.scenario_id,
            launch=0,
            block=0,
            position=served.number,
            phase=Phase.MEASURED,
            variant=utterance.variant,
            characters=utterance.characters,
            started_at=self._began_at + (start - self.began_ns) / 1e9,
            end_ns=served.end_ns - start,
            chunks=tuple(ChunkMark(at_ns=heard.at_ns - start, frames=len(heard.audio)) for heard in served.heard),
            stages=(StageMark(stage="connect", start_ns=connect[0] - start, end_ns=connect[1] - start),)
            if connect
            else (),
            first_byte_ns=served.first_byte_ns - start if served.first_byte_ns is not None else None,
            audio=audio,
            outcome=outcome,
        )
        return Attempt(
            repetition=repetition,
            listener=served.listener,
            intended_ns=start - self.began_ns,
            waited_ns=served.ready_ns - start,
            lag_ns=served.sent_ns - served.ready_ns,
        )

    def _check(self, audio: AudioFeatures, utterance: Utterance) -> Outcome:
        band, speed = self._programme.band(utterance), self._programme.speed
        return check(
            audio,
            characters=utterance.characters,
            band=Band(low=band.low / speed, high=band.high / speed),
            expected_sample_rate=self._target.settings.sample_rate,
        )

    async def _beat(self) -> None:
        """A timer of our own: as late as it comes, so late may every stamp be."""
        due_ns = self._clock.now_ns()
        while True:
            due_ns += round(HEARTBEAT_S * 1e9)
            await self.sleep_until(due_ns)
            now_ns = self._clock.now_ns()
            self._loop_lag_ns.append(now_ns - due_ns)
            # After a long standstill go on from here; one lateness is counted once, at its full size.
            due_ns = max(due_ns, now_ns - round(HEARTBEAT_S * 1e9))
