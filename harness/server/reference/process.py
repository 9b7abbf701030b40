"""Runs the server in this process: socket, signals and shutdown."""

import signal
import socket
from types import FrameType
from typing import TYPE_CHECKING

import uvicorn

from harness.core.errors import UsageError
from harness.server.reference.app import create_app

if TYPE_CHECKING:
    from harness.server.reference.service import Service

CONNECTIONS = 1_000
"""uvicorn refuses more open connections than this, far above the server's own limit."""
IDLE_S = 30
"""Seconds that a connection is kept open between two requests."""


class _Server(uvicorn.Server):
    """Starts no answers after a signal, and waits for those in progress."""

    def __init__(self, config: uvicorn.Config, service: "Service") -> None:
        super().__init__(config)
        self._service = service

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        self._service.drain()
        super().handle_exit(sig, frame)


def bind(host: str, port: int) -> socket.socket:
    """A listening socket; port 0 takes a free one. Raises UsageError if it cannot listen."""
    try:
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
        return socket.create_server((host, port), family=family, backlog=512)
    except OSError as error:
        remedy = "--port 0 takes a free one, --host 127.0.0.1 accepts only this machine"
        raise UsageError(f"cannot listen: {error.strerror or error}", where=f"{host}:{port}", remedy=remedy) from error


def make_server(service: "Service") -> uvicorn.Server:
    """A server of `service`. It ends if the service fails to load."""
    made: list[_Server] = []

    def stop() -> None:
        for server in made:
            server.should_exit = True

    config = uvicorn.Config(
        create_app(service, failed=stop),
        lifespan="on",
        loop="asyncio",
        http="h11",
        ws="none",
        log_level="critical",
        access_log=False,
        server_header=False,
        limit_concurrency=CONNECTIONS,
        timeout_keep_alive=IDLE_S,
        timeout_graceful_shutdown=round(service.settings.drain_s),
    )
    made.append(_Server(config, service))
    return made[0]


def serve(service: "Service", listening: socket.socket) -> None:
    """Serve until SIGTERM or Ctrl-C and the end of the answers in progress. Raises the failure to load, if any."""
    server = make_server(service)
    # uvicorn raises the signal again after it has stopped; ignore it then.
    before = {each: signal.signal(each, _ignore_signal) for each in (signal.SIGTERM, signal.SIGINT)}
    try:
        server.run(sockets=[listening])
    finally:
        for each, handler in before.items():
            signal.signal(each, handler)
        listening.close()
    if service.failure is not None:
        raise service.failure


def _ignore_signal(_signal: int, _frame: FrameType | None) -> None:
    """Ignore a signal that was already handled."""
