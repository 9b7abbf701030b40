"""The scripted server's log: what it saw and did, one JSON object a line, to hold a client's figures against.

All times are nanoseconds of the machine's monotonic clock, which every process of the machine shares.
"""

import json
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, TextIO

from harness.server.mock.http import Request


@dataclass(frozen=True, slots=True, kw_only=True)
class Piece:
    """One write to the connection: when, and how many bytes of body and frames of audio it carried.

    Bytes are those of the body, without the head and without the framing of chunks.
    """

    sent_ns: int
    body_bytes: int
    frames: int


@dataclass(slots=True, kw_only=True)
class Answered:
    """How a request for speech was answered; times in ns of the monotonic clock.

    `number` counts such requests from 0; `now_open` is how many were open when it came, itself included; `turn_ns` is
    when the script's answer to it began; `complete` says whether all of that answer was sent; `gone_ns` is when the
    client went away, None where it did not.
    """

    text: str
    number: int
    connection: int
    now_open: int
    turn_ns: int
    status: int = 200
    pieces: Sequence[Piece] = ()
    end_ns: int = 0
    complete: bool = False
    gone_ns: int | None = None


class RequestLog:
    """Writes the lines; without a file it does nothing."""

    def __init__(self, out: TextIO | None) -> None:
        self._out = out

    def connection(self, number: int, *, accepted_ns: int) -> None:
        """A connection was accepted; connections count from 1."""
        self._write({"kind": "connection", "connection": number, "accepted_ns": accepted_ns})

    def answer(self, request: Request, answered: Answered) -> None:
        """A request for speech has been answered, or its client has gone."""
        pieces = answered.pieces
        self._write(
            {
                "kind": "answer",
                "text": answered.text,
                "asked_ns": _asked_ns(request),
                "sent_ns": [each.sent_ns for each in pieces],
                "sent_bytes": [each.body_bytes for each in pieces],
                "sent_frames": [each.frames for each in pieces],
                "number": answered.number,
                "connection": answered.connection,
                "open": answered.now_open,
                "turn_ns": answered.turn_ns,
                **_as_received(request),
                "status": answered.status if pieces else None,
                "bytes": sum(each.body_bytes for each in pieces),
                "frames": sum(each.frames for each in pieces),
                "end_ns": answered.end_ns,
                "complete": answered.complete,
                "gone_ns": answered.gone_ns,
            }
        )

    def other(self, request: Request, *, connection: int, now_open: int, status: int, end_ns: int) -> None:
        """Any other request: health, voices, state, and one for speech that was refused as malformed."""
        self._write(
            {
                "kind": "other",
                "asked_ns": _asked_ns(request),
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


def _asked_ns(request: Request) -> int:
    return round(request.at * 1e9)


def _as_received(request: Request) -> dict[str, Any]:
    """The request as it came over the connection. A body that is no JSON is kept as text; a key is not kept."""
    try:
        body = json.loads(request.body) if request.body else None
    except ValueError:
        body = request.body.decode("utf-8", errors="replace")
    headers = dict(request.headers)
    if "authorization" in headers:
        scheme, _, key = headers["authorization"].partition(" ")
        # A log is passed around; that a key was sent, and of what length, is all that has to be known of it.
        headers["authorization"] = f"{scheme} ({len(key)} characters)"
    return {"method": request.method, "path": request.path, "headers": headers, "body": body}
