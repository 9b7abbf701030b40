"""The conductor's end of a worker: a process behind pipes.

Whatever goes wrong on the other side becomes `WorkerLost`, with the kind of failure, one sentence and the end of the
worker's standard error.
"""

import contextlib
import os
import queue
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO, NoReturn, Protocol, TypeVar

from harness.core.native_imports import REMEDY, how_it_ended, import_failure
from harness.core.records.repetition import Canary, Launch, Outcome, OutcomeKind, Repetition, ServerFigures
from harness.core.subprocesses import command
from harness.measure.worker.pause import SUPPORTED, VARIABLE, ProcessPauser
from harness.measure.worker.protocol import (
    PROTOCOL,
    Answer,
    CanaryOrder,
    ConcurrentAnswer,
    ConcurrentOrder,
    LoadOrder,
    Order,
    SpeakOrder,
    StatusOrder,
    read_answer,
    write_order,
)

GREETING_TIMEOUT_S = 60.0
CLOSING_TIMEOUT_S = 5.0
CUTTING_TIMEOUT_S = 20.0
"""For a client to judge what it has heard so far."""
TAIL_BYTES = 4_000


class WorkerLost(Exception):  # noqa: N818 - it is what happened
    """A worker that crashed, hung or does not speak our protocol."""

    def __init__(self, kind: OutcomeKind, reason: str, stderr_tail: str = "") -> None:
        self.kind = kind
        self.reason = reason
        self.stderr_tail = stderr_tail
        super().__init__(reason)

    @property
    def outcome(self) -> Outcome:
        """What it is to whatever the worker was asked for."""
        return Outcome(kind=self.kind, reason=self.reason, stderr_tail=self.stderr_tail)


@dataclass(frozen=True, slots=True, kw_only=True)
class Overdue:
    """What to do where an answer is not there after `after_s` seconds; it is awaited further."""

    after_s: float
    tell: Callable[[], None]


class WorkerHandle(Protocol):
    """One started worker."""

    @property
    def pid(self) -> int:
        """Its process."""
        ...

    def load(self, order: LoadOrder, *, timeout_s: float) -> Launch:
        """Load its arm."""
        ...

    def speak(self, order: SpeakOrder, *, timeout_s: float) -> Repetition:
        """Make one repetition."""
        ...

    def attend(self, order: ConcurrentOrder, *, timeout_s: float, overdue: Overdue | None = None) -> ConcurrentAnswer:
        """Ask a server for many texts at once. `overdue` is told where that takes longer than it says."""
        ...

    def cut_short(self) -> ConcurrentAnswer | None:
        """End the load under way, which nobody awaits any more: what was measured of it, None where nothing was."""
        ...

    def status(self, *, timeout_s: float) -> ServerFigures:
        """What the arm's server says of itself."""
        ...

    def canary(self, order: CanaryOrder, *, timeout_s: float) -> Canary:
        """Do the two fixed pieces of work."""
        ...

    def close(self) -> None:
        """End it, and be sure that it has ended."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerPlace:
    """Where a worker runs: the interpreter of its runtime, and the directory of the harness package that it loads."""

    python: str = sys.executable
    harness: Path = Path(__file__).resolve().parents[2]
    environment: tuple[tuple[str, str], ...] = ()


Part = TypeVar("Part")

HERE = WorkerPlace()

WorkerStarter = Callable[[WorkerPlace], WorkerHandle]


class ProcessHandle:
    """A worker process. Answers come through a thread that reads lines, so that a wait can have an end everywhere."""

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
                pass_fds=(self._pauser.descriptor,) if self._pauser else (),
                # Ctrl-C is the conductor's to handle: a worker in the same group would die in mid-answer.
                start_new_session=os.name == "posix",
            )
        except OSError as error:
            self._stderr.close()
            if self._pauser:
                self._pauser.close()
            raise WorkerLost(OutcomeKind.CRASHED, f"cannot start {place.python}: {error.strerror}") from error
        self._answering = False
        self._halts = False
        self._lines: queue.Queue[bytes] = queue.Queue()
        self._reader = threading.Thread(target=self._read_lines, daemon=True, name=f"worker {self._process.pid}")
        self._reader.start()
        try:
            greeting = self._receive(GREETING_TIMEOUT_S, doing="starting").greeting
            if greeting is None or greeting.protocol != PROTOCOL:
                said = greeting.protocol if greeting else "no version"
                self._lose(OutcomeKind.CRASHED, f"the worker speaks protocol {said}, this conductor speaks {PROTOCOL}")
            if self._pauser:
                self._pauser.watch(self.pid)
            self._halts = greeting.halts
        except BaseException:
            self.close()
            raise

    @property
    def pid(self) -> int:
        """The worker's process id."""
        return self._process.pid

    @property
    def pauser(self) -> ProcessPauser | None:
        """What halts it; None where it does not know how to stand still, as workers of older revisions."""
        return self._pauser if self._halts else None

    def load(self, order: LoadOrder, *, timeout_s: float) -> Launch:
        """Load its arm. WorkerLost, whose reason names a package whose import has ended the worker."""
        try:
            return expected(self._ask(order, timeout_s, doing="loading").launch)
        except WorkerLost as lost:
            if lost.kind is OutcomeKind.CRASHED and order.engine.model_path:
                lost.reason += _broken_import(self._place, "onnxruntime", "kokoro_onnx")
            raise

    def speak(self, order: SpeakOrder, *, timeout_s: float) -> Repetition:
        """Make one repetition."""
        return expected(self._ask(order, timeout_s, doing=speaking(order)).repetition)

    def begin(self, order: SpeakOrder) -> None:
        """Order a repetition that is to be heard of by `heard`."""
        self._order(order, doing=speaking(order))

    def heard(self, order: SpeakOrder, *, within_s: float) -> Repetition | None:
        """The repetition that `begin` has ordered; None where it is not done within that time."""
        try:
            line = self._lines.get(timeout=within_s)
        except queue.Empty:
            return None
        return expected(self._read(line, doing=speaking(order)).repetition)

    def give_up(self, order: SpeakOrder, *, after_s: float) -> NoReturn:
        """Kill it: what `begin` has ordered takes too long."""
        self._process.kill()
        self._lose(OutcomeKind.TIMEOUT, silence(after_s, speaking(order)))

    def attend(self, order: ConcurrentOrder, *, timeout_s: float, overdue: Overdue | None = None) -> ConcurrentAnswer:
        """Ask a server for many texts at once. `overdue` is told where that takes longer than it says."""
        return expected(self._ask(order, timeout_s, doing=order.summary, overdue=overdue).crowd)

    def cut_short(self) -> ConcurrentAnswer | None:
        """End the load under way by SIGINT, which its event loop hears; None where the system has no such signal."""
        if not self._answering or os.name != "posix":
            return None
        try:
            self._process.send_signal(signal.SIGINT)
            return self._receive(CUTTING_TIMEOUT_S, doing="ending a load").crowd
        except (OSError, WorkerLost):
            return None

    def status(self, *, timeout_s: float) -> ServerFigures:
        """What the arm's server says of itself."""
        return expected(self._ask(StatusOrder(), timeout_s, doing="asking the server for its figures").server)

    def canary(self, order: CanaryOrder, *, timeout_s: float) -> Canary:
        """Do the two fixed pieces of work. WorkerLost as for `load`."""
        try:
            return expected(self._ask(order, timeout_s, doing="the canary").canary)
        except WorkerLost as lost:
            if lost.kind is OutcomeKind.CRASHED:
                lost.reason += _broken_import(self._place, "onnxruntime", "onnx")
            raise

    def close(self) -> None:
        """Close the worker's input, which ends it; kill it where that does not, or where nobody awaits its answer."""
        if self._pauser:
            self._pauser.go_on()
        with contextlib.suppress(OSError):
            if self._process.stdin:
                self._process.stdin.close()
        try:
            if self._answering:
                self._process.kill()
            self._process.wait(CLOSING_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._reader.join(CLOSING_TIMEOUT_S)
        if self._process.stdout:
            self._process.stdout.close()
        self._stderr.close()
        if self._pauser:
            self._pauser.close()

    def _ask(self, order: Order, timeout_s: float, *, doing: str, overdue: Overdue | None = None) -> Answer:
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
            self._lose(OutcomeKind.TIMEOUT, silence(timeout_s, doing))
        return self._read(line, doing=doing)

    def _line(self, timeout_s: float, overdue: Overdue | None) -> bytes:
        """The next line of the worker's. queue.Empty where none comes."""
        if overdue is not None and overdue.after_s < timeout_s:
            try:
                return self._lines.get(timeout=overdue.after_s)
            except queue.Empty:
                overdue.tell()
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
            self._lose(OutcomeKind.CRASHED, f"the worker did not understand: {answer.error}")
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
            # A position of its own: the worker may still be writing through the shared one.
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
    """Ours, without what would change the engine behind the record's back."""
    ours = {name: value for name, value in os.environ.items() if name not in ("ONNX_PROVIDER", "PYTHONPATH")}
    return {**ours, **extra, **({VARIABLE: str(pauser.descriptor)} if pauser else {})}


def _broken_import(place: WorkerPlace, *packages: str) -> str:
    """Names the package whose import ends such a worker, as the end of a reason; "" if all can be imported."""
    failure = import_failure(*packages, command=(place.python, "-I"))
    return f"; {failure}: {REMEDY}" if failure else ""


def speaking(order: SpeakOrder) -> str:
    """What a worker does with an order to speak."""
    return f"synthesising {order.text_summary}"


def expected(part: Part | None) -> Part:
    """The part of an answer that was asked for. WorkerLost where the worker has answered something else."""
    if part is None:
        raise WorkerLost(OutcomeKind.CRASHED, "the worker answered something else than it was asked")
    return part


def silence(timeout_s: float, doing: str) -> str:
    """That a worker did not answer."""
    return f"no answer within {timeout_s:g} s while {doing}; the worker was killed"
