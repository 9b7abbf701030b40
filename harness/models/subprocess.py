"""Runs jobs on models in a child process.

ONNX Runtime's tools log to the root logger, print warnings, leave temporary files and hold several copies of the model.
A damaged model can crash the process, and so can the import of ONNX or ONNX Runtime. Therefore the jobs run in a child
process: `python -m harness.models.subprocess JOB` reads its job from a file and writes its answer to another file.
"""

import contextlib
import os
import sys
import threading
import warnings
from collections.abc import Iterator
from pathlib import Path

import msgspec

from harness.core.errors import ModelError
from harness.core.files import write_atomically
from harness.models.jobs import (
    Answer,
    Job,
    Refusal,
)


def main(job_file: Path, answer_file: Path) -> None:
    """Run the job in `job_file` and write the answer to `answer_file`."""
    job = msgspec.json.decode(job_file.read_bytes(), type=Job)
    with _ending_with_the_parent():
        answer = _do(job)
        write_atomically(answer_file, msgspec.json.encode(answer), durable=False)


def _do(job: Job) -> Answer:
    warnings.simplefilter("ignore")  # the tools warn about their own versions
    facts: dict[str, float | str] = {}
    made = False
    try:
        _read(job)
        if job.dequantise is not None:
            from harness.models.dequantise.graph import dequantise_file

            facts |= dequantise_file(job.dequantise)
            made = True
        if job.quantise is not None:
            from harness.models.quantise.tools import quantise_file

            facts |= quantise_file(job.quantise)
            made = True
        if job.optimise is not None and job.speak is not None:
            from harness.models.optimise.tools import optimise_file

            facts |= optimise_file(job.optimise, voices=Path(job.speak.voices))
            made = True
        if job.speak is not None:
            from harness.models.smoke_test import speak

            facts |= speak(Path(job.speak.model), Path(job.speak.voices))
    except ModelError as error:
        return Answer(error=error.what, refusal=Refusal(what=error.what, where=error.where, remedy=error.remedy))
    except Exception as error:  # noqa: BLE001 - whatever the tools raise is the answer
        lines = [line.strip() for line in str(error).splitlines() if line.strip()]
        reason = f"{type(error).__name__}: {lines[-1] if lines else 'no reason given'}"
        return Answer(error=reason, made=made, facts=facts)
    return Answer(made=made, facts=facts)


def _read(job: Job) -> None:
    """Do what makes no model of another."""
    if job.replicate is not None:
        from harness.models.replica.assemble import build_model
        from harness.models.replica.recipe import Recipe

        build_model(Recipe(**job.replicate.recipe), Path(job.replicate.model))  # type: ignore[arg-type]
    if job.examine is not None:
        from harness.models.inspect import examine_file

        examine_file(job.examine)
    if job.compare_weights is not None:
        from harness.models.weights import compare_weights_file

        compare_weights_file(job.compare_weights)
    if job.feed is not None:
        from harness.models.quantise.calibration_inputs import feed_file

        feed_file(job.feed)


@contextlib.contextmanager
def _ending_with_the_parent() -> Iterator[None]:
    """End this process when its standard input ends, which happens whenever the parent ends."""

    def watch() -> None:
        while os.read(0, 1):  # not sys.stdin: its lock must not be held when the interpreter exits
            pass
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()
    yield


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
