"""Compares the weights of a model with its original's in a child process, once for each pair of files."""

import contextlib
import tempfile
from pathlib import Path

import msgspec

from harness.core.errors import ModelError
from harness.core.files import write_atomically
from harness.core.record_files import read_record
from harness.models.files import ModelFiles
from harness.models.jobs import CompareWeights, Job, run_child
from harness.models.weights import FORMAT, WeightFindings


def check_weights(model: Path, original: Path) -> WeightFindings:
    """The findings for two files. Raises ModelError if one of them cannot be read."""
    with tempfile.TemporaryDirectory(prefix="kokoro-bench-", ignore_cleanup_errors=True) as work:
        found = Path(work) / "weights.json"
        job = CompareWeights(model=str(model.absolute()), original=str(original.absolute()), found=str(found))
        answer = run_child(Job(compare_weights=job), Path(work))
        if answer.error:
            raise ModelError(f"its weights cannot be compared: {answer.error}", where=str(model))
        return msgspec.json.decode(found.read_bytes(), type=WeightFindings)


def known_weights(model: ModelFiles, original: ModelFiles, folder: Path) -> WeightFindings:
    """The findings for two models of known digests, from the files in `folder` or newly made. Raises ModelError."""
    memory = folder / f"{model.variant.sha256}-{original.variant.sha256}.json"
    found = read_record(memory, WeightFindings)
    if found is None or found.format != FORMAT:
        found = check_weights(model.model_path, original.model_path)
        with contextlib.suppress(OSError):
            write_atomically(memory, msgspec.json.encode(found))
    return found
