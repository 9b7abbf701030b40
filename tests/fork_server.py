"""The process that starts commands for `tests/forking.py`: it has imported what they import, and forks for each.

Its last argument is the descriptor of a socket of the process that asks. It ends when that socket is closed, and kills
the commands that are still running.
"""

import array
import atexit
import contextlib
import gc
import inspect
import io
import json
import os
import pkgutil
import runpy
import select
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import traceback
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from importlib import import_module
from types import SimpleNamespace
from typing import Any, NoReturn

NUMBER = 4
"""Bytes of each number that goes over a socket, little endian."""
DESCRIPTORS = 4
"""Standard input, output and error of the command, and the socket on which its pid and its status are reported."""
COMMAND = "harness.cli"
NOT_STARTED = 125
"""The status of a process that could not be made like one that was just started."""
LIBRARIES = (
    "apscheduler.jobstores.sqlalchemy", "apscheduler.schedulers.base", "concurrent.futures.process", "cProfile",
    "encodings.ascii", "encodings.unicode_escape", "faulthandler", "jinja2",
    "matplotlib.colors", "matplotlib.mlab", "multiprocessing.queues", "pesq", "PIL.BmpImagePlugin",
    "PIL.GifImagePlugin", "PIL.JpegImagePlugin", "PIL.PngImagePlugin", "PIL.PpmImagePlugin", "platformdirs.unix",
    "pystoi", "pytest", "pytest_benchmark.hookspec", "pytest_benchmark.plugin", "pytest_benchmark.storage.file",
    "rich._emoji_codes", "rich.progress", "scipy.ndimage", "scipy.signal", "scipy.special", "soundfile",
    "sqlalchemy.dialects.sqlite", "sqlite3", "tzlocal", "xml.etree.ElementTree", "zoneinfo",
)  # fmt: skip
"""What commands import late. Never onnxruntime, onnx or kokoro_onnx: a command must not have imported them."""


_KEPT: list[object] = []
"""In a worker, the streams of its command: to forget them would write what the command has not written yet."""


def main() -> None:
    """Import, then serve; in a process that was forked, run the command."""
    asking = socket.socket(fileno=int(sys.argv[-1]))
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # of a terminal: those who ask end by it, and then this
    _preload()
    request = _serve(asking)
    if request is not None:
        _be_the_command(request)


def _preload() -> None:
    from _pytest.config import default_plugins

    for module in (*LIBRARIES, *(f"_pytest.{name}" for name in default_plugins), *_own_modules()):
        with contextlib.suppress(ModuleNotFoundError):  # of an extra that is not installed
            import_module(module)
    if dead := {"onnxruntime", "onnx", "kokoro_onnx"} & set(sys.modules):
        sys.exit(f"commands must not find {', '.join(dead)} imported")
    gc.collect()
    gc.freeze()


def _own_modules() -> Iterator[str]:
    """The project's own modules, but for programs and measurements of itself."""
    import harness
    import reports

    for package in (harness, reports):
        for found in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
            if not found.name.startswith("benchmarks") and not found.name.endswith("__main__"):
                yield found.name


def _serve(owner: socket.socket) -> dict[str, Any] | None:
    """Answer requests until the owner has no more; gives the request in each process that is forked for one.

    The owner may ask for a socket to be listened to, on which others ask. Who has ended leaves no command behind.
    """
    awake, waker = os.pipe()
    os.set_blocking(waker, False)
    signal.signal(signal.SIGCHLD, lambda _number, _frame: None)
    signal.set_wakeup_fd(waker, warn_on_full_buffer=False)
    connections, listeners = [owner], list[socket.socket]()
    running: dict[int, tuple[socket.socket, socket.socket]] = {}
    while True:
        ready, _, _ = select.select([awake, *connections, *listeners], [], [])
        if awake in ready:
            os.read(awake, 1 << 16)
            _report_ended(running)
        connections += [each.accept()[0] for each in listeners if each in ready]
        for asking in [each for each in connections if each in ready]:
            received = _receive(asking)
            if received is None:
                everything = asking is owner
                _kill(pid for pid, (_, asker) in running.items() if everything or asker is asking)
                if everything:
                    return None
                connections.remove(asking)
                continue
            request, descriptors = received
            if "listen" in request:
                listeners.append(socket.socket(fileno=descriptors[0]))
                continue
            status = socket.socket(fileno=descriptors[-1])
            with warnings.catch_warnings(action="ignore"):  # OpenBLAS has threads, and ends them before a fork
                pid = os.fork()
            if pid == 0:
                signal.set_wakeup_fd(-1)
                for each in (status, *connections, *listeners, *(status for status, _ in running.values())):
                    each.close()
                os.close(awake)
                os.close(waker)
                return {**request, "streams": descriptors[:-1]}
            for descriptor in descriptors[:-1]:
                os.close(descriptor)
            running[pid] = (status, asking)
            _report(status, pid)


def _kill(processes: Iterable[int]) -> None:
    for pid in processes:
        os.kill(pid, signal.SIGKILL)


def _receive(asking: socket.socket) -> tuple[dict[str, Any], list[int]] | None:
    """A request and its descriptors; None at the end."""
    descriptors = array.array("i")
    room = socket.CMSG_SPACE(DESCRIPTORS * descriptors.itemsize)
    head, ancillary, _, _ = asking.recvmsg(NUMBER, room)
    if not head:
        return None
    for _, _, data in ancillary:
        descriptors.frombytes(data)
    body = bytearray()
    size = int.from_bytes(head, "little")
    while len(body) < size:
        part = asking.recv(size - len(body))
        if not part:
            return None
        body += part
    return json.loads(body), list(descriptors)


def _report_ended(running: dict[int, tuple[socket.socket, socket.socket]]) -> None:
    while running:
        pid, status = os.waitpid(-1, os.WNOHANG)
        if pid == 0:
            return
        told, _ = running.pop(pid)
        with told:
            _report(told, status)


def _report(told: socket.socket, number: int) -> None:
    with contextlib.suppress(OSError):  # nobody waits for it any more
        told.sendall(number.to_bytes(NUMBER, "little"))


def _played(program: Callable[[], object]) -> int:
    """Run a program as an interpreter does, and return its exit status."""
    try:
        program()
    except SystemExit as ended:
        return _status(ended.code)
    except BaseException:  # noqa: BLE001 - as an interpreter does
        traceback.print_exc()
        return 1
    return 0


def _be_the_command(request: dict[str, Any]) -> NoReturn:
    """What `python -m harness.cli` does, from its start to its end."""
    status = NOT_STARTED
    try:
        _arrange(request)
        _fork_workers(request["directory"])
        status = _end(_played(lambda: runpy.run_module(COMMAND, run_name="__main__", alter_sys=True)))
    except BaseException:  # noqa: BLE001 - nothing above may go on with what the process that forks was doing
        traceback.print_exc()
    finally:
        os._exit(status)


def _arrange(request: dict[str, Any]) -> None:
    """Be as a process that was just started."""
    streams = request["streams"]
    for number, descriptor in enumerate(streams):
        os.dup2(descriptor, number)
        os.close(descriptor)
    for number in (signal.SIGCHLD, signal.SIGTERM):
        signal.signal(number, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    if request["session"]:
        os.setsid()
    elif request["group"] >= 0:
        os.setpgid(0, request["group"])
    os.chdir(request["directory"])
    for name in set(os.environ) - set(request["environment"]):
        del os.environ[name]
    os.environ.update(request["environment"])
    time.tzset()
    tempfile.tempdir = None
    sys.path.insert(0, request["directory"])
    sys.argv = ["-m", *request["arguments"]]
    sys.orig_argv[1:] = ["-m", COMMAND, *request["arguments"]]
    _open_streams()


def _fork_workers(directory: str) -> None:
    """Let the command fork its workers: half of a worker's CPU time are imports that the command has made already.

    A worker of another interpreter, of another revision or with an environment of its own is truly started.
    """
    from harness.core.subprocesses import command
    from harness.measure.worker import handle
    from harness.measure.worker.place import HERE

    ours = command(HERE.python, str(HERE.harness), "harness.measure.worker")

    class Worker(subprocess.Popen[bytes]):
        def _execute_child(self, *given: Any) -> None:
            started = super()._execute_child  # type: ignore[misc]
            named = inspect.signature(started).bind(*given).arguments
            if list(named["args"]) != ours or _others(named["env"]) != _others(os.environ):
                started(*given)
                return
            streams = [named[name] for name in ("p2cread", "c2pwrite", "errwrite")]
            with warnings.catch_warnings(action="ignore"):  # the command has threads, none of which a worker needs
                self.pid = os.fork()
            if self.pid == 0:
                _be_the_worker(streams, named["pass_fds"], named["env"], directory)
            self._child_created = True
            ends = ("p2cread", "p2cwrite", "c2pread", "c2pwrite", "errread", "errwrite")
            self._close_pipe_fds(*(named[name] for name in ends))  # type: ignore[attr-defined]

    handle.subprocess = SimpleNamespace(  # type: ignore[assignment]
        Popen=Worker, PIPE=subprocess.PIPE, TimeoutExpired=subprocess.TimeoutExpired
    )


def _others(environment: Mapping[str, str]) -> dict[str, str]:
    """The variables that are not the harness's own: some of them are read before a process begins."""
    left_out = ("KOKORO_BENCH_", "ONNX_PROVIDER", "PYTHONPATH")
    return {name: value for name, value in environment.items() if not name.startswith(left_out)}


def _be_the_worker(
    streams: Sequence[int], passed: Sequence[int], environment: Mapping[str, str], directory: str
) -> NoReturn:
    """What the command line of a worker does, from its start to its end."""
    status = NOT_STARTED
    _KEPT.extend((sys.stdin, sys.stdout, sys.stderr))
    try:
        gc.freeze()
        atexit._clear()
        for number, descriptor in enumerate(streams):
            os.dup2(descriptor, number)
        first = len(streams)
        for kept_open in [*sorted(passed), os.sysconf("SC_OPEN_MAX")]:
            os.closerange(first, kept_open)
            first = kept_open + 1
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGINT, signal.default_int_handler)
        for number in (signal.SIGTERM, signal.SIGPIPE, signal.SIGXFSZ):
            signal.signal(number, signal.SIG_DFL)
        os.setsid()
        for name in set(os.environ) - set(environment):
            del os.environ[name]
        os.environ.update(environment)
        sys.path.remove(directory)
        sys.argv = ["-c"]
        _open_streams()
        status = _end(_played(lambda: import_module("harness.measure.worker").main()))
    except BaseException:  # noqa: BLE001 - nothing above may go on with what the command was doing
        traceback.print_exc()
    finally:
        os._exit(status)


def _open_streams() -> None:
    unbuffered = bool(os.environ.get("PYTHONUNBUFFERED"))
    opened: list[io.TextIOWrapper] = []
    for number, mode in enumerate(("r", "w", "w")):
        raw = open(number, f"{mode}b", buffering=0 if unbuffered and mode == "w" else -1, closefd=False)  # noqa: SIM115
        opened.append(
            io.TextIOWrapper(
                raw,  # type: ignore[arg-type]
                encoding="utf-8",
                errors="backslashreplace" if number == 2 else "surrogateescape",
                line_buffering=number == 2 or raw.isatty(),
                write_through=unbuffered,
            )
        )
    sys.stdin, sys.stdout, sys.stderr = opened
    sys.__stdin__, sys.__stdout__, sys.__stderr__ = opened  # type: ignore[misc]


def _status(code: object) -> int:
    if code is None:
        return 0
    if isinstance(code, int):
        return code & 0xFF
    print(code, file=sys.stderr)  # noqa: T201 - as an interpreter does
    return 1


def _end(status: int) -> int:
    """What an interpreter does before it ends; the status, and 120 where a stream could not be written."""
    threading._shutdown()  # type: ignore[attr-defined]
    atexit._run_exitfuncs()
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except (OSError, ValueError):
            status = 120
    return status


if __name__ == "__main__":
    main()
