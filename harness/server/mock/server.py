"""A speech server that does as its script says: on loopback, on asyncio's streams, paced by an absolute schedule."""

import asyncio
import contextlib
import json
import socket
import struct
import threading
import time
from collections.abc import Iterator
from typing import TextIO

from harness.core.event_loop import new_event_loop
from harness.engines.http.dialects import DIALECTS, OPENAI
from harness.server.mock.http import HEAD_LIMIT, Request, StampedReader, answer_head, framed, read_request, reply
from harness.server.mock.request_log import Answered, Piece, RequestLog
from harness.server.mock.script import Answer, End, Framing, Script, Step, Voice, WhenFull
from harness.server.mock.sound import tone
from harness.server.mock.tally import Tally
from harness.server.mock.timeline import ReceivedRequest, Sent, frozen, streams, timeline

LOOPBACK = "127.0.0.1"
SPEECH = "/v1/audio/speech"


EARLY_S = 0.000_3
"""What waking up takes: the server is awake so long before it has to send, so as not to be late by it."""

FULL = Answer(
    status=503,
    headers=(("Retry-After", "1"),),
    steps=(Step(body=b'{"error": {"message": "all places are taken", "type": "server_error"}}'),),
    content_type="application/json",
)
"""The answer of a script whose capacity is used up and that does not let requests wait."""

SETTLING_ROUNDS = 10
"""Of the loop, in which what was begun comes to stand and what was ended comes to lie."""


class MockServer:
    """Answers on one loop. `start` binds; `close` ends every connection.

    `log` gets a line of JSON for each connection, each answer and each other request (`RequestLog`).
    """

    def __init__(self, script: Script, *, log: TextIO | None = None) -> None:
        self.script = script
        self._log = RequestLog(log)
        self._connections = 0
        self.tally = Tally()
        self._server: asyncio.Server | None = None
        self._open: dict[asyncio.Task[None], asyncio.StreamWriter] = {}
        self._seen: set[bytes] = set()
        self._speaking: list[str] = []
        self._first_at: float | None = None
        self._leaked: list[bytes] = []
        self._places = asyncio.Semaphore(script.capacity) if script.capacity else None
        self._freed_ns = 0

    async def start(self, port: int = 0) -> int:
        """Listen on loopback; returns the port. OSError where it is taken."""
        # The first request must not be the one that pays for NumPy's import.
        tone(("",), first=0, frames=1, sample_rate=24_000)
        loop = asyncio.get_running_loop()

        def line() -> asyncio.StreamReaderProtocol:
            reader = StampedReader(limit=HEAD_LIMIT, loop=loop)
            return asyncio.StreamReaderProtocol(reader, self._connected, loop=loop)

        self._server = await loop.create_server(line, LOOPBACK, port, backlog=1024)
        bound: int = self._server.sockets[0].getsockname()[1]
        return bound

    async def close(self) -> None:
        """Stop listening, and end what is still being answered."""
        await self._stop_listening()
        for task, writer in list(self._open.items()):
            # Cancelled first, so that the log does not take our own end of the connection for the client's.
            task.cancel()
            writer.transport.abort()
        await asyncio.gather(*self._open, return_exceptions=True)
        # Transports that were aborted are closed in the loop's next round.
        await _rounds(SETTLING_ROUNDS)

    async def _stop_listening(self) -> None:
        """Close the server once whoever was accepted has a transport.

        asyncio asserts that a server is open when it makes a connection's transport, and leaves one that comes later
        half made and never closed. So nobody is accepted any more, then the loop turns, then the server closes.
        """
        if self._server is None:
            return
        loop = asyncio.get_running_loop()
        for listening in self._server.sockets:
            with contextlib.suppress(NotImplementedError):  # Windows' own loop has no readers to take away
                loop.remove_reader(listening.fileno())
        await _rounds(SETTLING_ROUNDS)
        self._server.close()

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        assert isinstance(reader, StampedReader)  # noqa: S101 - for the type checker; `start` made it
        task = asyncio.current_task()
        assert task is not None  # noqa: S101 - for the type checker; start_server calls this in a task
        self._open[task] = writer
        self._connections += 1
        number = self._connections
        self._log.connection(number, accepted_ns=time.monotonic_ns())
        try:
            with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
                while (request := await read_request(reader, writer)) is not None:
                    line = _Connection(number, reader, writer)
                    if not await self._answer(request, line, writer) or not request.keep_alive:
                        break
        finally:
            writer.close()
            with contextlib.suppress(ConnectionError, asyncio.CancelledError):
                await writer.wait_closed()
            del self._open[task]

    async def _answer(self, request: Request, line: "_Connection", writer: asyncio.StreamWriter) -> bool:
        """Answer; False where the connection cannot go on."""
        status, said = self._aside(request)
        if request.method == "POST" and request.path.partition("?")[0] == SPEECH:
            asked = understand(request.body, self.script)
            if isinstance(asked, ReceivedRequest):
                return await self._speak(asked, request, line)
            status, said = 422, {"detail": [asked]}
        await reply(writer, status, said)
        self._log.other(
            request,
            connection=line.connection,
            now_open=self.tally.active,
            status=status,
            end_ns=time.monotonic_ns(),
        )
        return True

    def _aside(self, request: Request) -> tuple[int, object]:
        """Health, voices, state."""
        spoken = [each for each in DIALECTS.values() if self.script.dialect in ("both", each.name)]
        if request.method == "GET" and request.path == "/health":
            return 200, {"status": "ok"}
        if request.method == "GET" and request.path in [each.voices_path for each in spoken]:
            return 200, {"voices": ["af_heart", "am_adam"]}
        if request.method == "GET" and request.path == "/status":
            tally = self.tally
            return 200, {
                "script": self.script.name,
                "requests": tally.requests,
                "active": tally.active,
                "late_ms": tally.lateness(),
            }
        return 404, {"detail": "Not Found"}

    async def _speak(self, asked: ReceivedRequest, request: Request, line: "_Connection") -> bool:
        text, number = asked.texts[0], self.tally.requests
        places = self._places
        waits = places is not None and places.locked()
        refused = waits and self.script.when_full is WhenFull.REFUSE
        answer = FULL if refused else self.script.answer(number)
        quick = self.script.cached and request.body in self._seen
        self._seen.add(request.body)
        self.tally.requests += 1
        self.tally.active += 1
        self.tally.first_text = self.tally.first_text or text
        self._speaking.append(text)
        if self.script.leak_bytes:
            # Written to, since untouched pages are not resident.
            self._leaked.append(b"\1" * self.script.leak_bytes)
        if self._first_at is None:
            self._first_at = request.at
        answered = Answered(
            text=text,
            number=number,
            connection=line.connection,
            now_open=self.tally.active,
            turn_ns=round(request.at * 1e9),
            status=answer.status,
            pieces=line.pieces,
        )
        try:
            heard = ReceivedRequest(
                texts=self._voices(text, answer.voice),
                container=asked.container,
                stream=asked.stream,
                speed=asked.speed,
            )
            async with contextlib.nullcontext() if refused or places is None else places:
                turn_at = request.at
                if places is not None and not refused:
                    # One that did not wait may have come before a place was free, and have been looked at afterwards.
                    turn_at = asyncio.get_running_loop().time() if waits else max(turn_at, self._freed_ns / 1e9)
                answered.turn_ns = round(turn_at * 1e9)
                goes_on = await self._play(answer, heard, turn_at, line, quick=quick)
            answered.complete = True
            return goes_on
        finally:
            self.tally.active -= 1
            self._speaking.remove(text)
            answered.end_ns, answered.gone_ns = time.monotonic_ns(), line.gone_ns
            self._freed_ns = self._freed_ns if refused else answered.end_ns
            self._log.answer(request, answered)

    def _voices(self, text: str, voice: Voice) -> tuple[str, ...]:
        others = [each for each in self._speaking if each != text]
        if voice is Voice.FIRST:
            return (self.tally.first_text,)
        if voice is Voice.OTHER and others:
            return (others[-1],)
        return (text, others[-1]) if voice is Voice.MIXED and others else (text,)

    async def _play(
        self, answer: Answer, asked: ReceivedRequest, turn_at: float, line: "_Connection", *, quick: bool
    ) -> bool:
        """Send everything at its time, counted from `turn_at` on the loop's clock."""
        sent = timeline(answer, asked)
        framing = answer.framing if streams(answer, asked) else Framing.LENGTH
        length = 0
        if framing is Framing.LENGTH:
            whole = list(sent)
            length = sum(len(each.body) for each in whole) + answer.missing
            sent = iter(whole)
        head = answer_head(answer, asked, framing, length=length)
        arrived_ms = (turn_at - (self._first_at or turn_at)) * 1000
        for each in sent:
            # Made before its time comes, so that making it delays nothing.
            due_ms = 0.0 if quick else frozen(each.at_ms, arrived_ms=arrived_ms, freeze=self.script.freeze)
            payload = head + framed(each, framing)
            await self._sleep_until(turn_at + due_ms / 1000)
            if each.end is not None:
                return await line.end_badly(each, payload if each.body else b"")
            head = b""
            if payload:
                await line.send(payload, each)
        if framing is Framing.CHUNKED:
            await line.send(head + b"0\r\n\r\n")
        return framing is not Framing.UNTIL_CLOSE

    async def _sleep_until(self, at: float) -> None:
        loop = asyncio.get_running_loop()
        left = at - loop.time()
        if left > 0:
            await asyncio.sleep(left)
        self.tally.late_ms.append((loop.time() - at) * 1000)


class _Connection:
    """One connection while it answers one request."""

    def __init__(self, connection: int, reader: StampedReader, writer: asyncio.StreamWriter) -> None:
        self.connection = connection
        self._reader = reader
        self._writer = writer
        self.pieces: list[Piece] = []

    @property
    def gone_ns(self) -> int | None:
        """When the client went away, as far as it is known by now."""
        return None if self._reader.gone_at is None else round(self._reader.gone_at * 1e9)

    async def send(self, payload: bytes, carried: Sent | None = None) -> None:
        """Write `payload`, in which `carried` is; ConnectionError where the client has gone."""
        body, frames = (len(carried.body), carried.frames) if carried else (0, 0)
        self.pieces.append(Piece(sent_ns=time.monotonic_ns(), body_bytes=body, frames=frames))
        self._writer.write(payload)
        await self._writer.drain()

    async def end_badly(self, sent: Sent, last: bytes) -> bool:
        """Close in mid-answer, reset, or fall silent until the client goes; the connection cannot go on."""
        if last:
            await self.send(last, sent)
        if sent.end is End.HANG:
            while await self._reader.read(HEAD_LIMIT):
                pass
        elif sent.end is End.RESET:
            # Closing with a linger time of 0 sends a reset (socket(7)); time for what was sent to be read.
            await asyncio.sleep(0.05)
            connection = self._writer.get_extra_info("socket")
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self._writer.transport.abort()
        return False


def understand(body: bytes, script: Script) -> ReceivedRequest | dict[str, object]:
    """What is asked for, or what is wrong with it in FastAPI's words. An unknown format is answered in PCM."""
    try:
        said = json.loads(body)
    except ValueError:
        said = {}
    spoken = [each for each in DIALECTS.values() if script.dialect in ("both", each.name)]
    for dialect in spoken:
        text = said.get(dialect.text_field) if isinstance(said, dict) else None
        if not isinstance(text, str) or not text:
            continue
        speed = said.get("speed", 1.0)
        for name in filter(None, (each.strip() for each in script.refuses.split(","))):
            if name in said:
                return {"type": "extra_forbidden", "loc": ["body", name], "msg": "Extra inputs are not permitted"}
        if isinstance(speed, bool) or not isinstance(speed, int | float) or not 0.25 <= speed <= 4:
            return {"type": "float_type", "loc": ["body", "speed"], "msg": "Input should be between 0.25 and 4"}
        container = said.get(dialect.format_field)
        return ReceivedRequest(
            texts=(text,),
            container=container if container in dialect.formats else "pcm",
            stream=bool(said.get("stream", dialect is OPENAI)),
            speed=speed,
        )
    return {"type": "missing", "loc": ["body", spoken[0].text_field], "msg": "Field required"}


async def _rounds(count: int) -> None:
    """Let the loop turn so many times."""
    for _ in range(count):
        await asyncio.sleep(0)


@contextlib.contextmanager
def serving(script: Script, port: int = 0, *, log: TextIO | None = None) -> Iterator[tuple[str, MockServer]]:
    """A server in a thread of its own while the block lasts: its URL, and itself to look at."""
    loop = new_event_loop(early_s=EARLY_S)
    server = MockServer(script, log=log)
    thread = threading.Thread(target=loop.run_forever, name=f"scripted server {script.name}", daemon=True)
    thread.start()
    try:
        bound = asyncio.run_coroutine_threadsafe(server.start(port), loop).result()
        yield f"http://{LOOPBACK}:{bound}", server
    finally:
        asyncio.run_coroutine_threadsafe(server.close(), loop).result()
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()
