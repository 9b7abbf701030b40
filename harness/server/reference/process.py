"""A server as a process: its socket, its signals, its end."""

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
"""Beyond so many open connections uvicorn refuses by itself: the last defence, far above the server's own limit."""
IDLE_S = 30
"""Seconds that a connection is kept open between two requests."""


class _Server(uvicorn.Server):
    """Begins no more answers from the signal on, while those in progress are waited for."""

    def __init__(self, config: uvicorn.Config, service: "Service") -> None:
        super().__init__(config)
        self._service = service

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """SIGTERM, or Ctrl-C."""
        self._service.drain()
        super().handle_exit(sig, frame)


def bind(host: str, port: int) -> socket.socket:
    """A listening socket; port 0 takes a free one. UsageError where it cannot be had."""
    try:
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
        return socket.create_server((host, port), family=family, backlog=512)
    except OSError as error:
        remedy = "--port 0 takes a free one, --host 127.0.0.1 is this machine alone"
        raise UsageError(f"cannot listen: {error.strerror or error}", where=f"{host}:{port}", remedy=remedy) from error


def make_server(service: "Service") -> uvicorn.Server:
    """A server of `service`, which ends by itself where the service cannot load."""
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
    """Until SIGTERM or Ctrl-C, and then until the answers in progress have ended. Raises why it could not load."""
    server = make_server(service)
    # uvicorn raises the signal again once it has stopped; by then it has been obeyed.
    before = {each: signal.signal(each, _obeyed) for each in (signal.SIGTERM, signal.SIGINT)}
    try:
        server.run(sockets=[listening])
    finally:
        for each, handler in before.items():
            signal.signal(each, handler)
        listening.close()
    if service.failure is not None:
        raise service.failure


def _obeyed(_signal: int, _frame: FrameType | None) -> None:
    """Nothing is left to do."""
