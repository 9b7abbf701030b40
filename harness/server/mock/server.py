"""A scripted speech server on loopback, built on asyncio's streams and paced by an absolute schedule."""

import asyncio
import contextlib
import json
import socket
import struct
import threading
import time
from collections.abc import Iterator

from harness.core.event_loop import new_event_loop
from harness.engines.http.dialects import DIALECTS, OPENAI
from harness.server.mock.http import (
    HEAD_LIMIT,
    Request,
    StampedReader,
    answer_head,
    frame_body,
    read_request,
    reply_json,
)
from harness.server.mock.request_log import LineWriter, LoggedAnswer, RequestLog, SentChunk
from harness.server.mock.script import Answer, End, Framing, Script, Step, Voice, WhenFull
from harness.server.mock.sound import tone
from harness.server.mock.tally import Tally, resident, work
from harness.server.mock.timeline import ReceivedRequest, Sent, frozen, streams, timeline

LOOPBACK = "127.0.0.1"
SPEECH = "/v1/audio/speech"


EARLY_S = 0.000_3
"""The server wakes up this many seconds before it has to send, because waking up takes time."""

FULL_ANSWER = Answer(
    status=503,
    headers=(("Retry-After", "1"),),
    steps=(Step(body=b'{"error": {"message": "all places are taken", "type": "server_error"}}'),),
    content_type="application/json",
)
"""The answer of a script at full capacity that does not let requests wait."""

SETTLE_ROUNDS = 10
"""Rounds of the event loop until started transports are open and aborted ones are closed."""


class MockServer:
    """A server on one event loop. `start` binds; `close` ends every connection.

    `log` gets a line of JSON for each connection, each answer and each other request (`RequestLog`).
    """

    def __init__(self, script: Script, *, log: LineWriter | None = None) -> None:
        self.script = script
        self._log = RequestLog(log)
        self._connections = 0
        self.tally = Tally()
        self._server: asyncio.Server | None = None
        self._open: dict[asyncio.Task[None], asyncio.StreamWriter] = {}
        self._seen: set[bytes] = set()
        self._speaking: list[str] = []
        self._first_at: float | None = None
        self._leaked: list[object] = []
        self._places = asyncio.Semaphore(script.capacity) if script.capacity else None
        self._freed_ns = 0

    async def start(self, port: int = 0) -> int:
        """Listen on loopback and return the port. Raises OSError if the port is taken."""
        # Import NumPy now, so that the first request does not wait for it.
        tone(("",), first=0, frames=1, sample_rate=24_000)
        loop = asyncio.get_running_loop()

        def make_protocol() -> asyncio.StreamReaderProtocol:
            reader = StampedReader(limit=HEAD_LIMIT, loop=loop)
            return asyncio.StreamReaderProtocol(reader, self._connected, loop=loop)

        self._server = await loop.create_server(make_protocol, LOOPBACK, port, backlog=1024)
        bound: int = self._server.sockets[0].getsockname()[1]
        return bound

    async def close(self) -> None:
        """Stop listening and end all answers in progress."""
        await self._stop_listening()
        for task, writer in list(self._open.items()):
            # Cancel first, so that the log does not record our abort as the client's.
            task.cancel()
            writer.transport.abort()
        await asyncio.gather(*self._open, return_exceptions=True)
        # Transports that were aborted are closed in the loop's next round.
        await _settle()

    async def _stop_listening(self) -> None:
        """Close the server once every accepted connection has a transport.

        asyncio requires an open server when it creates a connection's transport. A later transport stays incomplete and
        is never closed. So first stop accepting, then let the loop run, then close the server.
        """
        if self._server is None:
            return
        loop = asyncio.get_running_loop()
        for listening in self._server.sockets:
            with contextlib.suppress(NotImplementedError):  # the event loop of Windows has no readers
                loop.remove_reader(listening.fileno())
        await _settle()
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
                    client = _Connection(number, reader, writer)
                    if not await self._answer(request, client, writer) or not request.keep_alive:
                        break
        finally:
            writer.close()
            with contextlib.suppress(ConnectionError, asyncio.CancelledError):
                await writer.wait_closed()
            del self._open[task]

    async def _answer(self, request: Request, client: "_Connection", writer: asyncio.StreamWriter) -> bool:
        """Answer a request. Return False if the connection cannot be used again."""
        status, content = self._other_reply(request)
        if request.method == "POST" and request.path.partition("?")[0] == SPEECH:
            asked = parse_request(request.body, self.script)
            if isinstance(asked, ReceivedRequest):
                return await self._answer_speech(asked, request, client)
            status, content = 422, {"detail": [asked]}
        await reply_json(writer, status, content)
        self._log.other(
            request,
            connection=client.connection,
            now_open=self.tally.active,
            status=status,
            end_ns=time.monotonic_ns(),
        )
        return True

    def _other_reply(self, request: Request) -> tuple[int, object]:
        """The reply to a request for health, voices or status, or 404."""
        dialects = [each for each in DIALECTS.values() if self.script.dialect in ("both", each.name)]
        if request.method == "GET" and request.path == "/health":
            return 200, {"status": "ok"}
        if request.method == "GET" and request.path in [each.voices_path for each in dialects]:
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

    async def _answer_speech(self, asked: ReceivedRequest, request: Request, client: "_Connection") -> bool:
        text, number = asked.texts[0], self.tally.requests
        places = self._places
        waits = places is not None and places.locked()
        refused = waits and self.script.when_full is WhenFull.REFUSE
        answer = FULL_ANSWER if refused else self.script.answer(number)
        quick = self.script.cached and request.body in self._seen
        self._seen.add(request.body)
        self.tally.requests += 1
        self.tally.active += 1
        self.tally.first_text = self.tally.first_text or text
        self._speaking.append(text)
        if self.script.leak_bytes:
            self._leaked.append(resident(self.script.leak_bytes))
        if self._first_at is None:
            self._first_at = request.at
        answered = LoggedAnswer(
            text=text,
            number=number,
            connection=client.connection,
            now_open=self.tally.active,
            turn_ns=round(request.at * 1e9),
            status=answer.status,
            chunks=client.chunks,
        )
        try:
            to_speak = ReceivedRequest(
                texts=self._voices(text, answer.voice),
                container=asked.container,
                stream=asked.stream,
                speed=asked.speed,
            )
            async with contextlib.nullcontext() if refused or places is None else places:
                turn_at = request.at
                if places is not None and not refused:
                    # A request may arrive before a place is free but be processed afterwards.
                    turn_at = asyncio.get_running_loop().time() if waits else max(turn_at, self._freed_ns / 1e9)
                answered.turn_ns = round(turn_at * 1e9)
                reusable = await self._send_answer(answer, to_speak, turn_at, client, quick=quick)
            answered.complete = True
            return reusable
        finally:
            self.tally.active -= 1
            self._speaking.remove(text)
            answered.end_ns, answered.gone_ns = time.monotonic_ns(), client.gone_ns
            self._freed_ns = self._freed_ns if refused else answered.end_ns
            self._log.answer(request, answered)

    def _voices(self, text: str, voice: Voice) -> tuple[str, ...]:
        others = [each for each in self._speaking if each != text]
        if voice is Voice.FIRST:
            return (self.tally.first_text,)
        if voice is Voice.OTHER and others:
            return (others[-1],)
        return (text, others[-1]) if voice is Voice.MIXED and others else (text,)

    async def _send_answer(
        self, answer: Answer, asked: ReceivedRequest, turn_at: float, client: "_Connection", *, quick: bool
    ) -> bool:
        """Send every chunk on schedule, counted from `turn_at`. Return whether the connection is reusable."""
        if answer.work:
            work(answer.work)
            turn_at = asyncio.get_running_loop().time()
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
            # Build the chunk before its time, so that building it causes no delay.
            due_ms = 0.0 if quick else frozen(each.at_ms, arrived_ms=arrived_ms, freeze=self.script.freeze)
            payload = head + frame_body(each, framing)
            await self._sleep_until(turn_at + due_ms / 1000)
            if each.end is not None:
                return await client.end_early(each, payload if each.body else b"")
            head = b""
            if payload:
                await client.send(payload, each)
        if framing is Framing.CHUNKED:
            await client.send(head + b"0\r\n\r\n")
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
        self.chunks: list[SentChunk] = []

    @property
    def gone_ns(self) -> int | None:
        return None if self._reader.gone_at is None else round(self._reader.gone_at * 1e9)

    async def send(self, payload: bytes, carried: Sent | None = None) -> None:
        """Write `payload`, which contains `carried`. Raises ConnectionError if the client has disconnected."""
        body, frames = (len(carried.body), carried.frames) if carried else (0, 0)
        self.chunks.append(SentChunk(sent_ns=time.monotonic_ns(), body_bytes=body, frames=frames))
        self._writer.write(payload)
        await self._writer.drain()

    async def end_early(self, sent: Sent, last: bytes) -> bool:
        """End the answer early: close, reset, or stay silent until the client disconnects. Return False."""
        if last:
            await self.send(last, sent)
        if sent.end is End.HANG:
            while await self._reader.read(HEAD_LIMIT):
                pass
        elif sent.end is End.RESET:
            # Closing with a linger time of 0 sends a reset (socket(7)). Wait first, so that the client reads the data.
            await asyncio.sleep(0.05)
            connection = self._writer.get_extra_info("socket")
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self._writer.transport.abort()
        return False


def parse_request(body: bytes, script: Script) -> ReceivedRequest | dict[str, object]:
    """Parse a speech request, or return its fault in FastAPI's form. An unknown audio format becomes PCM."""
    try:
        fields = json.loads(body)
    except ValueError:
        fields = {}
    dialects = [each for each in DIALECTS.values() if script.dialect in ("both", each.name)]
    for dialect in dialects:
        text = fields.get(dialect.text_field) if isinstance(fields, dict) else None
        if not isinstance(text, str) or not text:
            continue
        speed = fields.get("speed", 1.0)
        for name in filter(None, (each.strip() for each in script.refuses.split(","))):
            if name in fields:
                return {"type": "extra_forbidden", "loc": ["body", name], "msg": "Extra inputs are not permitted"}
        if isinstance(speed, bool) or not isinstance(speed, int | float) or not 0.25 <= speed <= 4:
            return {"type": "float_type", "loc": ["body", "speed"], "msg": "Input should be between 0.25 and 4"}
        container = fields.get(dialect.format_field)
        return ReceivedRequest(
            texts=(text,),
            container=container if container in dialect.formats else "pcm",
            stream=bool(fields.get("stream", dialect is OPENAI)),
            speed=speed,
        )
    return {"type": "missing", "loc": ["body", dialects[0].text_field], "msg": "Field required"}


async def _settle() -> None:
    """Let the event loop run `SETTLE_ROUNDS` rounds."""
    for _ in range(SETTLE_ROUNDS):
        await asyncio.sleep(0)


@contextlib.contextmanager
def serving(script: Script, port: int = 0, *, log: LineWriter | None = None) -> Iterator[tuple[str, MockServer]]:
    """Run a server in a background thread during the context. Yield its URL and the server."""
    loop = new_event_loop(early_s=EARLY_S)
    server = MockServer(script, log=log)
    thread = threading.Thread(target=loop.run_forever, name=f"mock server {script.name}", daemon=True)
    thread.start()
    try:
        bound = asyncio.run_coroutine_threadsafe(server.start(port), loop).result()
        yield f"http://{LOOPBACK}:{bound}", server
    finally:
        asyncio.run_coroutine_threadsafe(server.close(), loop).result()
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()
