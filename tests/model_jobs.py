"""Jobs on models without the child process that does them for a user."""

import subprocess
import sys
import tempfile
import warnings
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace

import msgspec
import pytest

from harness.models.jobs import Job
from harness.models.subprocess import _do


def do_jobs_here(patch: pytest.MonkeyPatch) -> None:
    """Do jobs in this process: the imports of the tools are most of the CPU time of a job on a small model."""
    stand_in = SimpleNamespace(Popen=InThisProcess, PIPE=subprocess.PIPE, TimeoutExpired=subprocess.TimeoutExpired)
    patch.setattr("harness.models.jobs.subprocess", stand_in)


def _end_espeak() -> None:
    """Let go of espeak-ng, as the end of a child does, which deletes phonemizer's copies of it in the job's folder."""
    if "kokoro_onnx.tokenizer" in sys.modules:
        from phonemizer.backend.espeak.wrapper import EspeakWrapper
        from phonemizer.phonemize import clear_backends_cache

        clear_backends_cache()
        EspeakWrapper.available_voices.cache_clear()


class InThisProcess:
    """Stands in for the child process of a job: does the job here, from its file to the file of its answer."""

    stdin = None

    def __init__(self, command: Sequence[str], **_given: object) -> None:
        job_file, answer_file = map(Path, command[-2:])
        work, before = job_file.parent, tempfile.tempdir
        tempfile.tempdir = str(work)
        try:
            with warnings.catch_warnings():
                answer = _do(msgspec.json.decode(job_file.read_bytes(), type=Job))
        finally:
            tempfile.tempdir = before
            _end_espeak()
        answer_file.write_bytes(msgspec.json.encode(answer))

    def wait(self, _timeout_s: float | None = None) -> int:
        return 0

    def kill(self) -> None:
        """There is nothing to end."""
