"""Concurrent HTTP exchanges on asyncio, over reused or new connections. Bytes are stamped when the loop delivers them.

Received bytes are stamped at once and decoded later, one item per round of the event loop. So if many answers arrive at
the same time, no stamp waits for the decoding of earlier answers. HTTP clients such as httpx and aiohttp hand over a
part of a body only when the task that awaits it runs, which would be the stamp then.
"""

import asyncio
import contextlib
import socket
import ssl
from collections import deque
from collections.abc import Callable
from functools import partial

from harness.core.clock import Clock
from harness.engines.http.connection import connect_timeout, connection_fault, name_fault, tls_fault
from harness.engines.http.errors import EndpointFault
from harness.engines.http.exchange import READ_SIZE, AudioChunk, Exchange
from harness.engines.http.request import Address
from harness.engines.http.target import Settings

MOST_DEFERRED = 64
"""The most items that may wait for decoding. Beyond it, items are decoded at once to bound the memory."""


class DeferredDecoding:
    """A queue of work that runs one item per round of the event loop, in order."""

    def __init__(self) -> None:
        self._waiting: deque[Callable[[], None]] = deque()

    def put(self, work: Callable[[], None]) -> None:
        if not self._waiting:
            asyncio.get_running_loop().call_soon(self._round)
        self._waiting.append(work)

    def _round(self) -> None:
        while True:
            work = self._waiting.popleft()
            if len(self._waiting) <= MOST_DEFERRED:
                break
            work()
        if self._waiting:
            asyncio.get_running_loop().call_soon(self._round)
        work()


class Stream(asyncio.BufferedProtocol):
    """One connection with at most one exchange at a time. Every end of an exchange resolves its future.

    `buffer` receives the bytes; all streams of an event loop may share it.
    """

    def __init__(self, clock: Clock, settings: Settings, *, decoding: DeferredDecoding, buffer: bytearray) -> None:
        self._clock = clock
        self._settings = settings
        self._decoding = decoding
        self._buffer = buffer
        self._deferred = 0
        self._transport: asyncio.Transport | None = None
        self._exchange: Exchange | None = None
        self._ended: asyncio.Future[None] | None = None
        self._received: list[AudioChunk] = []
        self._last_ns = 0
        self._watch: asyncio.TimerHandle | None = None
        self.alive = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)  # noqa: S101 - for the type checker; TCP's is one
        self._transport = transport
        self.alive = True

    def get_buffer(self, sizehint: int) -> bytearray:
        """The shared buffer, which avoids an allocation of a quarter of a megabyte per read."""
        del sizehint
        return self._buffer

    def buffer_updated(self, nbytes: int) -> None:
        """Stamp first, decode later."""
        at_ns = self._clock.now_ns()
        self._put(bytes(memoryview(self._buffer)[:nbytes]), at_ns)

    def eof_received(self) -> None:
        """The server has closed its side."""
        at_ns = self._clock.now_ns()
        self.alive = False
        self._put(b"", at_ns)

    def connection_lost(self, exc: Exception | None) -> None:
        """The connection has closed, cleanly or not."""
        at_ns = self._clock.now_ns()
        self.alive = False
        if self._exchange is not None:
            self._put(exc if isinstance(exc, OSError) else b"", at_ns)

    async def send(self, exchange: Exchange, request_bytes: bytes, received: list[AudioChunk]) -> None:
        """Run an exchange. Chunks are appended to `received` as they arrive, so a fault keeps them. EndpointFault."""
        assert self._transport is not None  # noqa: S101 - for the type checker; streams are connected when they are handed out
        # Send first: the user is already waiting, and no bytes arrive before the next round of the loop.
        self._transport.write(request_bytes)
        loop = asyncio.get_running_loop()
        self._exchange, self._received, self._ended = exchange, received, loop.create_future()
        self._last_ns = self._clock.now_ns()
        deadline_ns = self._last_ns + round(self._settings.total_timeout * 1e9)
        self._watch = loop.call_later(self._next_check_s(deadline_ns), self._check_timeouts, deadline_ns)
        try:
            await self._ended
        finally:
            if self._watch is not None:
                self._watch.cancel()
            self._exchange = None
            # Bytes after the end of this answer must not reach the next exchange.
            if not (exchange.reusable and self._settings.keep_alive and not self._deferred):
                self.close()

    def close(self) -> None:
        """Drop the connection."""
        self.alive = False
        if self._transport is not None:
            self._transport.abort()

    def _put(self, came: bytes | OSError, at_ns: int) -> None:
        """Queue received bytes for decoding; b"" is the end of the stream."""
        self._last_ns = at_ns
        self._deferred += 1
        self._decoding.put(partial(self._take, came, at_ns))

    def _take(self, came: bytes | OSError, at_ns: int) -> None:
        self._deferred -= 1
        if self._exchange is None or self._ended is None or self._ended.done():
            # No exchange is open, so the connection has ended or is out of sync: do not reuse it.
            self.close()
            return
        if isinstance(came, OSError):
            self._fail(self._exchange.lost(came))
            return
        try:
            self._received += self._exchange.receive(came, at_ns)
        except EndpointFault as fault:
            self._fail(fault)
            return
        if self._exchange.done:
            self._ended.set_result(None)

    def _fail(self, fault: EndpointFault) -> None:
        if self._ended is not None and not self._ended.done():
            self._ended.set_exception(fault)

    def _next_check_s(self, deadline_ns: int) -> float:
        idle_end_ns = self._last_ns + round(self._settings.idle_timeout * 1e9)
        return max(0.0, (min(deadline_ns, idle_end_ns) - self._clock.now_ns()) / 1e9)

    def _check_timeouts(self, deadline_ns: int) -> None:
        """Fail after a time-out. One timer serves all reads, because a timer per read would cost more than the read."""
        assert self._exchange is not None  # noqa: S101 - for the type checker; the timer ends with the exchange
        now_ns = self._clock.now_ns()
        is_late = now_ns >= deadline_ns
        if is_late or now_ns - self._last_ns >= self._settings.idle_timeout * 1e9:
            self._fail(self._exchange.timed_out(self._settings, whole=is_late))
        else:
            self._watch = asyncio.get_running_loop().call_later(
                self._next_check_s(deadline_ns), self._check_timeouts, deadline_ns
            )


class StreamPool:
    """Connections to one address. Idle connections are reused, latest first."""

    def __init__(self, address: Address, settings: Settings, *, clock: Clock, decoding: DeferredDecoding) -> None:
        self._address = address
        self._settings = settings
        self._clock = clock
        self._decoding = decoding
        self._buffer = bytearray(READ_SIZE)
        self._idle: list[Stream] = []
        self._tls = ssl.create_default_context() if address.scheme == "https" else None

    def idle(self) -> Stream | None:
        """An open idle connection, or None."""
        while self._idle:
            stream = self._idle.pop()
            if stream.alive:
                return stream
        return None

    async def connect(self) -> Stream:
        """Open a new connection. Raises EndpointFault."""
        loop = asyncio.get_running_loop()
        timeout = self._settings.connect_timeout
        stream = Stream(self._clock, self._settings, decoding=self._decoding, buffer=self._buffer)
        try:
            async with asyncio.timeout(timeout):
                transport, _ = await loop.create_connection(
                    lambda: stream,
                    self._address.host,
                    self._address.port,
                    ssl=self._tls,
                )
        except TimeoutError as error:
            raise connect_timeout(self._address, timeout) from error
        except ssl.SSLError as error:
            raise tls_fault(self._address, error) from error
        except (socket.gaierror, UnicodeError) as error:
            raise name_fault(self._address, error) from error
        except OSError as error:
            raise connection_fault(self._address, error, timeout) from error
        with contextlib.suppress(OSError):
            transport.get_extra_info("socket").setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return stream

    def give_back(self, stream: Stream) -> None:
        """Keep the connection if it can be reused."""
        if stream.alive and self._settings.keep_alive:
            self._idle.append(stream)

    def close(self) -> None:
        """Close all idle connections."""
        for stream in self._idle:
            stream.close()
        self._idle.clear()
