"""A server that this worker has started: its port, its start in parts, its processes, and its end.

It asks with `http.client`: nothing is timed here, and a worker's environment need not have httpx.
"""

import http.client
import json
import os
import queue
import socket
import subprocess
import sys
import threading
import time
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, NoReturn

import harness
from harness.core.subprocesses import command as module_command
from harness.engines.http.request import Address
from harness.engines.http.server_process import find_server
from harness.engines.protocol import Stages
from harness.engines.speech import EngineRefusal
from harness.engines.started.command import FIRST_ANSWER, ServerCommand, running_file, with_port
from harness.engines.started.supervisor import MARK, members

if TYPE_CHECKING:
    from collections.abc import Iterator

    import psutil

    from harness.core.clock import Clock

LOOPBACK = ("127.0.0.1", "::1")
SPEECH = "/v1/audio/speech"
BUSY = (502, 503, 504)
"""Answers of a server, or of a proxy before it, that is not ready."""
POLL_S = 0.005
POLL_SHARE = 0.01
"""Between two questions it waits at least POLL_S, and this share of the time so far: the start is known to 1 %, and a
server that loads for long spends little on answers."""
CONNECT_S = 1.0
ANSWER_S = 10.0
"""Seconds for the answer to one question whether the server is ready. It is asked again."""
SUPERVISOR_S = 30.0
TAIL_LINES = 5
TAIL_BYTES = 4_000
LISTENING, READY = "listening", "ready"
"""The parts of a start: until it accepts connections, and from then until it is ready."""


class StartedServer:
    """A server and its supervisor. Every failure is an EngineRefusal with the last lines of the server's log."""

    def __init__(self, order: ServerCommand, *, clock: "Clock") -> None:
        self._order = order
        self._clock = clock
        self._reports: queue.Queue[dict[str, Any]] = queue.Queue()
        self._exit: int | None = None
        self._began = 0
        self._deadline = 0
        self.pid = 0
        """The first process."""
        self.host = LOOPBACK[0]
        self.port = _port(order)
        self.log = _log_path(order)
        self._supervisor = subprocess.Popen(
            module_command(sys.executable, harness.__path__[0], "harness.engines.started.supervisor"),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            start_new_session=os.name == "posix",
        )
        assert self._supervisor.stdout is not None  # noqa: S101 - for the type checker; it was asked for as a pipe
        self._reader = threading.Thread(target=self._read, args=(self._supervisor.stdout,), daemon=True)
        self._reader.start()
        # Python has started when this comes: it counts as no part of the server's start.
        if not self._next().get("ready"):
            self.close()
            raise EngineRefusal("the supervisor of the server cannot be started; standard error says why")

    @property
    def address(self) -> str:
        """Its address, such as http://127.0.0.1:40123."""
        return f"http://{f'[{self.host}]' if ':' in self.host else self.host}:{self.port}"

    def start(self, stages: Stages, *, parts: tuple[str, str] = (LISTENING, READY)) -> None:
        """Start the server in two parts: until it listens, and until it is ready. EngineRefusal where it fails."""
        self._began = self._clock.now_ns()
        self._deadline = self._began + round(self._order.timeout_s * 1e9)
        listening, ready = parts
        with stages.stage(listening):
            self._launch()
            self._await_listening(self._deadline)
        with stages.stage(ready):
            self._await_ready(self._deadline)
        self._check_owner()

    def may_still_start(self) -> bool:
        """Whether the time for its start is not over. Waits a moment: who asks does so again."""
        self._wait()
        return self._clock.now_ns() < self._deadline

    def read(self, path: str) -> Any:  # noqa: ANN401 - JSON
        """The JSON at a path. OSError, HTTPException or ValueError if there is none."""
        with self._answer("GET", path) as answer:
            return json.loads(answer.read())

    def root(self) -> int | None:
        """The process whose tree is the server: the first one, or what it left behind if it has ended.

        None if none of its processes listens: a container's belong to somebody else.
        """
        owners = self._port_owners()
        running = {each.pid for each in self.processes()}
        if not owners:
            return None
        return self.pid if self.pid in running else _top(min(owners), running)

    def processes(self) -> "list[psutil.Process]":
        return members(self._supervisor.pid, session=self.pid)

    def why_ended(self) -> str:
        """How the server ended and what it wrote last; "" while it runs."""
        self._drain()
        if self._exit is None or self.processes():
            return ""
        return f"the server ended with exit code {self._exit}{self.tail()}"

    def tail(self) -> str:
        """The last lines of the log, as the end of a sentence."""
        try:
            with self.log.open("rb") as file:
                file.seek(max(0, os.fstat(file.fileno()).st_size - TAIL_BYTES))
                lines = file.read().decode(errors="replace").splitlines()
        except OSError:
            lines = []
        last = [" ".join(line.split()) for line in lines if line.strip() and not line.startswith(MARK)]
        if not last:
            return "; it wrote nothing to its log"
        return f"; its last lines: {' / '.join(last[-TAIL_LINES:])} (log: {self.log})"

    def close(self) -> None:
        """Stop the server in order, and wait until its last process has ended."""
        if self._supervisor.stdin is not None:
            with suppress(OSError):
                self._supervisor.stdin.close()
        try:
            self._supervisor.wait(self._order.stop_timeout_s + SUPERVISOR_S)
        except subprocess.TimeoutExpired:
            self._supervisor.kill()
            self._supervisor.wait()
        self._reader.join()

    def _launch(self) -> None:
        order = self._order
        environment = {**order.inherited, **order.environment}
        sent = {
            "command": [with_port(each, self.port) for each in order.command],
            "cwd": order.cwd or None,
            "environment": {name: with_port(value, self.port) if name in order.environment else value
                            for name, value in environment.items()},
            "log": str(self.log),
            "running": str(running_file(order, os.getpid())),
            "stop_signal": order.stop_signal,
            "stop_timeout_s": order.stop_timeout_s,
        }  # fmt: skip
        assert self._supervisor.stdin is not None  # noqa: S101 - for the type checker; it was asked for as a pipe
        with suppress(OSError):  # a supervisor that has ended says nothing below
            self._supervisor.stdin.write(json.dumps(sent).encode() + b"\n")
            self._supervisor.stdin.flush()
        answer = self._next()
        if "pid" not in answer:
            raise EngineRefusal(f"the server cannot be started: {answer.get('error', 'its supervisor ended')}")
        self.pid = answer["pid"]

    def _await_listening(self, deadline: int) -> None:
        for _ in self._looks(deadline):
            if self._accepts():
                return
            self._check_running("before it listened")
        self._refuse_silent()

    def _looks(self, deadline: int) -> "Iterator[None]":
        """One turn for each look at the server. The last one comes after the deadline.

        Otherwise a harness that stood still between a look and its clock would refuse a server that was in time.
        """
        is_last = False
        while not is_last:
            is_last = self._clock.now_ns() > deadline
            yield
            if not is_last:
                self._wait()

    def _wait(self) -> None:
        now = self._clock.now_ns()
        self._clock.sleep(max(POLL_S, min(POLL_SHARE * (now - self._began), self._deadline - now) / 1e9))

    def _accepts(self) -> bool:
        for host in LOOPBACK:
            with suppress(OSError), socket.create_connection((host, self.port), timeout=CONNECT_S):
                self.host = host
                return True
        return False

    def _await_ready(self, deadline: int) -> None:
        answer: bool | str = False
        for _ in self._looks(deadline):
            answer = self._question()
            if answer is True:
                return
            self._check_running("before it was ready")
        asked = f"GET {self._order.ready}" if self._order.ready != FIRST_ANSWER else f"an empty POST {SPEECH}"
        raise EngineRefusal(
            f"the server listened, but was not ready within {self._order.timeout_s:g} s: {asked} {answer}{self.tail()}"
        )

    def _question(self) -> bool | str:
        """Whether the server is ready, or else its answer in words."""
        by_answer = self._order.ready == FIRST_ANSWER
        asked = ("POST", SPEECH, b"{}") if by_answer else ("GET", self._order.ready, None)
        try:
            with self._answer(*asked) as answer:
                status = answer.status
        except TimeoutError:
            return f"was not answered within {ANSWER_S:g} s"
        except (OSError, http.client.HTTPException) as error:
            return f"failed ({type(error).__name__}: {error})"
        ready = status not in BUSY if by_answer else 200 <= status < 300
        return ready or f"was answered with {status}"

    @contextmanager
    def _answer(self, method: str, path: str, body: bytes | None = None) -> "Iterator[http.client.HTTPResponse]":
        with closing(http.client.HTTPConnection(self.host, self.port, timeout=ANSWER_S)) as connection:
            connection.request(method, path, body, {"Content-Type": "application/json"} if body else {})
            yield connection.getresponse()

    def _check_owner(self) -> None:
        """Refuse an answer of somebody else: the port was free when it was chosen, and may have been taken since."""
        found = find_server(self._address(), pid=0)
        if found.pid is not None and not self._port_owners():
            raise EngineRefusal(
                f"port {self.port} is answered by {found.found}, which is not a process of the server{self.tail()}"
            )

    def _port_owners(self) -> set[int]:
        """The server's processes that listen at its port."""
        return {pid for pid, _, port in self._listening() if port == self.port}

    def _listening(self) -> "Iterator[tuple[int, str, int]]":
        """Each of the server's processes that listens, with the address and port at which it does."""
        import psutil

        for each in self.processes():
            with suppress(psutil.Error):
                for at in each.net_connections(kind="tcp"):
                    if at.status == psutil.CONN_LISTEN:
                        yield each.pid, at.laddr.ip, at.laddr.port

    def _check_running(self, when: str) -> None:
        if ended := self.why_ended():
            raise EngineRefusal(f"{ended.partition(';')[0]} {when}{ended[len(ended.partition(';')[0]) :]}")

    def _refuse_silent(self) -> NoReturn:
        found = {f"port {port}" if port != self.port else f"{ip}:{port}" for _, ip, port in self._listening()}
        elsewhere = f"; it listens at {', '.join(sorted(found))} instead" if found else ""
        raise EngineRefusal(
            f"nothing listened at port {self.port} within {self._order.timeout_s:g} s{elsewhere}{self.tail()}"
        )

    def _address(self) -> Address:
        return Address(scheme="http", host=self.host, port=self.port, path=SPEECH, host_header="")

    def _read(self, lines: IO[bytes]) -> None:
        with lines:
            for line in lines:
                self._reports.put(json.loads(line))
        self._reports.put({})

    def _next(self) -> dict[str, Any]:
        """The supervisor's next words; {} if it has ended or says nothing."""
        try:
            return self._reports.get(timeout=SUPERVISOR_S)
        except queue.Empty:
            return {}

    def _drain(self) -> None:
        with suppress(queue.Empty):
            while True:
                self._exit = self._reports.get_nowait().get("exit", self._exit)


def _port(order: ServerCommand) -> int:
    """The configured port, or one that is free now. EngineRefusal where the configured one is taken."""
    with socket.socket() as probe:
        if os.name == "posix":  # connections of the last launch may linger in TIME_WAIT
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((LOOPBACK[0], order.port))
        except OSError as error:
            address = Address(scheme="http", host=LOOPBACK[0], port=order.port, path=SPEECH, host_header="")
            found = find_server(address)
            who = f" by {found.found}" if found.pid else ""
            raise EngineRefusal(f"port {order.port} is taken{who}: {error.strerror}") from error
        return int(probe.getsockname()[1])


def _log_path(order: ServerCommand) -> Path:
    when = time.time_ns() // 1_000_000
    return Path(order.logs) / f"{order.name}-{when}-{os.getpid()}.log"


def _top(pid: int, running: set[int]) -> int | None:
    """The eldest ancestor of a process that is one of the server's."""
    import psutil

    try:
        line = [psutil.Process(pid), *psutil.Process(pid).parents()]
    except psutil.Error:
        return None
    return next((each.pid for each in reversed(line) if each.pid in running), None)
