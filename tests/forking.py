"""Commands that are started by a fork of a process which has imported already what they import.

The imports are most of the CPU time of a short command. A command that is started here is a process of its own, with
its own environment, directory, streams and signals; only its interpreter did not start from nothing. Its workers are
forked as well, from itself. What is about the start itself (closed streams, the locale, an interpreter of another
environment) is tested with a true start.
"""

import array
import atexit
import inspect
import json
import os
import re
import select
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

SERVER: Final = Path(__file__).with_name("fork_server.py")
# A script's own folder would come first in its path, and what is in this one would be importable for the commands.
START: Final = "import runpy, sys; del sys.path[0]; runpy.run_path(sys.argv[1], run_name='__main__')"
COMMAND: Final = (sys.executable, "-m", "harness.cli")
NUMBER: Final = 4
"""Bytes of each number that goes over a socket, little endian."""
OURS: Final = {**os.environ, "PYTHONUTF8": "1"}
"""The environment of the process that forks."""
LATE: Final = re.compile(
    r"KOKORO_BENCH_.*|PYTEST_.*|GITHUB_STEP_SUMMARY|XDG_STATE_HOME|COLUMNS|TZ|PWD|KMP_INIT_AT_FORK|SSL_CERT_FILE"
)
"""Variables that are read when they are needed. A command for which any other differs gets a true start."""
SHARED: Final = "PYTEST_FORK_SERVER"
"""The variable with the address of a process that forks for several, which import once what commands import."""
SUPPORTED: Final = sys.platform == "linux"
"""Elsewhere a fork after such imports is not safe, or there is none."""


class _Server:
    """The process that forks: one of another process's, which `SHARED` names, or one that ends with this process.

    It kills the commands of a process that has ended: their sockets are held by that process alone.
    """

    def __init__(self, python: str | Path = sys.executable) -> None:
        self.owner = os.getpid()
        self._lock = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None
        if python == sys.executable and (address := os.environ.get(SHARED)):
            self._socket = socket.socket(socket.AF_UNIX)
            self._socket.connect(f"\0{address}")
            return
        self._socket, theirs = socket.socketpair()
        with theirs:
            self._process = subprocess.Popen(
                [python, "-c", START, str(SERVER), str(theirs.fileno())],
                env=OURS,
                cwd="/",
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
            )

    def ask(self, request: Mapping[str, Any], descriptors: Sequence[int]) -> None:
        """Have a command started, with the streams and the status socket that are given."""
        body = json.dumps(request).encode()
        with self._lock:
            ancillary = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", descriptors))]
            self._socket.sendmsg([len(body).to_bytes(NUMBER, "little")], ancillary)
            self._socket.sendall(body)

    def share(self) -> None:
        """Let the processes that this one starts use it."""
        assert self._process is not None
        address = f"kokoro-bench-tests-{self._process.pid}"
        with socket.socket(socket.AF_UNIX) as listener:
            listener.bind(f"\0{address}")
            listener.listen()
            self.ask({"listen": True}, [listener.fileno()])
        os.environ[SHARED] = address

    def close(self) -> None:
        """End the process, if it is ours: a fork of the tests' own has a copy of this object."""
        self._socket.close()
        if self._process is None:
            return
        if self.owner == os.getpid():
            self._process.wait()
        else:
            self._process.returncode = 0  # it is no child of this process


_server: _Server | None = None
_starting = threading.Lock()


def _the_server() -> _Server:
    global _server  # noqa: PLW0603 - one for each process of the tests
    with _starting:
        if _server is None or _server.owner != os.getpid():
            close()
            _server = _Server()
        return _server


def share() -> None:
    """Start the process that forks, for the processes that this one is about to start as well."""
    if SUPPORTED and SHARED not in os.environ:
        _the_server().share()


def close() -> None:
    """End the process that forks, if there is one."""
    global _server  # noqa: PLW0603
    if _server is not None:
        _server.close()
        _server = None


atexit.register(close)


class Interpreter:
    """The interpreter of another environment, started once: `interpreter=` of `Started` and `run` forks it."""

    def __init__(self, python: Path) -> None:
        self.python = str(python)
        self.server: Final = _Server(python) if SUPPORTED else None

    def close(self) -> None:
        """End it, with the commands that are still running."""
        if self.server is not None:
            self.server.close()


class Started(subprocess.Popen[str]):
    """`kokoro-bench ARGUMENTS` as a process, with the parameters and methods of `subprocess.Popen`.

    It is started truly where the environment has what is read before a command begins.
    """

    def __init__(
        self, *arguments: str, env: Mapping[str, str], interpreter: Interpreter | None = None, **given: Any
    ) -> None:
        self._interpreter = interpreter
        command = (interpreter.python, *COMMAND[1:]) if interpreter else COMMAND
        self._forked = SUPPORTED and not differing(env) and not given.keys() & {"preexec_fn", "pass_fds"}
        super().__init__([*command, *arguments], env=env, **{"text": True, **given})

    # The three methods of subprocess.Popen in which a process is started and awaited.

    def _execute_child(self, *given: Any) -> None:
        started = super()._execute_child  # type: ignore[misc]
        if not self._forked:
            started(*given)
            return
        named = inspect.signature(started).bind(*given).arguments
        request = {
            "arguments": named["args"][len(COMMAND) :],
            "directory": str(Path(named["cwd"] or "").absolute()),
            "environment": dict(named["env"]),
            "session": named["start_new_session"],
            "group": named["process_group"],
        }
        pipes = [named[name] for name in ("p2cread", "c2pwrite", "errwrite")]
        self._status, theirs = socket.socketpair()
        with theirs:
            streams = [pipe if pipe >= 0 else number for number, pipe in enumerate(pipes)]
            server = (self._interpreter and self._interpreter.server) or _the_server()
            server.ask(request, [*streams, theirs.fileno()])
        self.pid = self._number()
        self._child_created = True
        ends = ("p2cread", "p2cwrite", "c2pread", "c2pwrite", "errread", "errwrite")
        self._close_pipe_fds(*(named[name] for name in ends))  # type: ignore[attr-defined]

    def _internal_poll(self, *given: Any, **named: Any) -> int | None:
        if not self._forked:
            return super()._internal_poll(*given, **named)  # type: ignore[misc, no-any-return]
        if self.returncode is None and self._ended(0):
            return self._wait(None)
        return self.returncode

    def _wait(self, timeout: float | None) -> int:
        if not self._forked:
            return super()._wait(timeout)  # type: ignore[misc, no-any-return]
        with self._waitpid_lock:  # type: ignore[attr-defined]
            if self.returncode is None:
                if not self._ended(timeout):
                    assert timeout is not None
                    raise subprocess.TimeoutExpired(self.args, timeout)
                self.returncode = os.waitstatus_to_exitcode(self._number())
                self._status.close()
        return self.returncode

    def _ended(self, timeout: float | None) -> bool:
        return bool(select.select([self._status], [], [], timeout)[0])

    def _number(self) -> int:
        found = self._status.recv(NUMBER, socket.MSG_WAITALL)
        if len(found) < NUMBER:
            self._status.close()
            self.returncode = -1
            raise RuntimeError("the process that forks for the tests has ended; its reason is in standard error")
        return int.from_bytes(found, "little")


def run(
    *arguments: str, typed: str | None = None, timeout: float | None = None, **given: Any
) -> subprocess.CompletedProcess[str]:
    """`kokoro-bench ARGUMENTS` to its end, with what is `typed` as standard input; its output captured as text."""
    source = subprocess.DEVNULL if typed is None else subprocess.PIPE
    streams = {"stdin": source, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "encoding": "utf-8"}
    with Started(*arguments, **{**streams, **given}) as process:
        try:
            out, err = process.communicate(typed, timeout)
        except BaseException:
            process.kill()
            raise
    return subprocess.CompletedProcess(process.args, process.returncode, out, err)


CLIENT: Final = """\
#!{python} -IS
import json, os, socket, sys
if sys.argv[1:2] == ["mock-server"]:  # whoever starts a server finds it among its own processes
    os.execv({python!r}, [{python!r}, "-m", "harness.cli", *sys.argv[1:]])
asking = socket.socket(socket.AF_UNIX)
asking.connect({address!r})
request = {{
    "arguments": sys.argv[1:], "directory": os.getcwd(), "environment": dict(os.environ), "session": False, "group": -1,
}}
body = json.dumps(request).encode()
status, theirs = socket.socketpair()
socket.send_fds(asking, [len(body).to_bytes({number}, "little")], [0, 1, 2, theirs.fileno()])
theirs.close()
asking.sendall(body)
numbers = status.recv(2 * {number}, socket.MSG_WAITALL)
sys.exit(os.waitstatus_to_exitcode(int.from_bytes(numbers[{number}:], "little")) & 0xFF)
"""
"""A command for a shell. It passes its request and its streams on, and ends with the status of the forked command."""
PLAIN_CLIENT: Final = '#!/bin/sh\nexec "{python}" -m harness.cli "$@"\n'


@contextmanager
def command_in(folder: Path) -> Iterator[Path]:
    """Make a folder below `folder` with the command `kokoro-bench`, for the PATH of a shell. Its path must be short."""
    address, found = str(folder / "socket"), folder / "bin"
    found.mkdir()
    command = found / "kokoro-bench"
    text = CLIENT if SUPPORTED else PLAIN_CLIENT
    command.write_text(text.format(python=sys.executable, address=address, number=NUMBER), encoding="utf-8")
    command.chmod(0o755)
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(address)
        listener.listen()
        forwarding = threading.Thread(target=_forward, args=(listener,), daemon=True)
        forwarding.start()
        yield found
        listener.shutdown(socket.SHUT_RDWR)  # wakes the thread
        forwarding.join()


def _forward(listener: socket.socket) -> None:
    """Pass on the requests of commands in a shell, until the listener is shut down."""
    while True:
        try:
            asking, _ = listener.accept()
        except OSError:
            return
        with asking:
            size, descriptors, _, _ = socket.recv_fds(asking, NUMBER, 4)
            body = asking.recv(int.from_bytes(size, "little"), socket.MSG_WAITALL)
            _the_server().ask(json.loads(body), descriptors)
        for descriptor in descriptors:
            os.close(descriptor)


def differing(environment: Mapping[str, str]) -> set[str]:
    """Variables that are read before a command begins, and that the process which forks has otherwise."""
    names = {*OURS, *environment}
    return {name for name in names if OURS.get(name) != environment.get(name) and not LATE.fullmatch(name)}
