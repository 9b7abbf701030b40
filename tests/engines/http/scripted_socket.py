"""Sockets of a scripted server in scripted time: what the endpoint engine stamps is what the script says.

The bytes are the mock server's own. Nothing waits: where the engine would wait for the next bytes, the clock is put
forward to when they are sent.
"""

import json
from collections import deque
from dataclasses import dataclass, field

from harness.core.clock import ScriptedClock
from harness.server.mock.http import answer_head, frame_body
from harness.server.mock.script import End, Framing, Script
from harness.server.mock.server import parse_request
from harness.server.mock.timeline import ReceivedRequest, streams, timeline

NS_PER_MS = 1_000_000


@dataclass(kw_only=True)
class ScriptedServer:
    """Answers requests of all its connections by `script`."""

    script: Script
    clock: ScriptedClock
    bodies: list[bytes] = field(default_factory=list)

    def connect(self, *_given: object, **_named: object) -> "ScriptedSocket":
        """Stand in for `harness.engines.http.connection.open_socket`."""
        return ScriptedSocket(self)


class ScriptedSocket:
    """The client's end of one connection."""

    def __init__(self, server: ScriptedServer) -> None:
        self._server = server
        self._coming: deque[tuple[int, bytes | End]] = deque()
        self._timeout_s = 0.0

    def settimeout(self, seconds: float) -> None:
        """How long `recv` may wait, in seconds."""
        self._timeout_s = seconds

    def sendall(self, request: bytes) -> None:
        """Take a whole request, and note what is sent when."""
        server = self._server
        _, _, body = request.partition(b"\r\n\r\n")
        asked = parse_request(body, server.script)
        assert isinstance(asked, ReceivedRequest), json.dumps(asked)
        at_once = server.script.cached and body in server.bodies
        answer = server.script.answer(len(server.bodies))
        server.bodies.append(body)
        sent = list(timeline(answer, asked))
        framing = answer.framing if streams(answer, asked) else Framing.LENGTH
        length = sum(len(each.body) for each in sent) + answer.missing
        head, now_ns = answer_head(answer, asked, framing, length=length), server.clock.now_ns()
        for each in sent:
            at_ns = now_ns + (0 if at_once else round(each.at_ms * NS_PER_MS))
            if payload := head + frame_body(each, framing):
                self._coming.append((at_ns, payload))
            head = b""
            if each.end is not None:
                self._coming.append((at_ns, each.end))
                return
        if framing is Framing.CHUNKED:
            self._coming.append((at_ns, b"0\r\n\r\n"))

    def recv(self, size: int) -> bytes:
        """The next bytes when they are sent; TimeoutError, ConnectionResetError or b"" as the script says."""
        clock = self._server.clock
        at_ns, what = self._coming[0] if self._coming else (clock.now_ns(), End.CLOSE)
        wait_s = (at_ns - clock.now_ns()) / 1e9
        if what is End.HANG or wait_s > self._timeout_s:
            clock.sleep(self._timeout_s)
            raise TimeoutError
        clock.sleep(wait_s)
        if what is End.RESET:
            raise ConnectionResetError(104, "Connection reset by peer")
        if isinstance(what, End):
            return b""
        self._coming.popleft()
        if len(what) > size:
            self._coming.appendleft((at_ns, what[size:]))
        return what[:size]

    def close(self) -> None:
        """Nothing is to be freed."""
