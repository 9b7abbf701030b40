"""The minimum of HTTP/1.1 for a scripted server, which must be able to break the rules on purpose."""

import asyncio
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import SupportsIndex

from harness.server.mock.script import Answer, Framing
from harness.server.mock.sound import content_type
from harness.server.mock.timeline import ReceivedRequest, Sent

HEAD_LIMIT = 1 << 16
BODY_LIMIT = 1 << 20
PHRASES = {
    200: "OK",
    307: "Temporary Redirect",
    404: "Not Found",
    422: "Unprocessable Content",
    429: "Too Many Requests",
    503: "Service Unavailable",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """One received request; `at` is the loop's time when its last byte arrived.

    `headers` have lower-case names.
    """

    method: str
    path: str
    body: bytes
    keep_alive: bool
    at: float
    headers: Mapping[str, str] = field(default_factory=dict)


class StampedReader(asyncio.StreamReader):
    """Stamps received bytes and the client's disconnect. A reader gets them some tenths of a millisecond later.

    `gone_at` is the loop's time when the client closed its side or the connection was lost, None before.
    """

    fed_at = 0.0
    gone_at: float | None = None

    def feed_data(self, data: Iterable[SupportsIndex]) -> None:
        self.fed_at = asyncio.get_running_loop().time()
        super().feed_data(data)

    def feed_eof(self) -> None:
        self._go()
        super().feed_eof()

    def set_exception(self, exc: Exception) -> None:
        self._go()
        super().set_exception(exc)

    def _go(self) -> None:
        if self.gone_at is None:
            self.gone_at = asyncio.get_running_loop().time()


async def read_request(reader: StampedReader, writer: asyncio.StreamWriter) -> Request | None:
    """The next request, or None. Bytes that are no HTTP (TLS, for example) get status 400."""
    try:
        first = await reader.read(1)
        if first and not first.isalpha():
            writer.write(b"HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n")
            return None
        head = (first + await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
    except (asyncio.IncompleteReadError, asyncio.LimitOverrunError):
        return None
    method, _, rest = head[0].partition(" ")
    headers = {
        name.strip().lower(): value.strip() for name, _, value in (line.partition(":") for line in head[1:] if line)
    }
    length = headers.get("content-length", "0")
    if not length.isdecimal() or int(length) > BODY_LIMIT:
        return None
    body = await reader.readexactly(int(length))
    return Request(
        method=method,
        path=rest.partition(" ")[0],
        body=body,
        keep_alive=headers.get("connection", "").lower() != "close",
        at=reader.fed_at,
        headers=headers,
    )


async def reply_json(writer: asyncio.StreamWriter, status: int, content: object) -> None:
    """Send a complete JSON answer."""
    body = json.dumps(content).encode()
    head = f"HTTP/1.1 {status} {PHRASES.get(status, 'Error')}\r\nContent-Type: application/json\r\n"
    writer.write(f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body)
    await writer.drain()


def answer_head(answer: Answer, asked: ReceivedRequest, framing: Framing, *, length: int) -> bytes:
    """Status line and headers of an answer."""
    right = content_type(asked.container, sample_rate=answer.sample_rate, channels=answer.channels)
    lines = [f"HTTP/1.1 {answer.status} {PHRASES.get(answer.status, 'Error')}", "Server: kokoro-bench mock-server"]
    lines.append(f"Content-Type: {answer.content_type or right}")
    lines += [f"{name}: {value}" for name, value in answer.headers]
    if answer.gzip:
        lines.append("Content-Encoding: gzip")
    lines.append(
        {
            Framing.CHUNKED: "Transfer-Encoding: chunked",
            Framing.LENGTH: f"Content-Length: {length}",
            Framing.UNTIL_CLOSE: "Connection: close",
        }[framing]
    )
    return ("\r\n".join(lines) + "\r\n\r\n").encode()


def frame_body(sent: Sent, framing: Framing) -> bytes:
    """A chunk of the body with its transfer encoding."""
    if not sent.body or framing is not Framing.CHUNKED:
        return sent.body
    return f"{len(sent.body):x}\r\n".encode() + sent.body + b"\r\n"
