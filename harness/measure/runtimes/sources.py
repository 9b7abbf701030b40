"""Makes wheels of packages that a runtime names by their source, so that an environment always has what its name says.

A wheel is built from a copy of the source: build tools write into the folder that they build. It is kept in the cache
under the digest of the files, or under the commit.
"""

import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
import tomllib
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from harness.core.errors import UsageError
from harness.core.records.scenario import UNCOMMITTED, Runtime
from harness.core.uv import run_uv
from harness.measure.runtimes.git import (
    OUTPUTS,
    GitError,
    commit_of,
    described_commit,
    git,
    git_bytes,
    has_changes,
    is_tracked,
)
from harness.plan.package_sources import (
    ADDRESS,
    COMMIT,
    LOCAL,
    LOCK,
    PATH,
    WHEEL,
    GitAddress,
    local_path,
    read_git,
)

UNBUILT = frozenset({".git", ".hg", ".venv", "venv", ".nox", ".tox", "__pycache__", "node_modules", "build", "dist"})
"""Folders that are no part of a package's source, for a folder in no git repository."""
BUILD_FILES = ("pyproject.toml", "setup.py")


@dataclass(frozen=True, slots=True, kw_only=True)
class Lines:
    """Requirements as uv reads them, and files of requirements, whose relative paths begin at `folder`.

    `lasting` says whether they name the same packages tomorrow.
    """

    lines: tuple[str, ...]
    files: tuple[Path, ...] = ()
    folder: Path | None = None
    lasting: bool = True


def settled_runtime(runtime: Runtime) -> Runtime:
    """The runtime with the commits that revisions of local git repositories name now. UsageError if there is none."""
    settled = tuple(map(_settled, runtime.requirements))
    return replace(runtime, requirements=settled)


def described_source(runtime: Runtime) -> str:
    """Short commit and subject line of a runtime's local git repository; "" if it has none.

    Of a folder in a repository, it ends with `UNCOMMITTED` if the folder has such changes.
    """
    with suppress(UsageError):  # without git there is no description
        for requirement in runtime.requirements:
            if found := _local_git(requirement):
                path, address = found
                return described_commit(path, address.revision)
            path = Path(requirement.removeprefix(PATH))
            if requirement.startswith(PATH) and path.is_dir() and is_tracked(path):
                changes = f" {UNCOMMITTED}" if has_changes(path) else ""
                return described_commit(path, "HEAD") + changes
    return ""


def _local_git(requirement: str) -> tuple[Path, GitAddress] | None:
    address = ADDRESS.fullmatch(requirement)
    if address is None or not address["address"].startswith(LOCAL):
        return None
    found = read_git(address["address"])
    return (Path(local_path(requirement)), found) if found else None


def _settled(requirement: str) -> str:
    found = _local_git(requirement)
    if found is None:
        return requirement
    path, address = found
    if not path.is_dir():
        raise UsageError(
            f"there is no git repository {path}",
            where=requirement,
            remedy="NAME @ git+file:///FOLDER@REVISION, with the folder's absolute path",
        )
    name = requirement.partition("@")[0].strip()
    return f"{name} @ {address.at(commit_of(path, address.revision or 'HEAD', where=requirement))}"


def as_lines(requirements: Sequence[str], *, root: Path) -> Lines:
    """The requirements with a wheel in place of each folder, from the folder `root` of runtimes. RuntimeBuildError."""
    lines: list[str] = []
    files: list[Path] = []
    folder, lasting = None, True
    for requirement in requirements:
        path = Path(requirement.removeprefix(PATH))
        if not requirement.startswith(PATH):
            lines.append(requirement)
            lasting = lasting and not _moves(requirement)
        elif path.is_dir():
            lines.append(_wheel_line(built_from(path, root=root)))
        elif path.name == LOCK:
            lines += _locked(path.parent, root=root)
        elif path.suffix in (".txt", ".in"):
            files.append(path)
            folder, lasting = path.parent, False
        elif path.is_file():
            lines.append(_wheel_line(_kept(path, root=root)))
        else:
            raise UsageError(f"there is no such file or folder: {path}", where="--runtime", remedy="correct the path")
    return Lines(lines=tuple(lines), files=tuple(files), folder=folder, lasting=lasting)


def _moves(requirement: str) -> bool:
    """Whether an address may have other content later: only a commit's has not."""
    address = ADDRESS.fullmatch(requirement)
    git_address = read_git(address["address"]) if address else None
    return address is not None and not (git_address and COMMIT.fullmatch(git_address.revision))


def with_wheels(pinned: Sequence[str], *, root: Path, folder: Path | None) -> tuple[str, ...]:
    """Resolved requirements with a wheel in place of each folder, which files of requirements may name."""
    return tuple(_pinned(each, root=root, folder=folder or Path.cwd()) for each in pinned)


def _pinned(line: str, *, root: Path, folder: Path) -> str:
    path = Path()
    if line.startswith(("-e ", "./", "../", "/", "file:")):
        path = folder / local_path(f"x @ {line}" if line.startswith("file:") else line.removeprefix("-e ").strip())
    elif " @ file:" in line:
        path = Path(local_path(line))
    else:
        return line
    if path.is_dir():
        return _wheel_line(built_from(path, root=root))
    return _wheel_line(path) if path.suffix == WHEEL else line


def _wheel_line(path: Path) -> str:
    """A file as a requirement. A wheel's name says the package."""
    uri = path.resolve().as_uri()
    return f"{path.name.partition('-')[0].replace('_', '-')} @ {uri}" if path.suffix == WHEEL else uri


def built_from(folder: Path, *, root: Path) -> Path:
    """The wheel of the package in a folder as it is now. RuntimeBuildError with the end of what the build prints."""
    _check_package(folder, str(folder))
    files = _source_files(folder)
    found = hashlib.sha256()
    for name in files:
        content = (folder / name).read_bytes()
        found.update(f"{name}\n{len(content)}\n".encode())
        found.update(content)
    with tempfile.TemporaryDirectory() as place:
        copy = Path(place) / folder.name

        def lay_out() -> Path:
            for name in files:
                (copy / name).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy2(folder / name, copy / name)
            _link_repository(folder, copy)
            return copy

        digest = found.hexdigest()[:16]
        target = root / "built" / digest
        return _wheel_in(target) or _build(lay_out(), target, what=str(folder))


def built_from_checkout(folder: Path, *, root: Path, name: str, what: str, report: Callable[[str], None]) -> Path:
    """The wheel of the package in a checkout of a commit, kept as `name`. RuntimeBuildError as for `built_from`."""
    _check_package(folder, what)
    target = root / "built" / name
    if (found := _wheel_in(target)) is not None:
        return found
    report(f"building {what}")
    return _build(folder, target, what=what)


def is_package(folder: Path) -> bool:
    """Whether a folder has what a package is built from."""
    table = _project_file(folder)
    return (folder / BUILD_FILES[1]).is_file() or "project" in table or "build-system" in table


def project_name(folder: Path) -> str:
    """The name of the project in a folder; "" if it has none."""
    project = _project_file(folder).get("project", {})
    return str(project.get("name", "")) if isinstance(project, dict) else ""


def _project_file(folder: Path) -> dict[str, Any]:
    """The content of pyproject.toml; empty if it cannot be read."""
    with suppress(OSError, tomllib.TOMLDecodeError, UnicodeDecodeError):
        return tomllib.loads((folder / BUILD_FILES[0]).read_text(encoding="utf-8"))
    return {}


def _check_package(folder: Path, what: str) -> None:
    if not is_package(folder):
        raise UsageError(
            f"this is no Python package: it has neither a {BUILD_FILES[0]} with [project] nor a {BUILD_FILES[1]}",
            where=what,
            remedy="name the folder that pip could install",
        )


def _wheel_in(target: Path) -> Path | None:
    return next(iter(sorted(target.glob(f"*{WHEEL}"))), None)


def _build(folder: Path, target: Path, *, what: str) -> Path:
    from filelock import FileLock

    target.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(f"{target}.lock"):
        if (found := _wheel_in(target)) is not None:
            return found
        with tempfile.TemporaryDirectory(dir=target.parent) as place:
            run_uv(
                "build", "--wheel", "--python", sys.executable, "--out-dir", place, str(folder),
                what=what, failure="the package cannot be built",
                remedy="`uv build --wheel` in its folder shows everything",
            )  # fmt: skip
            # The wheel is moved into its place as a whole: an interrupted build leaves none.
            wheel = next(iter(Path(place).glob(f"*{WHEEL}")))
            target.mkdir(exist_ok=True)
            os.replace(wheel, target / wheel.name)  # noqa: PTH105 - the same on every system
            return target / wheel.name


def _kept(path: Path, *, root: Path) -> Path:
    """A copy of a wheel or an sdist in the cache: another file may have its path later."""
    content = path.read_bytes()
    target = root / "built" / hashlib.sha256(content).hexdigest()[:16] / path.name
    if not target.is_file():
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(path, target)
    return target


def _source_files(folder: Path) -> list[str]:
    """The files of a package's source, relative and sorted: those that git tracks or does not ignore, or else all."""
    with suppress(GitError, UsageError, subprocess.TimeoutExpired):
        listed = git_bytes(folder, "ls-files", "-z", "--cached", "--others", "--exclude-standard", timeout_s=60.0)
        if names := [os.fsdecode(name) for name in listed.split(b"\0") if name]:
            return sorted({name for name in names if (folder / name).is_file() and not _is_output(name)})
    found = []
    for place, folders, names in os.walk(folder):
        folders[:] = [each for each in folders if each not in UNBUILT and not each.endswith(".egg-info")]
        found += [(Path(place) / name).relative_to(folder).as_posix() for name in names]
    return sorted(found)


def _is_output(name: str) -> bool:
    return any(f"/{folder}/" in f"/{name}" for folder in OUTPUTS)


def _link_repository(folder: Path, copy: Path) -> None:
    """Let git know the copy as a work tree of the same repository: some build tools take the version from tags."""
    if not (folder / ".git").exists():
        return
    with suppress(GitError, UsageError):
        (copy / ".git").write_text(f"gitdir: {git(folder, 'rev-parse', '--absolute-git-dir').strip()}\n")


def _locked(project: Path, *, root: Path) -> list[str]:
    """What a uv.lock pins, and the wheel of its project if that is a package."""
    exported = run_uv(
        "export", "--project", str(project), "--frozen", "--no-hashes", "--no-editable", "--no-dev", "--no-header",
        "--no-annotate", "--no-emit-project", "--quiet", "--python", sys.executable,
        what=str(project / LOCK), failure="the lock file cannot be read", remedy="`uv lock` in its folder writes it",
    )  # fmt: skip
    pins = [line.strip() for line in exported.splitlines() if line.strip() and not line.startswith("#")]
    lines = list(with_wheels(pins, root=root, folder=project))
    table = _project_file(project)
    packaged = table.get("tool", {}).get("uv", {}).get("package", "build-system" in table)
    return [*lines, _wheel_line(built_from(project, root=root))] if packaged else lines
