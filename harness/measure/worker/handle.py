"""The conductor's handle on a worker process, connected by pipes.

Every failure of the worker becomes `WorkerLost`, with the kind of failure, one sentence and the end of the worker's
standard error.
"""

import contextlib
import os
import queue
import signal
import subprocess
import tempfile
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import IO, NoReturn, Protocol, TypeVar

from harness.core import scratch
from harness.core.cache_root import ROOT_VARIABLE, default_root
from harness.core.native_imports import REMEDY, how_it_ended, import_failure
from harness.core.records.repetition import Canary, Launch, OutcomeKind, Repetition, ServerFigures
from harness.core.subprocesses import command
from harness.engines.started.command import KILL_S, ServerCommand, await_stopped, running_server
from harness.measure.worker.pause import SUPPORTED, VARIABLE, ProcessPauser
from harness.measure.worker.place import HERE, WorkerPlace
from harness.measure.worker.protocol import (
    PROTOCOL,
    Answer,
    CanaryOrder,
    ConcurrentAnswer,
    ConcurrentOrder,
    LoadOrder,
    Order,
    StatusOrder,
    SynthesisOrder,
    TrackOrder,
    read_answer,
    write_order,
)
from harness.measure.worker.worker_lost import WorkerLost

GREETING_TIMEOUT_S = 60.0
CLOSING_TIMEOUT_S = 5.0
CUT_SHORT_TIMEOUT_S = 20.0
"""Seconds for a client to evaluate the audio received so far."""
TAIL_BYTES = 4_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Overdue:
    """A callback for an answer that takes longer than `after_s` seconds. The wait continues after the call."""

    after_s: float
    call: Callable[[], None]


class WorkerHandle(Protocol):
    """A started worker. Every method raises WorkerLost if the worker fails or does not answer in time."""

    @property
    def pid(self) -> int: ...

    def load(self, order: LoadOrder, *, timeout_s: float) -> Launch: ...

    def synthesise(self, order: SynthesisOrder, *, timeout_s: float) -> Repetition: ...

    def run_concurrent(
        self, order: ConcurrentOrder, *, timeout_s: float, overdue: Overdue | None = None
    ) -> ConcurrentAnswer:
        """Send concurrent requests. `overdue` is called if they take longer than its limit."""
        ...

    def cut_short(self) -> ConcurrentAnswer | None:
        """End the current load early. Return what was measured so far, or None."""
        ...

    def status(self, *, timeout_s: float) -> ServerFigures:
        """Query the statistics that the arm's server reports."""
        ...

    def canary(self, order: CanaryOrder, *, timeout_s: float) -> Canary:
        """Run the two fixed canary workloads."""
        ...

    def track(self, order: TrackOrder, *, timeout_s: float) -> None:
        """Begin or end a file of allocations."""
        ...

    def close(self) -> None:
        """End the worker and wait until it has ended."""
        ...


Part = TypeVar("Part")

WorkerStarter = Callable[[WorkerPlace], WorkerHandle]


class ProcessHandle:
    """A worker process. A thread reads its answers, so that every wait can have a time-out on every platform."""

    def __init__(self, place: WorkerPlace = HERE) -> None:
        self._place = place
        # Closed in `close`; a context manager would end with this constructor.
        self._stderr: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115
        self._pauser = ProcessPauser() if SUPPORTED else None
        try:
            self._process = subprocess.Popen(
                command(place.python, str(place.harness), "harness.measure.worker"),
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=self._stderr,
                env=_environment(dict(place.environment), self._pauser),
                pass_fds=(*scratch.descriptors(), *((self._pauser.descriptor,) if self._pauser else ())),
                # The conductor handles Ctrl-C; a worker in the same process group would die in mid-answer.
                start_new_session=os.name == "posix",
            )
        except OSError as error:
            self._stderr.close()
            if self._pauser:
                self._pauser.close()
            raise WorkerLost(OutcomeKind.CRASHED, f"cannot start {place.python}: {error.strerror}") from error
        self._answering = False
        self._can_pause = False
        self._server: ServerCommand | None = None
        self._lines: queue.Queue[bytes] = queue.Queue()
        self._reader = threading.Thread(target=self._read_lines, daemon=True, name=f"worker {self._process.pid}")
        self._reader.start()
        try:
            greeting = self._receive(GREETING_TIMEOUT_S, doing="starting").greeting
            if greeting is None or greeting.protocol != PROTOCOL:
                reported = greeting.protocol if greeting else "no version"
                self._lose(OutcomeKind.CRASHED, f"the worker uses protocol {reported}, this conductor uses {PROTOCOL}")
            if self._pauser:
                self._pauser.watch(self.pid)
            self._can_pause = greeting.halts
        except BaseException:
            self.close()
            raise

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def pauser(self) -> ProcessPauser | None:
        """Pauses the worker; None if the worker's revision does not support pauses."""
        return self._pauser if self._can_pause else None

    def load(self, order: LoadOrder, *, timeout_s: float) -> Launch:
        """Load its arm. If importing a package crashed the worker, the reason of WorkerLost names the package."""
        self._server = order.engine.server
        try:
            launch = require_part(self._request(order, timeout_s, doing="loading").launch)
        except WorkerLost as lost:
            if lost.kind is OutcomeKind.CRASHED and order.engine.model_path:
                lost.reason += _broken_import(self._place, "onnxruntime", "kokoro_onnx")
            raise
        if self._server and self._pauser:
            self._pauser.watch_server(running_server(self._server, self.pid))
        return launch

    def synthesise(self, order: SynthesisOrder, *, timeout_s: float) -> Repetition:
        return require_part(self._request(order, timeout_s, doing=synthesis_summary(order)).repetition)

    def begin(self, order: SynthesisOrder) -> None:
        """Send an order for a repetition whose result `poll` returns."""
        self._order(order, doing=synthesis_summary(order))

    def poll(self, order: SynthesisOrder, *, within_s: float) -> Repetition | None:
        """The repetition that `begin` ordered, or None if it is not done within `within_s` seconds."""
        try:
            line = self._lines.get(timeout=within_s)
        except queue.Empty:
            return None
        return require_part(self._read(line, doing=synthesis_summary(order)).repetition)

    def give_up(self, order: SynthesisOrder, *, after_s: float) -> NoReturn:
        """Kill the worker because the order of `begin` took longer than `after_s` seconds."""
        self._process.kill()
        self._lose(OutcomeKind.TIMEOUT, timeout_reason(after_s, synthesis_summary(order)))

    def run_concurrent(
        self, order: ConcurrentOrder, *, timeout_s: float, overdue: Overdue | None = None
    ) -> ConcurrentAnswer:
        answer = self._request(order, timeout_s, doing=order.summary, overdue=overdue)
        return require_part(answer.crowd)  # codespell:ignore crowd

    def cut_short(self) -> ConcurrentAnswer | None:
        """End the current load by SIGINT, which its event loop handles. None if the system has no such signal."""
        if not self._answering or os.name != "posix":
            return None
        try:
            self._process.send_signal(signal.SIGINT)
            return self._receive(CUT_SHORT_TIMEOUT_S, doing="ending a load").crowd  # codespell:ignore crowd
        except (OSError, WorkerLost):
            return None

    def status(self, *, timeout_s: float) -> ServerFigures:
        return require_part(
            self._request(StatusOrder(), timeout_s, doing="querying the server for its statistics").server
        )

    def canary(self, order: CanaryOrder, *, timeout_s: float) -> Canary:
        """Run the two fixed canary workloads. Raises WorkerLost as `load` does."""
        try:
            return require_part(self._request(order, timeout_s, doing="the canary").canary)
        except WorkerLost as lost:
            if lost.kind is OutcomeKind.CRASHED:
                lost.reason += _broken_import(self._place, "onnxruntime", "onnx")
            raise

    def track(self, order: TrackOrder, *, timeout_s: float) -> None:
        require_part(self._request(order, timeout_s, doing="tracking allocations").tracked or None)

    def close(self) -> None:
        """Close the worker's input, which ends it. Kill it if it does not end or is still busy."""
        if self._pauser:
            self._pauser.resume()
        with contextlib.suppress(OSError):
            if self._process.stdin:
                self._process.stdin.close()
        try:
            if self._answering:
                self._process.kill()
            stop_s = self._server.stop_timeout_s + KILL_S if self._server else 0.0
            self._process.wait(CLOSING_TIMEOUT_S + stop_s)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        if self._server:
            await_stopped(self._server, self.pid)
        self._reader.join(CLOSING_TIMEOUT_S)
        if self._process.stdout:
            self._process.stdout.close()
        self._stderr.close()
        if self._pauser:
            self._pauser.close()

    def _request(self, order: Order, timeout_s: float, *, doing: str, overdue: Overdue | None = None) -> Answer:
        self._order(order, doing=doing)
        return self._receive(timeout_s, doing=doing, overdue=overdue)

    def _order(self, order: Order, *, doing: str) -> None:
        assert self._process.stdin is not None  # noqa: S101 - for the type checker; it was asked for as a pipe
        self._answering = True
        try:
            self._process.stdin.write(write_order(order))
            self._process.stdin.flush()
        except OSError:
            self._lose_ended(doing)

    def _receive(self, timeout_s: float, *, doing: str, overdue: Overdue | None = None) -> Answer:
        try:
            line = self._line(timeout_s, overdue)
        except queue.Empty:
            self._process.kill()
            self._lose(OutcomeKind.TIMEOUT, timeout_reason(timeout_s, doing))
        return self._read(line, doing=doing)

    def _line(self, timeout_s: float, overdue: Overdue | None) -> bytes:
        """The worker's next line. Raises queue.Empty after the time-out."""
        if overdue is not None and overdue.after_s < timeout_s:
            try:
                return self._lines.get(timeout=overdue.after_s)
            except queue.Empty:
                overdue.call()
                timeout_s -= overdue.after_s
        return self._lines.get(timeout=timeout_s)

    def _read(self, line: bytes, *, doing: str) -> Answer:
        self._answering = False
        if not line:
            self._lose_ended(doing)
        try:
            answer = read_answer(line)
        except ValueError as error:
            self._lose(OutcomeKind.CRASHED, str(error))
        if answer.error:
            self._lose(OutcomeKind.CRASHED, f"the worker reported an error: {answer.error}")
        return answer

    def _lose_ended(self, doing: str) -> NoReturn:
        try:
            code = self._process.wait(CLOSING_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            code = self._process.wait()
        self._lose(OutcomeKind.CRASHED, f"the worker ended while {doing}: {how_it_ended(code)}")

    def _lose(self, kind: OutcomeKind, reason: str) -> NoReturn:
        raise WorkerLost(kind, reason, self._tail())

    def _tail(self) -> str:
        with contextlib.suppress(OSError, ValueError):
            # Read at an explicit position: the worker may still be writing at the shared one.
            size = os.fstat(self._stderr.fileno()).st_size
            self._stderr.seek(max(0, size - TAIL_BYTES))
            return self._stderr.read().decode(errors="replace").strip()
        return ""

    def _read_lines(self) -> None:
        assert self._process.stdout is not None  # noqa: S101 - for the type checker; it was asked for as a pipe
        for line in self._process.stdout:
            self._lines.put(line)
        self._lines.put(b"")


def _environment(extra: Mapping[str, str], pauser: ProcessPauser | None) -> dict[str, str]:
    """Our environment, without variables that would change the engine unrecorded, and with the place of the cache.

    A foreign environment lacks the package that finds the cache's place.
    """
    ours = {name: value for name, value in os.environ.items() if name not in ("ONNX_PROVIDER", "PYTHONPATH")}
    return {
        **ours,
        ROOT_VARIABLE: str(default_root()),
        **extra,
        **({VARIABLE: str(pauser.descriptor)} if pauser else {}),
    }


def _broken_import(place: WorkerPlace, *packages: str) -> str:
    """Text for the end of a reason that names a package whose import fails; "" if all can be imported."""
    failure = import_failure(*packages, command=(place.python, "-I"))
    return f"; {failure}: {REMEDY}" if failure else ""


def synthesis_summary(order: SynthesisOrder) -> str:
    """The worker's activity during an order, for messages."""
    return f"synthesising {order.text_summary}"


def require_part(part: Part | None) -> Part:
    """Return the expected part of an answer. Raises WorkerLost if the answer does not have it."""
    if part is None:
        raise WorkerLost(OutcomeKind.CRASHED, "the worker's answer does not match the order")
    return part


def timeout_reason(timeout_s: float, doing: str) -> str:
    """The reason for a worker that did not answer."""
    return f"no answer within {timeout_s:g} s while {doing}; the worker was killed"
