"""An asyncio loop in scripted time, with a scripted server behind it: figures of a load to the nanosecond.

Nothing waits for real: where the loop would sleep, the clock is put forward. Work itself takes no time, so a stamp is
exactly what the script says.
"""

import asyncio
import selectors
from collections import deque
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

from harness.core.clock import ScriptedClock
from harness.server.mock.sound import natural_seconds, to_pcm, tone

Result = TypeVar("Result")

MS = 1_000_000
RATE = 24_000

LONGEST_NS = 600 * 1_000_000_000
"""No load in scripted time takes so long: one that does would never end."""

Piece = bytes | OSError | None
"""What a server sends: bytes, the connection's failure, or None where it closes its side."""

Reply = Sequence[tuple[float, Piece]]
"""(Milliseconds after the request, what comes then), ascending."""


@dataclass
class Server:
    """Answers request n with reply n, counted over all connections, and the last one for ever after."""

    replies: Sequence[Reply]
    connect_ms: float = 0.0
    refuse: Sequence[BaseException | None] = ()
    """Connection n fails with this, where it is not None."""
    requests: list[tuple[int, int, bytes]] = field(default_factory=list)
    """(Nanoseconds on the clock, connection, what came)."""
    lines: list["Line"] = field(default_factory=list)
    asked: list[tuple[str | None, int | None, object]] = field(default_factory=list)
    """(Host, port, TLS context) of each connection that was attempted."""


class Socket:
    """Remembers the options that are set."""

    def __init__(self, *, broken: bool = False) -> None:
        self.options: list[tuple[int, ...]] = []
        self.broken = broken

    def setsockopt(self, *option: int) -> None:
        """Remember it, or fail as a socket does that was closed meanwhile."""
        if self.broken:
            raise OSError
        self.options.append(option)


class Line(asyncio.Transport):
    """One connection to the scripted server."""

    def __init__(self, loop: "ScriptedLoop", number: int, protocol: asyncio.BufferedProtocol) -> None:
        self.socket = Socket()
        super().__init__({"socket": self.socket})
        self._loop = loop
        self._number = number
        self._protocol = protocol
        self._coming: deque[Piece] = deque()
        self.closed_ns: int | None = None

    def write(self, data: bytes | bytearray | memoryview) -> None:
        """Note the request and send its reply when it is due."""
        server = self._loop.server
        reply = server.replies[min(len(server.requests), len(server.replies) - 1)]
        server.requests.append((self._loop.clock.now_ns(), self._number, bytes(data)))
        for wait_ms, piece in reply:
            # Timers of one moment come in any order: each delivers what is next.
            self._coming.append(piece)
            self._loop.call_later(wait_ms / 1e3, self._deliver)

    def _deliver(self) -> None:
        piece = self._coming.popleft()
        if self.closed_ns is not None:
            return
        if isinstance(piece, bytes):
            buffer = memoryview(self._protocol.get_buffer(-1))
            buffer[: len(piece)] = piece
            self._protocol.buffer_updated(len(piece))
        elif piece is None:
            self._protocol.eof_received()
        else:
            self._protocol.connection_lost(piece)

    def abort(self) -> None:
        """Note when it was dropped."""
        if self.closed_ns is None:
            self.closed_ns = self._loop.clock.now_ns()


class _Selector(selectors.DefaultSelector):
    """Puts the clock forward instead of waiting. Without a timer it waits for real, for a thread's result."""

    def __init__(self, clock: ScriptedClock) -> None:
        super().__init__()
        self._clock = clock

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        if timeout is not None:
            self._clock.sleep(timeout)
            if self._clock.elapsed_ns > LONGEST_NS:
                raise AssertionError("a load in scripted time does not end")
            timeout = 0
        return super().select(timeout)


class ScriptedLoop(asyncio.SelectorEventLoop):
    """A loop on a scripted clock; all its connections lead to `server`."""

    def __init__(self, server: Server, clock: ScriptedClock) -> None:
        super().__init__(_Selector(clock))
        self.server = server
        self.clock = clock

    def time(self) -> float:
        """Seconds on the scripted clock."""
        return self.clock.elapsed_ns / 1e9

    async def create_connection(  # type: ignore[override]
        self,
        protocol_factory: Callable[[], Any],
        host: str | None = None,
        port: int | None = None,
        *,
        ssl: object = None,
    ) -> tuple[Line, Any]:
        """A connection to the scripted server, or its refusal."""
        number = len(self.server.asked)
        self.server.asked.append((host, port, ssl))
        if self.server.connect_ms:
            await asyncio.sleep(self.server.connect_ms / 1e3)
        refusal = self.server.refuse[number] if number < len(self.server.refuse) else None
        if refusal is not None:
            raise refusal
        protocol = protocol_factory()
        line = Line(self, number, protocol)
        self.server.lines.append(line)
        protocol.connection_made(line)
        return line, protocol


def play(
    main: Callable[[ScriptedClock], Coroutine[Any, Any, Result]], server: Server, clock: ScriptedClock | None = None
) -> Result:
    """Run to the end in scripted time, on `clock` where there is one already."""
    own = clock or ScriptedClock()
    with asyncio.Runner(loop_factory=lambda: ScriptedLoop(server, own)) as runner:
        return runner.run(main(own))


def spoken(text: str, *, seconds: float | None = None) -> bytes:
    """Signed 16-bit PCM of a text."""
    frames = round((natural_seconds(text, 1.0) if seconds is None else seconds) * RATE)
    return to_pcm(tone([text], first=0, frames=frames, sample_rate=RATE), 1)


def head(length: int, *, status: str = "200 OK", kind: str = "audio/pcm") -> bytes:
    """The beginning of an answer of `length` bytes."""
    return f"HTTP/1.1 {status}\r\nContent-Type: {kind}\r\nContent-Length: {length}\r\n\r\n".encode()


def halves(text: str, first_ms: float, last_ms: float) -> Reply:
    """An answer whose head and first half come at one moment and the rest at another."""
    body = spoken(text)
    half = len(body) // 4 * 2
    return ((first_ms, head(len(body)) + body[:half]), (last_ms, body[half:]))
