"""What is connected to the product in a soak: live pages of the dashboard, and a webhook that gets the alerts."""

import contextlib
import http.client
import json
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

AGAIN_S = 1.0
SILENT_S = 60.0
"""A live page that receives nothing for so long (s) gives up its connection; the dashboard speaks every 15 s."""


@dataclass(slots=True)
class LivePage:
    """One live page: it stays connected, connects again, and keeps count."""

    port: int
    stop: threading.Event
    connections: int = 0
    refused: int = 0
    """Answers other than 200: the dashboard was there and did not want it."""
    silences: int = 0
    events: int = 0
    broken: int = 0
    """Events that are no JSON, without the last one of a connection that ended."""
    last: dict[str, Any] = field(default_factory=dict)

    def listen(self) -> None:
        """Stay connected until `stop` is set; a connection that ends is opened again after `AGAIN_S` seconds."""
        while not self.stop.is_set():
            with contextlib.suppress(OSError, http.client.HTTPException):
                self._connected()
            self.stop.wait(AGAIN_S)

    def _connected(self) -> None:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=SILENT_S)
        try:
            connection.request("GET", "/live/events")
            answer = connection.getresponse()
            if answer.status != http.HTTPStatus.OK:
                self.refused += 1
                return
            self.connections += 1
            while not self.stop.is_set() and (line := answer.readline()):
                if line.startswith(b"data: ") and line.endswith(b"\n"):
                    self._receive(line.removeprefix(b"data: "))
        except TimeoutError:
            self.silences += 1
        finally:
            connection.close()

    def _receive(self, line: bytes) -> None:
        self.events += 1
        try:
            found = json.loads(line)
        except ValueError:
            self.broken += 1
        else:
            self.last = found if isinstance(found, dict) else self.last


class Audience:
    """Several live pages, each in a thread."""

    def __init__(self, port: int, count: int) -> None:
        self._stop = threading.Event()
        self.pages = [LivePage(port=port, stop=self._stop) for _ in range(count)]
        self._threads = [threading.Thread(target=page.listen, daemon=True) for page in self.pages]
        for thread in self._threads:
            thread.start()

    def close(self) -> None:
        """Let all leave; they may have to wait for the next event."""
        self._stop.set()
        for thread in self._threads:
            thread.join(timeout=AGAIN_S)


class Webhook:
    """Receives alerts. With `armed` the sender of the next one is killed before it gets an answer."""

    def __init__(self, kill_sender: Callable[[], None]) -> None:
        self.got: list[dict[str, Any]] = []
        self.armed = False
        hook = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["content-length"])))
                hook.got.append(body | {"got_at": time.time(), "idempotency-key": self.headers["idempotency-key"]})
                if hook.armed:
                    hook.armed = False
                    kill_sender()
                    self.close_connection = True
                    return
                self.send_response(http.HTTPStatus.NO_CONTENT)
                self.end_headers()

            def log_message(self, *_: object) -> None:
                """Quiet."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}/alerts"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
