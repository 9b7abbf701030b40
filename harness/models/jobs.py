"""Jobs on models that run in a child process, and their answers."""

import os
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

import msgspec

from harness.core.errors import ModelError, PackageError
from harness.core.native_imports import REMEDY, how_it_ended, import_failure, last_line

TIMEOUT_S = 1800.0
"""Time limit of a job in seconds. The slowest, a calibration of the full model on two cores, takes some minutes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Speak:
    """Load `model` and synthesise a short and a longer phrase with the first and the last of its voices."""

    model: str
    voices: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Quantise:
    """Make `target` from `source` by the named recipe. `feeds` is an npz of calibration inputs, or ""."""

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
class Optimise:
    """Make `target` from `source` by the named graph recipe. Its output is compared with the source's."""

    source: str
    target: str
    recipe: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Examine:
    """Parse the graph of `model`, and write its `GraphFacts` as JSON to the file `facts`.

    `check` also has onnx check the graph, and the external weights and inputs for Kokoro's.
    """

    model: str
    facts: str
    check: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class CompareWeights:
    """Compare the weights of `model` with its original's, and write `WeightFindings` as JSON to the file `found`."""

    model: str
    original: str
    found: str


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
    """The jobs of a child process. It runs those that are given, in this order."""

    replicate: Replicate | None = None
    examine: Examine | None = None
    feed: Feed | None = None
    dequantise: Dequantise | None = None
    quantise: Quantise | None = None
    compare_weights: CompareWeights | None = None
    optimise: Optimise | None = None
    """Needs `speak` too, for the voices."""
    speak: Speak | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Refusal:
    """A ModelError of the child process."""

    what: str
    where: str
    remedy: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """The result of a job: `error` is "" or the last line of the reason; `facts` are measured facts.

    `refusal` is set if the job is refused with a remedy. `made` says whether the model was made, so
    an `error` with it is one of the synthesis.
    """

    error: str = ""
    made: bool = False
    facts: dict[str, float | str] = field(default_factory=dict)
    refusal: Refusal | None = None


def run_child(job: Job, work: Path, *, timeout_s: float = TIMEOUT_S) -> Answer:
    """Run `job` in a child process with its temporary files in `work`. The child ends with this process.

    Raises ModelError if the child crashes, takes longer than `timeout_s` (s) or refuses the job. Raises PackageError if
    it crashes because a package cannot be imported. An error of the tools is returned in the answer.
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
            raise PackageError(f"models cannot be processed in this environment: {broken}", remedy=REMEDY)
        last = last_line(log_file.read_text("utf-8", "replace"), otherwise="it printed nothing")
        raise ModelError(
            f"the process that works on models crashed ({how_it_ended(code)}): {last}",
            remedy="SIGKILL usually means too little memory; otherwise try other versions of onnx and onnxruntime",
        )
    answer = msgspec.json.decode(answer_file.read_bytes(), type=Answer)
    if refused := answer.refusal:
        raise ModelError(refused.what, where=refused.where, remedy=refused.remedy)
    # The working folder no longer exists when the reason is read.
    return replace(answer, error=answer.error.replace(f"{work}{os.sep}", ""))


def make_with_tools(job: Job, work: Path, *, what: str, tools: Mapping[str, str], remedy: str) -> Answer:
    """As `run_child`, for a job that makes a model; an error of the tools is a ModelError.

    `what` is what was made of which model, `tools` are the packages that made it with their versions.
    """
    answer = run_child(job, work)
    if answer.error:
        failure = "gives a model that does not speak" if answer.made else "fails"
        raise ModelError(
            f"{what} {failure}: {answer.error}",
            where=", ".join(f"{name} {version}" for name, version in tools.items()),
            remedy=remedy,
        )
    return answer


def texts_of(answer: Answer) -> dict[str, str]:
    """The facts of an answer that are texts, for the manifest of what was made."""
    return {name: text for name, text in answer.facts.items() if isinstance(text, str)}
