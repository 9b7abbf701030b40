"""A server that the harness starts, against processes that do what servers do wrong. No process may be left behind."""

import math
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import psutil
import pytest

from harness.core.clock import SystemClock
from harness.engines.protocol import ServerProcess, Stages
from harness.engines.speech import EngineRefusal
from harness.engines.started import server as started
from harness.engines.started.command import ServerCommand, await_stopped, running_file
from harness.engines.started.server import StartedServer
from tests.processes import ended

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="the servers here are scripts of a POSIX shell")

SERVER = """
import socket, sys
listener = socket.create_server(("127.0.0.1", int(sys.argv[1])))
while True:
    connection, _ = listener.accept()
    with connection:
        asked = connection.recv(65536)
        if asked:
            status = sys.argv[2] if b"/health" in asked else "422"
            head = f"HTTP/1.1 {status} OK\\r\\nContent-Length: 0\\r\\nConnection: close\\r\\n\\r\\n"
            connection.sendall(head.encode())
"""
PYTHON = (sys.executable, "-I", "-S", "-c", SERVER)
"""A server that answers /health with its second argument and anything else with 422, in a few milliseconds."""
Launch = Callable[..., StartedServer]


class LateClock(SystemClock):
    """A clock that stands until something has happened, and then is past every time-out."""

    def __init__(self, happened: Callable[[], bool]) -> None:
        self._happened = happened

    def now_ns(self) -> int:
        return 10**18 if self._happened() else 0


class SkippingClock(SystemClock):
    """A clock that stands until something has happened, and then passes by what is slept, which takes no time."""

    def __init__(self, happened: Callable[[], bool]) -> None:
        self._happened = happened
        self.slept_s: list[float] = []

    def now_ns(self) -> int:
        return round(sum(self.slept_s) * 1e9)

    def sleep(self, seconds: float) -> None:
        if self.slept_s or self._happened():
            self.slept_s.append(seconds)
        else:
            time.sleep(seconds)


def accepts(port: int, host: str = "127.0.0.1") -> bool:
    try:
        socket.create_connection((host, port)).close()
    except OSError:
        return False
    return True


def shell(script: str) -> tuple[str, ...]:
    """A shell that finds the server's command in its arguments: `"$@" {port} 200`."""
    return ("sh", "-c", script, "sh", *PYTHON)


def port_of(pid: int) -> int:
    """The port at which a process listens, once it does."""
    while not (listening := psutil.Process(pid).net_connections(kind="tcp")):
        time.sleep(0.005)
    return int(listening[0].laddr.port)


@pytest.fixture
def order(tmp_path: Path) -> ServerCommand:
    return ServerCommand(
        name="own",
        command=(*PYTHON, "{port}", "200"),
        inherited=dict(os.environ),
        logs=str(tmp_path),
        timeout_s=60.0,
        stop_timeout_s=60.0,
    )


@pytest.fixture
def launch(order: ServerCommand) -> Iterator[Launch]:
    """Start a server with other settings than `order`; afterwards nothing of it may be left."""
    made: list[StartedServer] = []

    def start(clock: SystemClock | None = None, **changed: Any) -> StartedServer:
        made.append(StartedServer(replace(order, **changed), clock=clock or SystemClock()))
        made[-1].start(Stages(SystemClock()))
        return made[-1]

    yield start
    for each in made:
        left = each.processes()
        each.close()
        assert all(map(ended, left))
        assert not list(Path(order.logs).glob("*.running"))


def refusal(launch: Launch, clock: SystemClock | None = None, **changed: Any) -> str:
    with pytest.raises(EngineRefusal) as refused:
        launch(clock, **changed)
    return str(refused.value)


class TestStart:
    def test_start_of_a_server_has_its_parts_and_its_own_session(self, order: ServerCommand) -> None:
        stages, server = Stages(SystemClock()), StartedServer(order, clock=SystemClock())
        try:
            server.start(stages)
            assert [name for name, _, _ in stages.take()] == ["listening", "ready"]
            assert server.root() == server.pid
            assert os.getsid(server.pid) == os.getpgid(server.pid) == server.pid != os.getsid(0)
            assert running_file(order, os.getpid()).exists()
        finally:
            server.close()
        assert ended(server.pid)
        assert not running_file(order, os.getpid()).exists()

    @pytest.mark.parametrize("ready", ["first answer", "/health"])
    def test_server_is_ready_by_its_path_or_by_its_first_answer(self, launch: Launch, ready: str) -> None:
        assert launch(ready=ready).why_ended() == ""

    def test_port_is_in_the_environment_that_the_user_gives(self, launch: Launch) -> None:
        server = launch(command=shell('"$@" "$OWN_PORT" 200'), environment={"OWN_PORT": "{port}"}, cwd=str(Path.cwd()))
        assert server.port

    def test_server_that_forks_away_is_found_and_stopped(self, launch: Launch) -> None:
        server = launch(command=shell('setsid "$@" {port} 200 & echo forked'))
        assert server.why_ended() == ""
        assert server.root() != server.pid
        assert psutil.Process(server.root()).cmdline()[:1] == [sys.executable]

    def test_server_that_listens_in_processes_of_others_has_no_tree_to_measure(
        self, launch: Launch, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """As a container does, which is started by a client of its daemon."""
        monkeypatch.setattr(started, "find_server", lambda *_given, **_named: ServerProcess(pid=None, found="unknown"))
        with subprocess.Popen([*PYTHON, "0", "200"]) as other:
            try:
                port = port_of(other.pid)
                monkeypatch.setattr(started, "_port", lambda _order: port)
                assert launch(command=("sleep", "600")).root() is None
            finally:
                other.kill()


class TestRefusals:
    def test_server_that_exits_is_refused_with_its_last_lines(self, launch: Launch) -> None:
        said = refusal(launch, command=("sh", "-c", "echo loading; echo 'no model a.onnx' >&2; exit 3"))
        assert "ended with exit code 3 before it listened; its last lines: loading / no model a.onnx (log: " in said

    def test_program_that_cannot_be_run_is_refused(self, launch: Launch, tmp_path: Path) -> None:
        assert "cannot be started: No such file or directory" in refusal(launch, command=(str(tmp_path / "none"),))

    def test_server_that_never_listens_is_refused(self, launch: Launch) -> None:
        said = refusal(launch, command=("sleep", "600"), timeout_s=0.1)
        assert "nothing listened at port" in said
        assert "within 0.1 s; it wrote nothing to its log" in said

    def test_server_that_listens_elsewhere_is_refused_with_that_port(self, launch: Launch) -> None:
        with socket.create_server(("127.0.0.1", 0)) as free:
            other = free.getsockname()[1]
        said = refusal(launch, LateClock(lambda: accepts(other)), command=(*PYTHON, str(other), "200"))
        assert f"it listens at port {other} instead" in said

    @pytest.mark.skipif(sys.platform != "linux", reason="other systems answer at 127.0.0.1 alone")
    def test_server_that_listens_at_another_address_is_refused_with_that_address(self, launch: Launch) -> None:
        with socket.create_server(("127.0.0.2", 0)) as free:
            port = free.getsockname()[1]
        command = (*PYTHON[:-1], SERVER.replace("127.0.0.1", "127.0.0.2"), "{port}", "200")
        said = refusal(launch, LateClock(lambda: accepts(port, "127.0.0.2")), command=command, port=port)
        assert f"nothing listened at port {port} within 60 s; it listens at 127.0.0.2:{port} instead" in said

    def test_server_that_listens_while_the_harness_stands_still_is_taken(
        self, launch: Launch, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Its time is over when the harness goes on after the first look, and the server is there by then."""
        looked = threading.Event()
        look = StartedServer._accepts

        def look_and_stand_still(server: StartedServer) -> bool:
            found = look(server)
            while not looked.is_set() and not accepts(server.port):
                time.sleep(0.005)
            looked.set()
            return found

        monkeypatch.setattr(StartedServer, "_accepts", look_and_stand_still)
        assert launch(LateClock(looked.is_set)).why_ended() == ""

    def test_server_that_is_never_ready_is_refused_with_its_answer(self, launch: Launch) -> None:
        with socket.create_server(("127.0.0.1", 0)) as free:
            port = free.getsockname()[1]
        clock = LateClock(lambda: accepts(port))
        said = refusal(launch, clock, command=(*PYTHON, "{port}", "503"), ready="/health", port=port)
        assert "listened, but was not ready within 60 s: GET /health was answered with 503" in said

    def test_server_that_loads_for_long_is_asked_seldom(self, launch: Launch) -> None:
        with socket.create_server(("127.0.0.1", 0)) as free:
            port = free.getsockname()[1]
        clock = SkippingClock(lambda: accepts(port))
        refusal(launch, clock, command=(*PYTHON, "{port}", "503"), ready="/health", port=port)
        # 100 times in the first half second, then by 1 % each.
        assert 100 * (1 + math.log(60 / 0.5)) - 10 < len(clock.slept_s) < 100 * (1 + math.log(60 / 0.5)) + 10

    def test_configured_port_that_is_taken_is_refused_with_its_owner(self, launch: Launch) -> None:
        with socket.create_server(("127.0.0.1", 0)) as taken:
            port = taken.getsockname()[1]
            said = refusal(launch, port=port)
        assert f"port {port} is taken by " in said
        assert f"({os.getpid()})" in said

    def test_answer_of_another_process_is_refused(self, launch: Launch, monkeypatch: pytest.MonkeyPatch) -> None:
        with subprocess.Popen([*PYTHON, "0", "200"]) as other:
            try:
                port = port_of(other.pid)
                monkeypatch.setattr(started, "_port", lambda _order: port)
                assert f"port {port} is answered by" in refusal(launch, command=("sleep", "600"))
            finally:
                other.kill()


class TestStop:
    def test_server_that_ignores_its_stop_signal_is_killed_and_the_log_says_so(self, launch: Launch) -> None:
        server = launch(command=shell('trap "" TERM; "$@" {port} 200; true'), stop_timeout_s=0.1)
        server.close()
        assert "kokoro-bench supervisor: killed after 0.1 s, because it ignored SIGTERM: " in server.log.read_text()

    def test_server_gets_the_configured_stop_signal(self, launch: Launch) -> None:
        script = "trap 'echo stopped in order; kill $!; exit' INT; \"$@\" {port} 200 & wait"
        server = launch(command=shell(script), stop_signal="SIGINT")
        server.close()
        assert "stopped in order" in server.log.read_text()
        assert "killed" not in server.log.read_text()

    def test_server_is_stopped_when_its_worker_is_killed(self, order: ServerCommand) -> None:
        worker = f"""
import sys
from harness.core.clock import SystemClock
from harness.engines.protocol import Stages
from harness.engines.started.command import ServerCommand
from harness.engines.started.server import StartedServer
from tests.processes import ended
server = StartedServer({order!r}, clock=SystemClock())
server.start(Stages(SystemClock()))
print(server.pid, flush=True)
sys.stdin.read()
"""
        with subprocess.Popen(
            [sys.executable, "-c", worker], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        ) as killed:
            assert killed.stdout is not None
            server = psutil.Process(int(killed.stdout.readline()))
            killed.send_signal(signal.SIGKILL)
            killed.wait()
        await_stopped(order, killed.pid)
        assert ended(server)
