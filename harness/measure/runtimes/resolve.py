"""Resolves requirements to a pinned set of packages that a worker can run with."""

import hashlib
import platform
import sys
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
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
from harness.engines.registry import HARNESS
from harness.measure.runtimes.sources import Lines, as_lines, with_wheels
from harness.plan.package_sources import is_source

NEVER = "python_version < '3'"
"""A marker that never holds. An override with it removes a requirement."""
WORKER = ("numpy", "psutil")
"""Packages that every worker needs."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Resolution:
    """Every package with its version, and the digest that names the environment made of them."""

    pinned: tuple[str, ...]
    digest: str


def with_defaults(requirements: Sequence[str], *, named: Sequence[str] = (), own: bool = True) -> tuple[str, ...]:
    """Add what a worker needs to `requirements`, in the versions of this environment.

    Another build of ONNX Runtime replaces `onnxruntime`, because it installs the same module. `named` are what they
    bring. `own` is False for an engine of another package, which brings what it needs itself.
    """
    given = (*requirements, *named)
    names = {distribution_of(requirement) for requirement in given}
    found = list(requirements)
    if own and not builds_in(given):
        found.append(f"onnxruntime=={version('onnxruntime')}")
    if own and "kokoro-onnx" not in names:
        found.append(f"kokoro-onnx=={version('kokoro-onnx')}")
    found += [package for package in WORKER if package not in names]
    return tuple(sorted(found))


def overrides(requirements: Sequence[str]) -> tuple[str, ...]:
    """Overrides that keep kokoro-onnx from installing the plain distribution if another build is requested."""
    return (f"{PLAIN}; {NEVER}",) if builds_in(requirements) not in ((), (PLAIN,)) else ()


def _without_harness(requirements: Sequence[str]) -> tuple[str, ...]:
    """An override that keeps an engine from installing kokoro-bench: its worker loads the harness that runs now."""
    names = {distribution_of(requirement) for requirement in requirements}
    return () if HARNESS in names else (f"{HARNESS}; {NEVER}",)


def resolve(requirements: Sequence[str], *, root: Path, own: bool = True, refresh: bool = False) -> Resolution:
    """Pin `requirements`. `root` is the folder of runtimes, `own` is as for `with_defaults`.

    What a source of packages needs takes precedence over the versions of this environment. Without `refresh`, reuse an
    earlier resolution, unless a requirement may have moved. Raises RuntimeBuildError if nothing fits or a package
    cannot be built.
    """
    lines = as_lines(requirements, root=root)
    named: tuple[str, ...] = ()
    if not own or any(map(is_source, requirements)):
        named = _pin(replace(lines, lines=with_defaults(lines.lines, own=False)), (), root=root, refresh=refresh)
    if not own:
        return Resolution(pinned=named, digest=digest_of(named))
    wanted = with_defaults(lines.lines, named=named)
    pinned = _pin(replace(lines, lines=wanted), overrides((*wanted, *named)), root=root, refresh=refresh)
    return Resolution(pinned=pinned, digest=digest_of(pinned))


def _pin(wanted: Lines, replaced: Sequence[str], *, root: Path, refresh: bool) -> tuple[str, ...]:
    file = root / "resolved" / f"{_digest([*wanted.lines, *_platform()])}.txt"
    if refresh or not wanted.lasting or not file.is_file():
        write_atomically(file, _compile(wanted, (*replaced, *_without_harness(wanted.lines))).encode())
    found = (line.strip() for line in file.read_text(encoding="utf-8").splitlines())
    pinned = with_wheels(
        [line for line in found if line and not line.startswith(("#", "--"))], root=root, folder=wanted.folder
    )
    _refuse_brought_builds(pinned, wanted.lines)
    return pinned


def brings(requirement: str, packages: Collection[str], *, root: Path) -> bool:
    """Whether a requirement is one of `packages`, or needs one of them. Those of every worker do not count."""
    found = resolve((requirement,), root=root, own=False).pinned
    return bool({distribution_of(each) for each in found} & (set(packages) - set(WORKER)))


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


def _compile(wanted: Lines, replaced: Sequence[str]) -> str:
    files = [str(file) for file in wanted.files]
    arguments = ["pip", "compile", "-", *files, "--python", sys.executable, "--no-header", "--no-annotate", "--quiet"]
    what, given = ", ".join(wanted.lines), "\n".join(wanted.lines)
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "overrides.txt"
        file.write_text("\n".join(replaced), encoding="utf-8")
        return run_uv(*arguments, "--overrides", str(file), given=given, what=what, folder=wanted.folder)


def digest_of(pinned: Sequence[str], *, python: str = "") -> str:
    """The digest that names the environment of these packages and of this version of Python ("": of this one)."""
    version_here, *others = _platform()
    return _digest([*pinned, python or version_here, *others])


def _platform() -> list[str]:
    """Other properties that decide which files are installed."""
    return [platform.python_version(), sys.platform, platform.machine()]


def _digest(parts: Sequence[str]) -> str:
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:16]
