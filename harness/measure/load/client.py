"""The client of a load test: sends requests, stamps and validates responses, and measures its own lateness."""

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
from harness.measure.load.http_streams import DeferredDecoding, StreamPool
from harness.measure.load.records import KeepAudio, LoadRecord, RecordBuilder, RequestTrace, Workload
from harness.measure.system.server_process import ServerWatch

if TYPE_CHECKING:
    from harness.core.records.scenario import Utterance

HEARTBEAT_S = 0.005
SWITCH_INTERVAL_S = 0.000_5
MOST_PENDING_FRAMES = 1 << 26
"""Frames of audio that may wait for validation: 256 MiB, or 46 minutes at 24 kHz. Only the excess is validated under
load."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadResult:
    """The observations of a load, in order of intended starts. `loop_lag_ns` is the lag of a 5 ms timer of the client.

    `memory` and `server_cpu_ns` are those of the server's process tree over the whole load, if known. For an engine in
    process they are those of its process, and `disturbance` describes other activity on the machine.
    """

    load_records: tuple[LoadRecord, ...]
    loop_lag_ns: tuple[int, ...]
    began_at: float = 0.0
    """Seconds since the epoch."""
    began_ns: int = 0
    """The same moment on the monotonic clock."""
    memory: Memory = field(default_factory=Memory)
    server_cpu_ns: int | None = None
    disturbance: Disturbance = field(default_factory=Disturbance)

    @property
    def repetitions(self) -> tuple[Repetition, ...]:
        return tuple(load_record.repetition for load_record in self.load_records)

    @property
    def lag_ns(self) -> tuple[int, ...]:
        """The client's own lateness: the lags of its starts and of its timer."""
        return tuple(load_record.lag_ns for load_record in self.load_records) + self.loop_lag_ns


@dataclass(frozen=True, slots=True, kw_only=True)
class PreparedRequest:
    """A prepared request. `number` is its zero-based index."""

    number: int
    utterance: "Utterance"
    exchange: Exchange
    request_bytes: bytes


def unfinished(received: int) -> Outcome:
    """The outcome of a request that was open when the client stopped waiting. `received` is in bytes of body."""
    reason = f"not complete when waiting for answers ended; {received} bytes of body had come"
    return Outcome(kind=OutcomeKind.UNFINISHED, reason=reason)


class LoadClient:
    """Sends the requests of one load. Requests must be sent inside `working`."""

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
        self._build_record = RecordBuilder(workload, sample_rate=target.settings.sample_rate, keep=keep)
        self._watch = watch
        self._decoding = DeferredDecoding()
        self._pool = StreamPool(target.address, target.settings, clock=clock, decoding=self._decoding)
        # Building a request takes as long as sending it, so requests are built before their start.
        self._stock: deque[PreparedRequest] = deque()
        # Validation takes milliseconds of NumPy, which would delay all stamps. It runs at the end or in a thread.
        self._pending: deque[tuple[RequestTrace, Utterance]] = deque()
        self._pending_frames = 0
        self._record_thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="load-records")
        self._record_futures: list[asyncio.Future[LoadRecord]] = []
        self._loop_lag_ns: list[int] = []
        self._prepared = 0
        self._gives_up_ns: int | None = None
        self.began_ns = 0

    @asynccontextmanager
    async def working(
        self, *, prepared_requests: int, connections: int = 0, longest_s: float = math.inf
    ) -> AsyncIterator[None]:
        """Begin the load. At its end every record is built and every connection closed.

        `prepared_requests` requests are built and `connections` connections are opened beforehand. If opening fails,
        the requests report the fault. The client waits for answers until `longest_s` seconds after the beginning.
        """
        if self._watch is not None:
            self._watch.begin()
        for _ in range(prepared_requests):
            self._prepare()
        with suppress(EndpointFault):
            for stream in [await self._pool.connect() for _ in range(connections)]:
                self._pool.give_back(stream)
        gc.collect()
        # Existing objects need no garbage collection in the middle of the load.
        gc.freeze()
        # Validation in Python must not hold the interpreter for the default 5 ms while an answer waits for its stamp.
        interval = sys.getswitchinterval()
        sys.setswitchinterval(SWITCH_INTERVAL_S)
        self.began_ns = self._build_record.began_ns = self._clock.now_ns()
        self._gives_up_ns = None if math.isinf(longest_s) else self.began_ns + round(longest_s * 1e9)
        self._build_record.began_at = self._clock.wall()
        beating = asyncio.create_task(self._measure_timer_lag())
        try:
            yield
        finally:
            beating.cancel()
            self._pool.close()
            # -1 includes requests without frames.
            self._build_records_down_to(-1)
            await asyncio.gather(*self._record_futures)
            sys.setswitchinterval(interval)
            gc.unfreeze()
            self._record_thread.shutdown()

    async def send(self, *, user: int, intended_ns: int, ready_ns: int) -> RequestTrace:
        """Send one request and wait for its end. Faults are outcomes."""
        if not self._stock:
            self._prepare()
        prepared = self._stock.popleft()
        trace = RequestTrace(number=prepared.number, user=user, intended_ns=intended_ns, ready_ns=ready_ns)
        trace.sent_ns = self._clock.now_ns()
        self._decoding.put(self._prepare)
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
        self._pending.append((trace, prepared.utterance))
        self._pending_frames += trace.frames
        self._build_records_down_to(MOST_PENDING_FRAMES)
        return trace

    def _prepare(self) -> None:
        number, workload = self._prepared, self._workload
        self._prepared += 1
        utterance = workload.utterance(number)
        exchange = Exchange(
            address=self._target.address, request=self._target.http_request(workload.request(utterance))
        )
        request_bytes = exchange.request_bytes()
        self._stock.append(
            PreparedRequest(number=number, utterance=utterance, exchange=exchange, request_bytes=request_bytes)
        )

    def _build_records_down_to(self, frames: int) -> None:
        """Build the records of the oldest pending requests until at most `frames` frames are pending."""
        loop = asyncio.get_running_loop()
        while self._pending and self._pending_frames > frames:
            trace, utterance = self._pending.popleft()
            self._pending_frames -= trace.frames
            self._record_futures.append(loop.run_in_executor(self._record_thread, self._build_record, trace, utterance))

    @property
    def sample_rate(self) -> int:
        return self._target.settings.sample_rate

    def now_ns(self) -> int:
        """The current time on the clock of all stamps."""
        return self._clock.now_ns()

    async def sleep_until(self, at_ns: int) -> None:
        """Wait until `at_ns`. Return at once if it has passed."""
        left_ns = at_ns - self._clock.now_ns()
        if left_ns > 0:
            await asyncio.sleep(left_ns / 1e9)

    def result(self) -> LoadResult:
        """The observations of the load, after it has ended."""
        memory, cpu_ns = Memory(peak_reason="the server was not watched"), None
        if self._watch is not None:
            memory, cpu_ns = self._watch.end()
        load_records = (future.result() for future in self._record_futures)
        # Requests that are due at one instant are in the order of their numbers: they end in any order.
        in_order = sorted(load_records, key=lambda each: (each.intended_ns, each.repetition.position))
        return LoadResult(
            load_records=tuple(in_order),
            loop_lag_ns=tuple(self._loop_lag_ns),
            began_at=self._build_record.began_at,
            began_ns=self.began_ns,
            memory=memory,
            server_cpu_ns=cpu_ns,
        )

    async def _exchange(self, prepared: PreparedRequest, trace: RequestTrace) -> None:
        stream = self._pool.idle()
        if stream is None:
            stream = await self._pool.connect()
            trace.connect = (trace.sent_ns, self._clock.now_ns())
        try:
            await stream.send(prepared.exchange, prepared.request_bytes, trace.chunks)
        finally:
            answer = prepared.exchange.answer
            trace.first_byte_ns = answer.first_byte_ns
            trace.end_ns = answer.end_ns or self._clock.now_ns()
            self._pool.give_back(stream)

    async def _measure_timer_lag(self) -> None:
        """Measure the lag of a timer: every stamp may be as late as the timer."""
        due_ns = self._clock.now_ns()
        while True:
            due_ns += round(HEARTBEAT_S * 1e9)
            await self.sleep_until(due_ns)
            now_ns = self._clock.now_ns()
            self._loop_lag_ns.append(now_ns - due_ns)
            # After a long delay continue from here, so that one delay is counted once, at its full size.
            due_ns = max(due_ns, now_ns - round(HEARTBEAT_S * 1e9))
