"""The command of a server, as a worker receives it. This module needs the standard library alone."""

import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

KILL_S = 5.0
"""Seconds for killed processes to disappear."""
PORT = "{port}"
"""What stands for the port in a command and in the values of its environment."""
FIRST_ANSWER = "first answer"
"""A server is ready when it answers an empty request for speech, with any status other than 502, 503 and 504."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerCommand:
    """How a server is started, recognised as ready, and stopped. Times are in seconds.

    `environment` is what the user adds to `inherited`, the environment of the harness. `ready` is a path, or
    FIRST_ANSWER. `port` 0 is a free port for each start. `logs` is the folder of the logs of this run.
    """

    name: str
    command: tuple[str, ...]
    cwd: str = ""
    environment: Mapping[str, str] = field(default_factory=dict)
    inherited: Mapping[str, str] = field(default_factory=dict)
    ready: str = FIRST_ANSWER
    timeout_s: float = 120.0
    stop_signal: str = "SIGTERM"
    stop_timeout_s: float = 10.0
    port: int = 0
    logs: str = ""


def with_port(text: str, port: int) -> str:
    """`text` with the port in place of `{port}`. Other braces stay: an argument may be JSON."""
    return text.replace(PORT, str(port))


def running_file(order: ServerCommand, worker: int) -> Path:
    """The file that exists while a server that process `worker` has started may be running."""
    return Path(order.logs) / f"{worker}.running"


def running_server(order: ServerCommand, worker: int) -> int:
    """The first process of the server of a worker, which leads a process group; 0 if none runs."""
    try:
        return int(running_file(order, worker).read_text(encoding="ascii") or 0)
    except (OSError, ValueError):
        return 0


def await_stopped(order: ServerCommand, worker: int) -> None:
    """Wait until the supervisor has stopped the server of a worker that has ended, even if the worker was killed."""
    running = running_file(order, worker)
    deadline = time.monotonic() + order.stop_timeout_s + KILL_S
    while running.exists() and time.monotonic() < deadline:
        time.sleep(0.01)
