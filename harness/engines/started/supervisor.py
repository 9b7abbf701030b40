"""The supervisor: the parent of one server, which outlives every way in which the harness can end.

It runs in a session of its own and reads standard input. A line ends the server, and so does the end of the input:
however the worker ended, SIGKILL included, nothing of the server stays behind. On Linux it adopts the orphans of the
server, so that it also finds processes that have left the server's session.

Its answers are one JSON object a line: `ready`, then `pid` or `error`, `exit` when the server's first process ends, and
`stopped` with the names of the processes that had to be killed.
"""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness.core.subprocesses import adopt_orphans, end_with_parent
from harness.engines.started.command import KILL_S

if TYPE_CHECKING:
    from types import FrameType

    import psutil

MARK = "kokoro-bench supervisor: "
"""The start of the lines of a log that are the supervisor's. A server of this project begins its own otherwise."""
POLL_S = 0.01
POSIX = os.name == "posix"


class Supervisor:
    """One server, from its start to the end of its last process."""

    def __init__(self, order: dict[str, Any]) -> None:
        self._order = order
        self._stopping = False
        self._log = Path(order["log"]).open("ab", buffering=0)  # noqa: SIM115 - closed when this process ends
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> bool:
        """Start the server and report its process id, or why it cannot be started."""
        order = self._order
        adopt_orphans()
        try:
            self._process = subprocess.Popen(
                order["command"],
                cwd=order["cwd"],
                env=order["environment"],
                stdin=subprocess.DEVNULL,
                stdout=self._log,
                stderr=subprocess.STDOUT,
                start_new_session=POSIX,
                # This process has one thread, so that running Python between fork and exec is safe.
                preexec_fn=_begin if POSIX else None,  # noqa: PLW1509
            )
        except OSError as error:
            _report(error=f"{error.strerror}: {error.filename or order['command'][0]}")
            return False
        Path(order["running"]).write_text(str(self._process.pid), encoding="ascii")
        _report(pid=self._process.pid)
        threading.Thread(target=self._watch, daemon=True).start()
        return True

    def stop(self) -> None:
        """Send the stop signal to every process of the server, and kill those that remain after the time-out."""
        process = self._process
        if process is None:
            return
        self._stopping = True
        began = time.monotonic()
        number = getattr(signal, self._order["stop_signal"], signal.SIGTERM)
        for each in (signal.SIGCONT, number) if POSIX else (number,):
            self._send(each)
        killed: list[str] = []
        if not self._await_end(self._order["stop_timeout_s"]):
            killed = [f"{_name(each)} ({each.pid})" for each in self._members()]
            self._note(f"killed after {self._order['stop_timeout_s']:g} s, because it ignored "
                       f"{self._order['stop_signal']}: {', '.join(killed)}")  # fmt: skip
            self._send(signal.SIGKILL if POSIX else signal.SIGTERM, hard=True)
            self._await_end(KILL_S)
        _report(stopped=killed, seconds=time.monotonic() - began)

    def _watch(self) -> None:
        assert self._process is not None  # noqa: S101 - for the type checker; `start` has set it
        code = self._process.wait()
        if not self._stopping and not self._members():  # else it has forked away
            self._note(f"the server ended by itself with exit code {code}")
        _report(exit=code)

    def _await_end(self, seconds: float) -> bool:
        """Whether every process of the server ended within `seconds`."""
        deadline = time.monotonic() + seconds
        is_late = False
        while self._members():
            if is_late:
                return False
            time.sleep(POLL_S)
            is_late = time.monotonic() > deadline  # read before the members, who may end meanwhile
        return True

    def _members(self) -> "list[psutil.Process]":
        """The server's processes that run: descendants of this process, and whoever is in the server's session."""
        return members(os.getpid(), session=self._process.pid if self._process else 0, reap=self._process)

    def _send(self, number: int, *, hard: bool = False) -> None:
        """Send a signal to every member. Repeated for SIGKILL, since a process may start others until it ends."""
        import psutil

        for _ in range(3 if hard else 1):
            for each in self._members():
                with suppress(psutil.Error, OSError):
                    each.send_signal(number) if POSIX else each.kill() if hard else each.terminate()

    def _note(self, text: str) -> None:
        with suppress(OSError):
            self._log.write(f"{MARK}{text}\n".encode())


def members(
    supervisor: int, *, session: int = 0, reap: "subprocess.Popen[bytes] | None" = None
) -> "list[psutil.Process]":
    """The running processes below a supervisor, and those of the server's session.

    With `reap`, the supervisor's own first child, ended children that it has adopted are reaped.
    """
    import psutil

    try:
        found = {each.pid: each for each in psutil.Process(supervisor).children(recursive=True)}
    except psutil.Error:
        found = {}
    if session and sys.platform != "linux" and POSIX:
        # Nobody adopts orphans here: look for the session.
        for pid in psutil.pids():
            with suppress(OSError, psutil.Error):
                if os.getsid(pid) == session:
                    found.setdefault(pid, psutil.Process(pid))
    running = []
    for each in found.values():
        with suppress(psutil.Error):
            if each.status() != psutil.STATUS_ZOMBIE:
                running.append(each)
            elif reap is not None and each.pid == reap.pid:
                reap.poll()
            elif reap is not None:
                with suppress(OSError):
                    os.waitpid(each.pid, os.WNOHANG)
    return running


def _begin() -> None:
    """In the server's process, before its program: it ends with the supervisor, and heeds every stop signal.

    A program keeps the signals that its parent ignores, and a shell ignores SIGINT for what it starts with `&`.
    """
    end_with_parent()
    for number in (signal.SIGINT, signal.SIGQUIT, signal.SIGHUP, signal.SIGTERM):
        signal.signal(number, signal.SIG_DFL)


def _name(process: "psutil.Process") -> str:
    import psutil

    try:
        return process.name()
    except psutil.Error:
        return "a process"


def _report(**report: object) -> None:
    with suppress(OSError, ValueError):
        sys.stdout.write(json.dumps(report) + "\n")
        sys.stdout.flush()


def _leave(number: int, frame: "FrameType | None") -> None:
    del frame
    raise SystemExit(128 + number)


def main() -> None:
    """Supervise one server, which the first line of standard input describes."""
    # Imported while nothing is timed yet: the first is needed between fork and exec, the second to stop.
    import ctypes  # noqa: F401

    import psutil  # noqa: F401

    signal.signal(signal.SIGTERM, _leave)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    _report(ready=True)
    line = sys.stdin.buffer.readline()
    if not line.strip():
        return
    order = json.loads(line)
    running = Path(order["running"])
    running.touch()
    supervisor = Supervisor(order)
    try:
        if supervisor.start():
            sys.stdin.buffer.readline()
    finally:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        supervisor.stop()
        with suppress(OSError):
            running.unlink()
