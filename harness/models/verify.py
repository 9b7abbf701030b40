"""Verifies that a model matches the catalogue and works. All checks run, even if one fails."""

import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path

from harness.core.errors import ModelError, PackageError
from harness.models.files import ModelFiles, sha256_of
from harness.models.inspect import examine
from harness.models.jobs import Job, Speak, run_child
from harness.models.public import BY_SHA256
from harness.models.voices import describe_voices
from harness.models.weight_check import check_weights


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """A check of a model: its name, whether it passed, and its result as text."""

    name: str
    passed: bool
    detail: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Verification:
    """The checks of a model, and the digest of its current bytes."""

    model_path: Path
    sha256: str
    checks: tuple[Check, ...]

    @property
    def passed(self) -> bool:
        return all(check.passed for check in self.checks)


def verify(model: Path, voices: Path, *, expected: str = "", parent: ModelFiles | None = None) -> Verification:
    """Hash a model without the cache, parse it, check its voices, and synthesise with it.

    If the model that it was made from is known (`parent`), the weights of the two are compared.
    `expected` is the expected digest, or "" if unknown: any digest then passes. Raises ModelError only if there is
    no file to verify, or PackageError if a package for the checks is missing.
    """
    sha256 = sha256_of(model)
    checks = [_digest(sha256, expected), _graph(model), _voices(voices)]
    if parent is not None:
        checks.append(_weights(model, parent))
    if all(check.passed for check in checks[1:]):
        checks.append(_speech(model, voices))
    return Verification(model_path=model, sha256=sha256, checks=tuple(checks))


def _digest(sha256: str, expected: str) -> Check:
    if expected and sha256 != expected:
        return Check(name="digest", passed=False, detail=f"SHA-256 {sha256}, should be {expected}")
    if not expected and sha256 not in BY_SHA256:
        return Check(name="digest", passed=True, detail=f"SHA-256 {sha256}, never seen before")
    return Check(name="digest", passed=True, detail=f"SHA-256 {sha256}")


def _graph(path: Path) -> Check:
    try:
        facts = examine(path, check=True)
    except PackageError:
        raise
    except ModelError as error:
        return Check(name="graph", passed=False, detail=error.what)
    nodes = sum(facts.operators.values())
    detail = f"opset {facts.opset}, {nodes:,} nodes of {len(facts.operators)} types, {facts.elements:,} elements"
    return Check(name="graph", passed=True, detail=detail)


def _voices(path: Path) -> Check:
    try:
        return Check(name="voices", passed=True, detail=describe_voices(path))
    except ModelError as error:
        return Check(name="voices", passed=False, detail=error.what)


def _weights(model: Path, parent: ModelFiles) -> Check:
    try:
        found = check_weights(model, parent.model_path)
    except PackageError:
        raise
    except ModelError as error:
        return Check(name="weights", passed=False, detail=error.what)
    detail = found.text or f"{found.compared} tensors are those of {parent.variant.name}, but for rounding"
    return Check(name="weights", passed=not found.text, detail=detail)


def _speech(model: Path, voices: Path) -> Check:
    work = Path(tempfile.mkdtemp(prefix="kokoro-bench-"))
    try:
        answer = run_child(Job(speak=Speak(model=str(model.absolute()), voices=str(voices.absolute()))), work)
    except PackageError:
        raise
    except ModelError as error:
        return Check(name="speech", passed=False, detail=error.what)
    finally:
        shutil.rmtree(work, ignore_errors=True)
    if answer.error:
        return Check(name="speech", passed=False, detail=answer.error)
    seconds, level = float(answer.facts["audio_s"]), float(answer.facts["dbfs"])
    return Check(name="speech", passed=True, detail=f"{seconds:.2f} s of audio at {level:.1f} dBFS")
