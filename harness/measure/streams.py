"""Many exchanges at once, on asyncio: connections kept or made anew, stamps taken as the loop hands bytes over."""

import asyncio
import contextlib
import socket
import ssl

import h11

from harness.clock import Clock
from harness.engines.exchange import Address, Ask, Exchange, Heard
from harness.engines.faults import EndpointFault, Fault
from harness.engines.line import connect_timeout, connection_fault, tls_fault
from harness.engines.target import Settings


class Stream(asyncio.Protocol):
    """One connection. At most one exchange at a time; every way in which it can end settles its future."""

    def __init__(self, clock: Clock, settings: Settings) -> None:
        self._clock = clock
        self._settings = settings
        self._http = h11.Connection(h11.CLIENT)
        self._transport: asyncio.Transport | None = None
        self._exchange: Exchange | None = None
        self._ended: asyncio.Future[None] | None = None
        self._heard: list[Heard] = []
        self._last_ns = 0
        self._watch: asyncio.TimerHandle | None = None
        self.alive = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Remember the transport; small requests go out at once."""
        assert isinstance(transport, asyncio.Transport)  # noqa: S101 - for the type checker; TCP's is one
        self._transport = transport
        self.alive = True

    def data_received(self, data: bytes) -> None:
        """Stamp first, then decode."""
        self._take(data, self._clock.now_ns())

    def eof_received(self) -> None:
        """The server has closed its side."""
        self._take(b"", self._clock.now_ns())

    def connection_lost(self, exc: Exception | None) -> None:
        """Gone, in order or not."""
        self.alive = False
        if self._exchange is None:
            return
        if isinstance(exc, OSError):
            self._fail(self._exchange.lost(exc))
        else:
            self._take(b"", self._clock.now_ns())

    def begin(self, address: Address, ask: Ask) -> Exchange:
        """The exchange that this connection is to carry next."""
        return Exchange(connection=self._http, address=address, ask=ask)

    async def converse(self, exchange: Exchange, heard: list[Heard]) -> None:
        """Carry it out; what is heard goes to `heard` as it comes, so it is there after a fault too. EndpointFault."""
        assert self._transport is not None  # noqa: S101 - for the type checker; a stream is handed out connected
        loop = asyncio.get_running_loop()
        self._exchange, self._heard, self._ended = exchange, heard, loop.create_future()
        self._last_ns = self._clock.now_ns()
        deadline_ns = self._last_ns + round(self._settings.total_timeout * 1e9)
        self._watch = loop.call_later(self._next_look(deadline_ns), self._look, deadline_ns)
        try:
            self._transport.write(exchange.opening())
            await self._ended
        finally:
            if self._watch is not None:
                self._watch.cancel()
            self._exchange = None
            if exchange.reusable and self._settings.keep_alive and self.alive:
                self._http.start_next_cycle()
            else:
                self.close()

    def close(self) -> None:
        """Drop the connection."""
        self.alive = False
        if self._transport is not None:
            self._transport.abort()

    def _take(self, data: bytes, at_ns: int) -> None:
        if self._exchange is None or self._ended is None or self._ended.done():
            # Nothing was asked: an end, or rubbish; either way not a connection to use again.
            self.close()
            return
        self._last_ns = at_ns
        try:
            self._heard += self._exchange.receive(data, at_ns)
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

    def __init__(self, address: Address, settings: Settings, *, clock: Clock) -> None:
        self._address = address
        self._settings = settings
        self._clock = clock
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
        stream = Stream(self._clock, self._settings)
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
