"""The judging process as its parent sees it: starts it, sends it orders with a time-out, and reports how it ended."""

import contextlib
import os
import queue
import subprocess
import tempfile
import threading
from pathlib import Path
from typing import IO

from harness.core.native_imports import how_it_ended
from harness.core.subprocesses import command
from harness.measure.speech.protocol import Judgement, JudgeOrder, read_judgement, write_line

HARNESS = Path(__file__).resolve().parents[2]
START_TIMEOUT_S = 90.0
ORDER_TIMEOUT_S = 60.0
"""For one audio, on a machine that may be busy; the longest that is judged takes some 20 s."""
_OFFLINE = {"HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "TQDM_DISABLE": "1"}


class JudgeLost(Exception):  # noqa: N818 - it ends a process, not the program
    """The judging process ended, hung, or sent an invalid answer. The message is a reason for a sentence."""


class JudgeProcess:
    """One judging process, which `close` ends. Every other method raises JudgeLost if it fails."""

    def __init__(self, python: str, *, words: bool, start_timeout_s: float = START_TIMEOUT_S) -> None:
        """`words`: whether the recogniser will be needed. Returns once the tools are loaded."""
        # Closed in `close`; a context manager would end with this constructor.
        self._stderr: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115
        try:
            self._process = subprocess.Popen(
                command(python, str(HARNESS), "harness.measure.speech.judge", ["words"] if words else []),
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=self._stderr,
                env={**os.environ, **_OFFLINE},
                # Ctrl-C must reach only this process, which ends the judging process itself.
                start_new_session=os.name == "posix",
            )
        except OSError as error:
            self._stderr.close()
            raise JudgeLost(f"the judging process cannot be started ({error.strerror or error})") from error
        self._lines: queue.Queue[bytes] = queue.Queue()
        threading.Thread(target=self._read, daemon=True).start()
        try:
            self._answer(start_timeout_s)
        except BaseException:
            self.close()
            raise

    def judge(self, order: JudgeOrder, *, timeout_s: float = ORDER_TIMEOUT_S) -> Judgement:
        assert self._process.stdin is not None  # noqa: S101 - for the type checker
        try:
            self._process.stdin.write(write_line(order))
            self._process.stdin.flush()
        except OSError:
            pass  # the process has ended, which `_answer` reports
        return self._answer(timeout_s)

    def close(self) -> None:
        """End the process and wait until it has ended."""
        with contextlib.suppress(OSError):
            self._process.kill()
        self._process.wait()
        for stream in (self._process.stdin, self._process.stdout, self._stderr):
            if stream is not None:
                with contextlib.suppress(OSError):
                    stream.close()

    def _read(self) -> None:
        assert self._process.stdout is not None  # noqa: S101 - for the type checker
        with contextlib.suppress(ValueError, OSError):
            for line in iter(self._process.stdout.readline, b""):
                self._lines.put(line)
        self._lines.put(b"")

    def _answer(self, timeout_s: float) -> Judgement:
        try:
            line = self._lines.get(timeout=timeout_s)
        except queue.Empty as error:
            raise JudgeLost(f"the judging process did not answer within {timeout_s:g} s") from error
        if not line:
            raise JudgeLost(f"the judging process ended: {self._ending()}")
        try:
            return read_judgement(line)
        except ValueError as error:
            raise JudgeLost(f"the judging process answered with something else: {error}") from error

    def _ending(self) -> str:
        """The last line that it wrote if it failed, otherwise how it ended."""
        try:
            code = self._process.wait(timeout=5.0)
        except subprocess.TimeoutExpired:
            return "its output was closed"
        self._stderr.seek(0)
        lines = self._stderr.read()[-4_000:].decode("utf-8", "replace").strip().splitlines()
        return lines[-1].strip() if code > 0 and lines else how_it_ended(code)
