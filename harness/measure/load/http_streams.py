"""Many exchanges at once, on asyncio: connections kept or made anew, stamps taken as the loop hands bytes over.

What has come is stamped and put aside; it is decoded between two looks at the sockets, one piece at a time. So of many
answers that come in the same moment none waits for its stamp until those before it are decoded.
"""

import asyncio
import contextlib
import socket
import ssl
from collections import deque
from collections.abc import Callable
from functools import partial

from harness.core.clock import Clock
from harness.engines.http.connection import connect_timeout, connection_fault, tls_fault
from harness.engines.http.errors import EndpointFault, Fault
from harness.engines.http.exchange import READ_SIZE, AudioChunk, Exchange
from harness.engines.http.request import Address
from harness.engines.http.target import Settings

PUT_ASIDE = 64
"""Pieces of work that may wait. Where more do, the network brings faster than we decode, and would fill the memory."""


class DeferredDecoding:
    """Work that is done between two looks at the sockets: one piece in each round of the loop, in its order."""

    def __init__(self) -> None:
        self._waiting: deque[Callable[[], None]] = deque()

    def put(self, work: Callable[[], None]) -> None:
        """Do it after all that was put before."""
        if not self._waiting:
            asyncio.get_running_loop().call_soon(self._round)
        self._waiting.append(work)

    def _round(self) -> None:
        while True:
            work = self._waiting.popleft()
            if len(self._waiting) <= PUT_ASIDE:
                break
            work()
        if self._waiting:
            asyncio.get_running_loop().call_soon(self._round)
        work()


class Stream(asyncio.BufferedProtocol):
    """One connection. At most one exchange at a time; every way in which it can end settles its future.

    `buffer` is what is read into; streams of one loop may share it.
    """

    def __init__(self, clock: Clock, settings: Settings, *, aside: DeferredDecoding, buffer: bytearray) -> None:
        self._clock = clock
        self._settings = settings
        self._aside = aside
        self._buffer = buffer
        self._put_aside = 0
        self._transport: asyncio.Transport | None = None
        self._exchange: Exchange | None = None
        self._ended: asyncio.Future[None] | None = None
        self._heard: list[AudioChunk] = []
        self._last_ns = 0
        self._watch: asyncio.TimerHandle | None = None
        self.alive = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Remember the transport; small requests go out at once."""
        assert isinstance(transport, asyncio.Transport)  # noqa: S101 - for the type checker; TCP's is one
        self._transport = transport
        self.alive = True

    def get_buffer(self, sizehint: int) -> bytearray:
        """Where the next bytes go: memory that is there, and not a quarter of a megabyte made anew for each read."""
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
        """Gone, in order or not."""
        at_ns = self._clock.now_ns()
        self.alive = False
        if self._exchange is not None:
            self._put(exc if isinstance(exc, OSError) else b"", at_ns)

    async def send(self, exchange: Exchange, opening: bytes, heard: list[AudioChunk]) -> None:
        """Carry it out; what is heard goes to `heard` as it comes, so it is there after a fault too. EndpointFault."""
        assert self._transport is not None  # noqa: S101 - for the type checker; a stream is handed out connected
        # The request first: its listener is waiting already, and nothing comes before the loop turns.
        self._transport.write(opening)
        loop = asyncio.get_running_loop()
        self._exchange, self._heard, self._ended = exchange, heard, loop.create_future()
        self._last_ns = self._clock.now_ns()
        deadline_ns = self._last_ns + round(self._settings.total_timeout * 1e9)
        self._watch = loop.call_later(self._next_look(deadline_ns), self._look, deadline_ns)
        try:
            await self._ended
        finally:
            if self._watch is not None:
                self._watch.cancel()
            self._exchange = None
            # What came behind the answer's end is none of the next one's.
            if not (exchange.reusable and self._settings.keep_alive and not self._put_aside):
                self.close()

    def close(self) -> None:
        """Drop the connection."""
        self.alive = False
        if self._transport is not None:
            self._transport.abort()

    def _put(self, came: bytes | OSError, at_ns: int) -> None:
        """What the network brought, b"" at its end, to be looked at when nothing else is to be stamped."""
        self._last_ns = at_ns
        self._put_aside += 1
        self._aside.put(partial(self._take, came, at_ns))

    def _take(self, came: bytes | OSError, at_ns: int) -> None:
        self._put_aside -= 1
        if self._exchange is None or self._ended is None or self._ended.done():
            # Nothing was asked: an end, or rubbish; either way not a connection to use again.
            self.close()
            return
        if isinstance(came, OSError):
            self._fail(self._exchange.lost(came))
            return
        try:
            self._heard += self._exchange.receive(came, at_ns)
        except EndpointFault as fault:
            self._fail(fault)
            return
        if self._exchange.done:
            self._ended.set_result(None)

    def _fail(self, fault: EndpointFault) -> None:
        if self._ended is not None and not self._ended.done():
            self._ended.set_exception(fault)

    def _next_look(self, deadline_ns: int) -> float:
        idle_end_ns = self._last_ns + round(self._settings.idle_timeout * 1e9)
        return max(0.0, (min(deadline_ns, idle_end_ns) - self._clock.now_ns()) / 1e9)

    def _look(self, deadline_ns: int) -> None:
        """Whether a time-out has come. One timer for all reads: setting one for each would cost more than reading."""
        assert self._exchange is not None  # noqa: S101 - for the type checker; the timer ends with the exchange
        now_ns = self._clock.now_ns()
        idle, total = self._settings.idle_timeout, self._settings.total_timeout
        came = f"{self._exchange.answer.bytes} bytes of body had come"
        if now_ns >= deadline_ns:
            self._fail(EndpointFault(Fault.TIMEOUT_TOTAL, f"the answer was not complete within {total:g} s; {came}"))
        elif now_ns - self._last_ns >= idle * 1e9:
            self._fail(EndpointFault(Fault.TIMEOUT_IDLE, f"not a byte for {idle:g} s; {came}"))
        else:
            self._watch = asyncio.get_running_loop().call_later(self._next_look(deadline_ns), self._look, deadline_ns)


class StreamPool:
    """Connections to one address: idle ones are used again, latest first."""

    def __init__(self, address: Address, settings: Settings, *, clock: Clock, aside: DeferredDecoding) -> None:
        self._address = address
        self._settings = settings
        self._clock = clock
        self._aside = aside
        self._buffer = bytearray(READ_SIZE)
        self._idle: list[Stream] = []
        self._tls = ssl.create_default_context() if address.scheme == "https" else None

    def idle(self) -> Stream | None:
        """A connection that is open and free, None where there is none."""
        while self._idle:
            stream = self._idle.pop()
            if stream.alive:
                return stream
        return None

    async def connect(self) -> Stream:
        """A new connection. EndpointFault."""
        loop = asyncio.get_running_loop()
        timeout = self._settings.connect_timeout
        stream = Stream(self._clock, self._settings, aside=self._aside, buffer=self._buffer)
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
            reason = getattr(error, "strerror", None) or error
            raise EndpointFault(Fault.DNS, f"the name {self._address.host!r} does not resolve: {reason}") from error
        except OSError as error:
            raise connection_fault(self._address, error, timeout) from error
        with contextlib.suppress(OSError):
            transport.get_extra_info("socket").setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return stream

    def give_back(self, stream: Stream) -> None:
        """Keep it, where it can be kept."""
        if stream.alive and self._settings.keep_alive:
            self._idle.append(stream)

    def close(self) -> None:
        """Close what is idle."""
        for stream in self._idle:
            stream.close()
        self._idle.clear()
