"""The dashboard: the report's site, a live page, `/healthz` and `/metrics`. Read-only; on loopback by default.

Built on the standard library: it answers a handful of people, and must never be a reason why a run is slower.
"""

import json
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib.resources import files
from ipaddress import ip_address
from pathlib import Path
from typing import Any, Final
from urllib.parse import unquote, urlsplit

import msgspec

from harness.core.errors import BenchError, UsageError
from harness.core.redaction import published_record, published_text
from harness.schedule import prometheus
from harness.schedule.status import Overview
from harness.store.exports.openmetrics import Result

STALE_S: Final = 180.0
"""A daemon idle for longer (s) is unhealthy: nothing that it waits for takes that long."""
APART_S: Final = 1.0
"""The overview is read at most once in this time (s), for all clients together."""
LIVE_PAGES: Final = 32
"""Limit of live pages open at the same time."""
SILENT_S: Final = 15.0
"""After this time (s) without a change a comment is sent, so that a closed page is detected."""

TYPES: Final = {
    ".html": "text/html; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".json": "application/json",
    ".svg": "image/svg+xml",
    ".png": "image/png",
    ".wav": "audio/wav",
    ".txt": "text/plain; charset=utf-8",
    ".gz": "application/gzip",
}
"""The file types of the site that are served."""
OWN: Final = {"/live": "live.html", "/live.css": "live.css", "/live.js": "live.js"}
POLICY: Final = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; base-uri 'none'"
LOOPBACK: Final = ("localhost", "127.0.0.1", "::1")


@dataclass(frozen=True, slots=True, kw_only=True)
class Address:
    """Where to listen; port 0 takes a free one."""

    host: str
    port: int

    @property
    def loopback(self) -> bool:
        """Whether only this machine can reach it."""
        try:
            return self.host == "localhost" or ip_address(self.host).is_loopback
        except ValueError:
            return False


def parse_address(text: str) -> Address:
    """`PORT`, `:PORT` or `HOST:PORT`; loopback where no host is given. UsageError for anything else."""
    host, _, port = text.rpartition(":")
    host = host.strip("[]") or "127.0.0.1"
    if not port.isdecimal() or int(port) > 65_535:
        raise UsageError("not an address", where=f"--http {text}", remedy="--http 127.0.0.1:8321")
    return Address(host=host, port=int(port))


@dataclass(slots=True)
class Source:
    """The overview, read at most once a second, how long ago the daemon was last at work (s), and the last results."""

    read: Callable[[], Overview]
    silent_s: Callable[[], float]
    results: Callable[[], Sequence[Result]] = tuple
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _at: float = float("-inf")
    _last: Overview | None = None
    _live: tuple[Overview, bytes, bytes] | None = None

    def overview(self) -> Overview:
        """The state of a moment ago."""
        with self._lock:
            if self._last is None or time.monotonic() - self._at >= APART_S:
                self._last, self._at = self.read(), time.monotonic()
            return self._last

    def live(self) -> tuple[bytes, bytes]:
        """The state without its times, and the event for a live page. They are encoded once for all pages."""
        found = self.overview()
        with self._lock:
            if self._live is None or self._live[0] is not found:
                self._live = found, _encoded(found, still=True), b"data: " + _encoded(found) + b"\n\n"
            return self._live[1:]


class Dashboard:
    """A server in threads of its own. `port` is the one that it listens on.

    Each `poll_s` seconds it looks whether it is to end; seldom, because that takes time from what is measured.
    """

    def __init__(self, source: Source, *, site: Path, address: Address, poll_s: float = 0.5) -> None:
        self._stop = threading.Event()
        room = threading.BoundedSemaphore(LIVE_PAGES)
        handler = type(
            "Handler",
            (_Handler,),
            {"source": source, "site": site, "checked": address.loopback, "stop": self._stop, "room": room},
        )
        try:
            self._server = _Server((address.host, address.port), handler)
        except OSError as error:
            raise UsageError(
                f"cannot listen: {error.strerror or error}",
                where=f"--http {address.host}:{address.port}",
                remedy="choose another port, or 0 for a free one",
            ) from error
        self._thread = threading.Thread(
            target=self._server.serve_forever, args=(poll_s,), name="dashboard", daemon=True
        )
        self._thread.start()

    @property
    def port(self) -> int:
        return int(self._server.server_address[1])

    def close(self) -> None:
        """End it, and every page's stream."""
        self._stop.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False

    def handle_error(self, request: Any, client_address: Any) -> None:  # noqa: ANN401 - the base's signature
        """A reader that has gone is no event."""


class _Handler(BaseHTTPRequestHandler):
    source: Source
    site: Path
    checked: bool
    stop: threading.Event
    room: threading.BoundedSemaphore
    protocol_version = "HTTP/1.1"
    server_version = "kokoro-bench"
    sys_version = ""
    timeout = 30

    def do_GET(self) -> None:
        try:
            self._answer()
        except BenchError as error:
            self._send(HTTPStatus.SERVICE_UNAVAILABLE, f"{error}\n")

    do_HEAD = do_GET  # noqa: N815 - the base's name

    def log_message(self, *_: object) -> None:
        """Requests are no part of the scheduler's log."""

    def _answer(self) -> None:
        if self.checked and not self._asked_for_us():
            # A page of another site that had its name point here must not read this one.
            self._send(HTTPStatus.FORBIDDEN, "this dashboard answers to its own address only\n")
            return
        path = unquote(urlsplit(self.path).path, errors="replace")
        if path in OWN:
            content = files("harness.schedule").joinpath("live", OWN[path]).read_bytes()
            self._send(HTTPStatus.OK, content, kind=TYPES[Path(OWN[path]).suffix])
        elif path == "/live/state":
            self._send(HTTPStatus.OK, _encoded(self.source.overview()), kind="application/json")
        elif path == "/live/events":
            self._stream()
        elif path == "/metrics":
            found = prometheus.exposition(
                self.source.overview(), self.source.results(), accept=self.headers.get("accept", "")
            )
            self._send(HTTPStatus.OK, found.content, kind=found.content_type)
        elif path == "/healthz":
            self._health()
        elif (file := site_file(self.site, path)) is not None:
            self._send(HTTPStatus.OK, file.read_bytes(), kind=TYPES[file.suffix.lower()], policy="")
        elif path == "/":
            self._redirect("/live")
        else:
            self._send(HTTPStatus.NOT_FOUND, "not found\n")

    def _health(self) -> None:
        silent_s = self.source.silent_s()
        if silent_s > STALE_S:
            self._send(HTTPStatus.SERVICE_UNAVAILABLE, f"the scheduler has been idle for {silent_s:.0f} s\n")
            return
        self.source.overview()  # the store answers, or says why not
        self._send(HTTPStatus.OK, "ok\n")

    def _stream(self) -> None:
        """Server-sent events: the state now, and again whenever it changes."""
        if self.command == "HEAD" or not self.room.acquire(blocking=False):
            self._send(HTTPStatus.SERVICE_UNAVAILABLE, "too many live pages are open\n")
            return
        try:
            self._head(HTTPStatus.OK, "text/event-stream", length=None, policy=POLICY)
            self.close_connection = True
            last, sent_at = b"", time.monotonic()
            while not self.stop.is_set():
                try:
                    state, line = self.source.live()
                except BenchError as error:
                    state = line = b"event: trouble\ndata: " + json.dumps(published_text(str(error))).encode() + b"\n\n"
                if state != last or time.monotonic() - sent_at >= SILENT_S:
                    self.wfile.write(line)
                    self.wfile.flush()
                    last, sent_at = state, time.monotonic()
                self.stop.wait(APART_S)
        except OSError:
            pass  # the page was closed
        finally:
            self.room.release()

    def _asked_for_us(self) -> bool:
        host = urlsplit(f"//{self.headers.get('host', '')}").hostname
        return host in LOOPBACK

    def _redirect(self, to: str) -> None:
        self.send_response(HTTPStatus.FOUND)
        self.send_header("location", to)
        self.send_header("content-length", "0")
        self.end_headers()

    def _send(
        self, status: HTTPStatus, content: bytes | str, *, kind: str = "text/plain; charset=utf-8", policy: str = POLICY
    ) -> None:
        body = content.encode() if isinstance(content, str) else content
        self._head(status, kind, length=len(body), policy=policy)
        if self.command != "HEAD":
            self.wfile.write(body)

    def _head(self, status: HTTPStatus, kind: str, *, length: int | None, policy: str) -> None:
        self.send_response(status)
        headers = {"content-type": kind, "cache-control": "no-store", "x-content-type-options": "nosniff"}
        headers |= {"referrer-policy": "no-referrer", "x-frame-options": "DENY"}
        headers |= {"content-length": str(length)} if length is not None else {"connection": "close"}
        headers |= {"content-security-policy": policy} if policy else {}  # the site's pages bring their own
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()


def site_file(site: Path, path: str) -> Path | None:
    """The file of the site that a request's path means; None for anything outside it, hidden, or of another kind."""
    parts = path.removeprefix("/").split("/")
    if parts[-1] == "":
        parts[-1] = "index.html"
    if any(not part or part.startswith(".") or "\\" in part or "\0" in part or ":" in part for part in parts):
        return None
    file = site.joinpath(*parts)
    if file.suffix.lower() not in TYPES:
        return None
    try:
        root, found = site.resolve(strict=True), file.resolve(strict=True)
    except (OSError, ValueError, RuntimeError):
        return None
    return found if found.is_file() and found.is_relative_to(root) else None


def _encoded(found: Overview, *, still: bool = False) -> bytes:
    """The overview as JSON, without the user's folders. `still` leaves out the times, which change constantly."""
    if still:
        scheduler = replace(found.scheduler, seen_at=0.0) if found.scheduler else None
        found = replace(found, now=0.0, keeper=scheduler)  # codespell:ignore keeper
    return msgspec.json.encode(published_record(found))
