"""Work on models that a child process does, and how it is asked for."""

import os
import subprocess
import sys
from dataclasses import dataclass, field, replace
from pathlib import Path

import msgspec

from harness.core.errors import ModelError, PackageError
from harness.core.native_imports import REMEDY, how_it_ended, import_failure

TIMEOUT_S = 1800.0
"""The slowest job, a calibration of the full model on two cores, takes some minutes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Speak:
    """Load `model` and let it speak a short and a longer phrase with the first and the last of its voices."""

    model: str
    voices: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Quantise:
    """Make `target` from `source` by the recipe of that name; `feeds` is an npz of calibration inputs, or ""."""

    source: str
    target: str
    recipe: str
    feeds: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Dequantise:
    """Make `target`, a model of 32-bit floats, from the quantised `source`. The file's metadata holds `origin`."""

    source: str
    target: str
    origin: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Examine:
    """Parse the graph of `model`, and write its `GraphFacts` as JSON to the file `facts`.

    `check` also has onnx check the graph, and the external weights and inputs for Kokoro's.
    """

    model: str
    facts: str
    check: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Feed:
    """Write calibration inputs, made from `texts` and the file `voices`, as an npz archive to `target`.

    `facts` is the file of the `GraphFacts` (JSON) of the graph that takes them.
    """

    voices: str
    facts: str
    texts: tuple[str, ...]
    target: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Replicate:
    """Build the replica with these fields of a `Recipe`."""

    recipe: dict[str, str | int | float | None]
    model: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """What a child does: all that is given, in this order."""

    replicate: Replicate | None = None
    examine: Examine | None = None
    feed: Feed | None = None
    dequantise: Dequantise | None = None
    quantise: Quantise | None = None
    speak: Speak | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Refusal:
    """A ModelError of the child's."""

    what: str
    where: str
    remedy: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What it came to: `error` is "" or the last line of the reason, `facts` what was measured on the way.

    `refusal` is set where the job is refused with a remedy. `made` says whether the quantising or dequantising was
    done, so that an error after it is one of speaking.
    """

    error: str = ""
    made: bool = False
    facts: dict[str, float | str] = field(default_factory=dict)
    refusal: Refusal | None = None


def run_child(job: Job, work: Path, *, timeout_s: float = TIMEOUT_S) -> Answer:
    """Do `job` in a child process whose temporary files lie in `work`; it ends when we do.

    Raises ModelError where the child dies, takes longer than `timeout_s` or refuses the job, and PackageError where
    it dies because a package cannot be imported. An error of the tools is an answer.
    """
    job_file, answer_file, log_file = work / "job.json", work / "answer.json", work / "log.txt"
    answer_file.unlink(missing_ok=True)
    job_file.write_bytes(msgspec.json.encode(job))
    environment = os.environ | {"TMPDIR": str(work), "TEMP": str(work), "TMP": str(work)}
    package_root = str(Path(__file__).parents[2])
    environment["PYTHONPATH"] = os.pathsep.join(filter(None, (package_root, os.environ.get("PYTHONPATH"))))
    command = [sys.executable, "-m", "harness.models.subprocess", str(job_file), str(answer_file)]
    with log_file.open("wb") as log:
        child = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=log, stderr=log, env=environment)
        try:
            code = child.wait(timeout_s)
        except subprocess.TimeoutExpired:
            raise ModelError(
                f"the tools did not finish within {timeout_s:,.0f} s", remedy="try again, or another recipe"
            ) from None
        finally:
            child.kill()
            child.wait()
            if child.stdin is not None:
                child.stdin.close()
    if not answer_file.is_file():
        if broken := import_failure():
            raise PackageError(f"nothing can be done with models here: {broken}", remedy=REMEDY)
        raise ModelError(
            f"the process that worked on the model died ({how_it_ended(code)}): {last_line(log_file)}",
            remedy="SIGKILL is mostly want of memory; otherwise try other versions of onnx and onnxruntime",
        )
    answer = msgspec.json.decode(answer_file.read_bytes(), type=Answer)
    if refused := answer.refusal:
        raise ModelError(refused.what, where=refused.where, remedy=refused.remedy)
    # The working folder will be gone when the reason is read.
    return replace(answer, error=answer.error.replace(f"{work}{os.sep}", ""))


def last_line(log: Path) -> str:
    """The last line of a log that says something."""
    lines = [line.strip() for line in log.read_text("utf-8", "replace").splitlines() if line.strip()]
    return lines[-1] if lines else "it printed nothing"
