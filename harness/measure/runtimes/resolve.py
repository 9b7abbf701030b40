"""Resolves requirements to a pinned set of packages that a worker can run with."""

import hashlib
import platform
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

from harness.core.comma_lists import listed
from harness.core.errors import RuntimeBuildError
from harness.core.files import write_atomically
from harness.core.uv import run_uv
from harness.engines.builds import (
    MODULE,
    PLAIN,
    builds_in,
    distribution_of,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Resolution:
    """Every package with its version, and the digest that names the environment made of them."""

    pinned: tuple[str, ...]
    digest: str


def with_defaults(requirements: Sequence[str]) -> tuple[str, ...]:
    """Add what a worker needs to `requirements`, in the versions of this environment.

    Another build of ONNX Runtime replaces `onnxruntime`, because it installs the same module.
    """
    names = {distribution_of(requirement) for requirement in requirements}
    found = list(requirements)
    if not builds_in(requirements):
        found.append(f"onnxruntime=={version('onnxruntime')}")
    if "kokoro-onnx" not in names:
        found.append(f"kokoro-onnx=={version('kokoro-onnx')}")
    found += [package for package in ("numpy", "psutil") if package not in names]
    return tuple(sorted(found))


def overrides(requirements: Sequence[str]) -> tuple[str, ...]:
    """Overrides that keep kokoro-onnx from installing the plain distribution if another build is requested."""
    # A marker that never holds removes a requirement: uv documents overrides as replacements.
    return (f"{PLAIN}; python_version < '3'",) if builds_in(requirements) not in ((), (PLAIN,)) else ()


def resolve(requirements: Sequence[str], *, remembered: Path, refresh: bool = False) -> Resolution:
    """Pin `requirements`. Without `refresh`, reuse an earlier resolution. Raises RuntimeBuildError if nothing fits."""
    wanted = with_defaults(requirements)
    file = remembered / f"{_digest([*wanted, *_platform()])}.txt"
    if refresh or not file.is_file():
        write_atomically(file, _compile(wanted).encode())
    lines = file.read_text(encoding="utf-8").splitlines()
    pinned = tuple(line.strip() for line in lines if line.strip() and not line.startswith("#"))
    _refuse_brought_builds(pinned, wanted)
    return Resolution(pinned=pinned, digest=digest_of(pinned))


def _refuse_brought_builds(pinned: Sequence[str], wanted: Sequence[str]) -> None:
    """Refuse requirements that pull in a second build of ONNX Runtime through a dependency."""
    builds = builds_in(pinned)
    if len(builds) > 1:
        others = [name for name in builds if name != PLAIN]
        raise RuntimeBuildError(
            f"{listed(builds)} would overwrite one another: all of them install the module {MODULE}, and "
            "the requirements bring all of them",
            where=", ".join(wanted),
            remedy=f"request {others[0]} by name, so that it replaces {PLAIN}"
            if len(others) == 1
            else "leave out the package that installs one of them",
        )


def _compile(wanted: Sequence[str]) -> str:
    arguments = ["pip", "compile", "-", "--python", sys.executable, "--no-header", "--no-annotate", "--quiet"]
    replaced = overrides(wanted)
    if not replaced:
        return run_uv(*arguments, given="\n".join(wanted), what=", ".join(wanted))
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "overrides.txt"
        file.write_text("\n".join(replaced), encoding="utf-8")
        return run_uv(*arguments, "--overrides", str(file), given="\n".join(wanted), what=", ".join(wanted))


def digest_of(pinned: Sequence[str], *, python: str = "") -> str:
    """The digest that names the environment of these packages and of this version of Python ("": of this one)."""
    version_here, *others = _platform()
    return _digest([*pinned, python or version_here, *others])


def _platform() -> list[str]:
    """Other properties that decide which files are installed."""
    return [platform.python_version(), sys.platform, platform.machine()]


def _digest(parts: Sequence[str]) -> str:
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:16]
