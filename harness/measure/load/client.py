"""The client of a load: asks, stamps, judges what came, and watches its own lateness while it does so."""

import asyncio
import gc
import math
import sys
from collections import deque
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from harness.core.clock import Clock
from harness.core.records.repetition import Disturbance, Memory, Outcome, OutcomeKind, Repetition
from harness.engines.http.errors import EndpointFault
from harness.engines.http.exchange import Exchange
from harness.engines.http.target import Target
from harness.engines.speech import SpeechRequest
from harness.measure.load.http_streams import DeferredDecoding, StreamPool
from harness.measure.load.records import KeepAudio, LoadRecord, RecordBuilder, RequestTrace, Workload
from harness.measure.system.server_process import ServerWatch

if TYPE_CHECKING:
    from harness.core.records.scenario import Utterance

HEARTBEAT_S = 0.005
SWITCH_INTERVAL_S = 0.000_5
HELD_FRAMES = 1 << 26
"""Audio that waits to be judged: 256 MiB, or 46 minutes at 24 kHz. Only what exceeds it is judged under load."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadResult:
    """All that was observed, by intended start. `loop_lag_ns`: how late the client's own timer came, every 5 ms.

    `memory` and `server_cpu_ns` are those of the server's process tree over the whole load, where it is known; of an
    engine in process they are its process's, and `disturbance` is what else ran meanwhile.
    """

    attempts: tuple[LoadRecord, ...]
    loop_lag_ns: tuple[int, ...]
    began_at: float = 0.0
    """Seconds since the epoch."""
    began_ns: int = 0
    """The same moment on the clock."""
    memory: Memory = field(default_factory=Memory)
    server_cpu_ns: int | None = None
    disturbance: Disturbance = field(default_factory=Disturbance)

    @property
    def repetitions(self) -> tuple[Repetition, ...]:
        """The requests as repetitions."""
        return tuple(load_record.repetition for load_record in self.attempts)

    @property
    def lag_ns(self) -> tuple[int, ...]:
        """Every sign of the client's own lateness: of its starts and of its timer."""
        return tuple(load_record.lag_ns for load_record in self.attempts) + self.loop_lag_ns


@dataclass(frozen=True, slots=True, kw_only=True)
class Prepared:
    """A request that only has to be sent. `number`: the how manieth it is, from 0."""

    number: int
    utterance: "Utterance"
    exchange: Exchange
    opening: bytes


def unfinished(received: int) -> Outcome:
    """The outcome of a request that was still open when waiting for answers ended; `received` is in bytes of body."""
    reason = f"not complete when waiting for answers ended; {received} bytes of body had come"
    return Outcome(kind=OutcomeKind.UNFINISHED, reason=reason)


class LoadClient:
    """What all requests of one load share. Everything happens within `working`."""

    def __init__(
        self,
        target: Target,
        workload: Workload,
        *,
        clock: Clock,
        keep: KeepAudio | None = None,
        watch: ServerWatch | None = None,
    ) -> None:
        self._target = target
        self._workload = workload
        self._clock = clock
        self._judge = RecordBuilder(workload, sample_rate=target.settings.sample_rate, keep=keep)
        self._watch = watch
        self._aside = DeferredDecoding()
        self._pool = StreamPool(target.address, target.settings, clock=clock, aside=self._aside)
        # Making a request takes as long as sending it: it is done before its time, not on the listener's.
        self._stock: deque[Prepared] = deque()
        # Judging is milliseconds of NumPy, which would be everybody's lag: it waits for the end, or has its own thread.
        self._held: deque[tuple[RequestTrace, Utterance]] = deque()
        self._held_frames = 0
        self._judges = ThreadPoolExecutor(max_workers=1, thread_name_prefix="judge")
        self._judging: list[asyncio.Future[LoadRecord]] = []
        self._loop_lag_ns: list[int] = []
        self._prepared = 0
        self._gives_up_ns: int | None = None
        self.began_ns = 0

    @asynccontextmanager
    async def working(self, *, at_once: int, connections: int = 0, longest_s: float = math.inf) -> AsyncIterator[None]:
        """The load begins; its end finds every request judged and every connection closed.

        So many requests, `at_once`, are prepared before their time, and so many `connections` are made beforehand.
        Where that fails the requests find out themselves. No answer is waited for longer than `longest_s` seconds after
        the beginning.
        """
        if self._watch is not None:
            self._watch.begin()
        for _ in range(at_once):
            self._prepare()
        with suppress(EndpointFault):
            for stream in [await self._pool.connect() for _ in range(connections)]:
                self._pool.give_back(stream)
        gc.collect()
        # What was there before need not be walked through again in the middle of the load.
        gc.freeze()
        # A judge in Python code must not hold the interpreter for the usual 5 ms while an answer waits for its stamp.
        interval = sys.getswitchinterval()
        sys.setswitchinterval(SWITCH_INTERVAL_S)
        self.began_ns = self._judge.began_ns = self._clock.now_ns()
        self._gives_up_ns = None if math.isinf(longest_s) else self.began_ns + round(longest_s * 1e9)
        self._judge.began_at = self._clock.wall()
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

    async def ask(self, *, user: int, intended_ns: int, ready_ns: int) -> RequestTrace:
        """One request from its sending to its end. Faults are outcomes."""
        if not self._stock:
            self._prepare()
        prepared = self._stock.popleft()
        trace = RequestTrace(number=prepared.number, user=user, intended_ns=intended_ns, ready_ns=ready_ns)
        trace.sent_ns = self._clock.now_ns()
        self._aside.put(self._prepare)
        left_s = None if self._gives_up_ns is None else (self._gives_up_ns - trace.sent_ns) / 1e9
        try:
            async with asyncio.timeout(left_s):
                await self._exchange(prepared, trace)
        except EndpointFault as fault:
            trace.outcome = Outcome(kind=fault.kind, reason=str(fault), fault=fault.fault)
            trace.end_ns = self._clock.now_ns()
        except TimeoutError:
            trace.outcome = unfinished(prepared.exchange.answer.bytes)
            trace.end_ns = self._clock.now_ns()
        if self._watch is not None:
            trace.resident = self._watch.latest
        self._held.append((trace, prepared.utterance))
        self._held_frames += trace.frames
        self._judge_down_to(HELD_FRAMES)
        return trace

    def _prepare(self) -> None:
        """One request more."""
        number, workload = self._prepared, self._workload
        self._prepared += 1
        utterance = workload.utterance(number)
        request = SpeechRequest(
            text=utterance.text,
            voice=workload.voice,
            speed=workload.speed,
            language=utterance.language,
            stream=workload.stream,
        )
        exchange = Exchange(address=self._target.address, ask=self._target.ask(request))
        opening = exchange.opening()
        self._stock.append(Prepared(number=number, utterance=utterance, exchange=exchange, opening=opening))

    def _judge_down_to(self, frames: int) -> None:
        """Hand to the judges what has waited longest, until no more than `frames` are waiting."""
        loop = asyncio.get_running_loop()
        while self._held and self._held_frames > frames:
            trace, utterance = self._held.popleft()
            self._held_frames -= trace.frames
            self._judging.append(loop.run_in_executor(self._judges, self._judge, trace, utterance))

    @property
    def sample_rate(self) -> int:
        """Of what is heard, in Hz."""
        return self._target.settings.sample_rate

    def now_ns(self) -> int:
        """The moment on the clock by which everything is stamped."""
        return self._clock.now_ns()

    async def sleep_until(self, at_ns: int) -> None:
        """Wait; not at all where the time is past."""
        left_ns = at_ns - self._clock.now_ns()
        if left_ns > 0:
            await asyncio.sleep(left_ns / 1e9)

    def result(self) -> LoadResult:
        """What was observed, once the work is over."""
        memory, cpu_ns = Memory(peak_reason="the server was not watched"), None
        if self._watch is not None:
            memory, cpu_ns = self._watch.end()
        attempts = sorted((future.result() for future in self._judging), key=lambda each: each.intended_ns)
        return LoadResult(
            attempts=tuple(attempts),
            loop_lag_ns=tuple(self._loop_lag_ns),
            began_at=self._judge.began_at,
            began_ns=self.began_ns,
            memory=memory,
            server_cpu_ns=cpu_ns,
        )

    async def _exchange(self, prepared: Prepared, trace: RequestTrace) -> None:
        stream = self._pool.idle()
        if stream is None:
            stream = await self._pool.connect()
            trace.connect = (trace.sent_ns, self._clock.now_ns())
        try:
            await stream.send(prepared.exchange, prepared.opening, trace.heard)
        finally:
            answer = prepared.exchange.answer
            trace.first_byte_ns = answer.first_byte_ns
            trace.end_ns = answer.end_ns or self._clock.now_ns()
            self._pool.give_back(stream)

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
