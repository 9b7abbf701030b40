"""The mock server's log: its requests and answers, one JSON object per line, to compare with a client's values.

All times are nanoseconds of the machine's monotonic clock, which every process of the machine shares.
"""

import json
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from harness.server.mock.http import Request


@dataclass(frozen=True, slots=True, kw_only=True)
class SentChunk:
    """One write to the connection: its time, its bytes of body and its frames of audio.

    The bytes exclude the head and the chunked transfer encoding.
    """

    sent_ns: int
    body_bytes: int
    frames: int


@dataclass(slots=True, kw_only=True)
class LoggedAnswer:
    """The answer to a speech request; times in ns of the monotonic clock.

    `number` counts speech requests from 0. `now_open` is the number of open requests at its arrival, including itself.
    `turn_ns` is the start of the script's answer. `complete` says whether the whole answer was sent. `gone_ns` is when
    the client disconnected, or None.
    """

    text: str
    number: int
    connection: int
    now_open: int
    turn_ns: int
    status: int = 200
    chunks: Sequence[SentChunk] = ()
    end_ns: int = 0
    complete: bool = False
    gone_ns: int | None = None


class LineWriter(Protocol):
    """Where the log goes: a text file, or what stands for one."""

    def write(self, line: str, /) -> object:
        """Write a line, with its line feed."""


class RequestLog:
    """Writes the log. Without a file it does nothing."""

    def __init__(self, out: LineWriter | None) -> None:
        self._out = out

    def connection(self, number: int, *, accepted_ns: int) -> None:
        """Log an accepted connection; connections count from 1."""
        self._write({"kind": "connection", "connection": number, "accepted_ns": accepted_ns})

    def answer(self, request: Request, answered: LoggedAnswer) -> None:
        """Log a speech request that was answered, or whose client has disconnected."""
        chunks = answered.chunks
        self._write(
            {
                "kind": "answer",
                "text": answered.text,
                "asked_ns": _received_ns(request),
                "sent_ns": [each.sent_ns for each in chunks],
                "sent_bytes": [each.body_bytes for each in chunks],
                "sent_frames": [each.frames for each in chunks],
                "number": answered.number,
                "connection": answered.connection,
                "open": answered.now_open,
                "turn_ns": answered.turn_ns,
                **_as_received(request),
                "status": answered.status if chunks else None,
                "bytes": sum(each.body_bytes for each in chunks),
                "frames": sum(each.frames for each in chunks),
                "end_ns": answered.end_ns,
                "complete": answered.complete,
                "gone_ns": answered.gone_ns,
            }
        )

    def other(self, request: Request, *, connection: int, now_open: int, status: int, end_ns: int) -> None:
        """Log any other request, including a malformed speech request that was refused."""
        self._write(
            {
                "kind": "other",
                "asked_ns": _received_ns(request),
                "connection": connection,
                "open": now_open,
                **_as_received(request),
                "status": status,
                "end_ns": end_ns,
            }
        )

    def _write(self, line: dict[str, Any]) -> None:
        if self._out is not None:
            line["cpu_ns"] = time.process_time_ns()
            self._out.write(json.dumps(line) + "\n")


def _received_ns(request: Request) -> int:
    return round(request.at * 1e9)


def _as_received(request: Request) -> dict[str, Any]:
    """The received request. A body that is no JSON is kept as text; an API key is not kept."""
    try:
        body = json.loads(request.body) if request.body else None
    except ValueError:
        body = request.body.decode("utf-8", errors="replace")
    headers = dict(request.headers)
    if "authorization" in headers:
        scheme, _, key = headers["authorization"].partition(" ")
        # Logs are shared, so keep only the length of a key.
        headers["authorization"] = f"{scheme} ({len(key)} characters)"
    return {"method": request.method, "path": request.path, "headers": headers, "body": body}
