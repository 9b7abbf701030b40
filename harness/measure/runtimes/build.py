"""Builds virtual environments, named by the digest of their packages. All checkouts share them."""

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from harness.core.errors import RuntimeBuildError, UsageError, nearest
from harness.core.files import write_atomically
from harness.core.names import slug
from harness.core.records.scenario import Runtime
from harness.core.uv import run_uv
from harness.engines.builds import PLAIN, builds_in, distribution_of, refuse_several_builds
from harness.engines.declarations import BUILT_IN, KOKORO
from harness.engines.registry import ENTRY_POINTS, HARNESS, SEVERAL_REMEDY, several
from harness.measure.runtimes.resolve import digest_of, resolve
from harness.measure.runtimes.sources import settled_runtime
from harness.plan.package_sources import is_source, read_source, runtime_name, split_requirements

CHECK_TIMEOUT_S = 120.0
MARKER = "kokoro-bench.json"
"""The file that is written last. An environment without it is incomplete."""
CHECK = """
import json
import {modules}
from importlib import metadata
entries = metadata.entry_points(group="kokoro_bench.engines")
found = dict(
    builds=sorted(set(metadata.packages_distributions().get("onnxruntime", ()))),
    engines=[(each.name, f"{{each.dist.name}} {{each.dist.version}}") for each in entries if each.dist],
)
print(json.dumps(found))
"""
"""Prints the distributions that install ONNX Runtime, each of which overwrites files of those installed before it, and
the engines: name and distribution."""
MODULES = {"kokoro_onnx": "kokoro-onnx", "numpy": "numpy", "onnxruntime": PLAIN, "psutil": "psutil"}
"""Module → the distribution that installs it: what a new environment is checked for, if it has the distribution."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Environment:
    """An existing environment. `size` is in bytes, `used_at` in seconds since the epoch."""

    name: str
    requirements: tuple[str, ...]
    pinned: tuple[str, ...]
    python: Path
    path: Path
    size: int
    used_at: float


class Runtimes:
    """The environments under the cache's root."""

    def __init__(self, root: Path) -> None:
        self.root = root / "runtimes"

    def build(
        self,
        runtime: Runtime,
        *,
        engine: str = KOKORO.name,
        report: Callable[[str], None] = lambda _message: None,
        refresh: bool = False,
    ) -> Path:
        """The interpreter of a runtime for an engine, which is built if needed.

        Raises RuntimeBuildError, and UsageError if it does not have the engine.
        """
        from filelock import FileLock

        own = engine in BUILT_IN
        resolution = resolve(runtime.requirements, root=self.root, own=own, refresh=refresh)
        path = self.root / resolution.digest
        with FileLock(str(self.root / f"{resolution.digest}.lock")):
            if not (path / MARKER).is_file():
                report(f"building runtime {runtime.name}")
                self._build(path, runtime, resolution.pinned)
            os.utime(path / MARKER)
        described = json.loads((path / MARKER).read_text(encoding="utf-8"))
        engines = described.get("engines")
        if engines is None:  # built by an earlier version
            engines = described["engines"] = _check(path, runtime, resolution.pinned)
            write_atomically(path / MARKER, json.dumps(described, indent=1).encode())
        require_engine(engine, engines, where=runtime.name)
        return interpreter(path)

    def build_pinned(
        self, name: str, pinned: Sequence[str], *, python: str = "", report: Callable[[str], None]
    ) -> Path:
        """The interpreter of an environment with exactly these packages ("name==version"), which is built if needed.

        `python` is the version of the interpreter; "" for the one that runs now. Raises RuntimeBuildError.
        """
        from filelock import FileLock

        path = self.root / digest_of(pinned, python=python)
        path.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(str(path) + ".lock"):
            if not (path / MARKER).is_file():
                report(f"building the environment of {name}")
                self._build(path, Runtime(name=name, requirements=tuple(pinned)), pinned, python=python)
            os.utime(path / MARKER)
        return interpreter(path)

    def list(self) -> tuple[Environment, ...]:
        """All environments, the last used first."""
        found = [self._describe(marker.parent) for marker in self.root.glob(f"*/{MARKER}")]
        return tuple(sorted(found, key=lambda environment: -environment.used_at))

    def prune(self, *, unused_s: float) -> tuple[Environment, ...]:
        """Remove and return the environments that were not used for `unused_s` seconds."""
        old = [each for each in self.list() if time.time() - each.used_at >= unused_s]
        for environment in old:
            # Remove the marker first: a half-removed environment must not look complete.
            (environment.path / MARKER).unlink(missing_ok=True)
            shutil.rmtree(environment.path, ignore_errors=True)
        for wheels in (self.root / "built").glob("*/"):
            if time.time() - wheels.stat().st_mtime >= unused_s:
                shutil.rmtree(wheels, ignore_errors=True)
        return tuple(old)

    def _build(self, path: Path, runtime: Runtime, pinned: Sequence[str], *, python: str = "") -> None:
        shutil.rmtree(path, ignore_errors=True)
        path.parent.mkdir(parents=True, exist_ok=True)
        chosen, retries = (python, 1) if python else (sys.executable, None)
        run_uv("venv", "--quiet", "--python", chosen, str(path), what=runtime.name, retries=retries)
        run_uv(
            "pip", "install", "--quiet", "--no-deps", "--python", str(interpreter(path)), "-r", "-",
            given="\n".join(pinned), what=runtime.name,
        )  # fmt: skip
        described = {
            "name": runtime.name,
            "requirements": list(runtime.requirements),
            "pinned": list(pinned),
            "engines": _check(path, runtime, pinned),
        }
        (path / MARKER).write_text(json.dumps(described, indent=1) + "\n", encoding="utf-8")

    def _describe(self, path: Path) -> Environment:
        described = json.loads((path / MARKER).read_text(encoding="utf-8"))
        return Environment(
            name=described["name"],
            requirements=tuple(described["requirements"]),
            pinned=tuple(described["pinned"]),
            python=interpreter(path),
            path=path,
            size=sum(file.lstat().st_size for file in path.rglob("*") if file.is_file()),
            used_at=(path / MARKER).stat().st_mtime,
        )


def declared(tables: Mapping[str, object], *, root: Path) -> dict[str, Runtime]:
    """The runtimes of `[tool.kokoro-bench.runtimes]`; relative paths begin at `root`."""
    table = tables.get("runtimes", {})
    if not isinstance(table, Mapping):
        raise UsageError(
            "must be a table", where="[tool.kokoro-bench.runtimes]", remedy='old = ["onnxruntime==1.20.1"]'
        )
    found = {}
    for name, requirements in table.items():
        if not isinstance(requirements, list) or not all(isinstance(each, str) for each in requirements):
            raise UsageError(
                f"{name} must be a list of requirements",
                where="[tool.kokoro-bench.runtimes]",
                remedy=f'{name} = ["onnxruntime==1.20.1"]',
            )
        refuse_several_builds(requirements, where=f"[tool.kokoro-bench.runtimes] {name}")
        placed = (_placed(each, root, where=f"[tool.kokoro-bench.runtimes] {name}") for each in requirements)
        found[name] = Runtime(name=slug(name), requirements=tuple(placed))
    return found


def _placed(requirement: str, root: Path, *, where: str) -> str:
    """A requirement with its path from `root` on. That it exists is checked when it is used."""
    return read_source(requirement, base=root, where=where, check=False) if is_source(requirement) else requirement


def find_runtime(text: str, known: Mapping[str, Runtime], *, where: str = "--runtime") -> Runtime:
    """A declared runtime by its name, or one made of the requirements in `text`, separated by spaces.

    UsageError for an unknown name, and for a path or a git revision that does not exist.
    """
    if text in known:
        return settled_runtime(known[text])
    items = split_requirements(text, base=Path.cwd())
    sources = [each for each in items if is_source(each)]
    if not sources and not any(sign in text for sign in "<>=~!"):
        raise UsageError(f"no runtime {text!r}", where=where, remedy=nearest(text, list(known)))
    items = [read_source(each, base=Path.cwd(), where=where) if each in sources else each for each in items]
    refuse_several_builds(items, where=where)
    name = runtime_name(items) if sources else slug(text)
    return settled_runtime(Runtime(name=name, requirements=tuple(sorted(items))))


def interpreter(path: Path) -> Path:
    """The Python of a virtual environment."""
    return path / ("Scripts/python.exe" if os.name == "nt" else "bin/python")


def check_imports(python: Path, code: str, *, name: str, remedy: str = "") -> str:
    """What an interpreter prints for `code`. RuntimeBuildError if an import fails or does not end."""
    command = [str(python), "-I", "-X", "utf8", "-c", code]
    try:
        done = subprocess.run(
            command, capture_output=True, encoding="utf-8", errors="replace", check=False, timeout=CHECK_TIMEOUT_S
        )
    except subprocess.TimeoutExpired as error:
        raise RuntimeBuildError("installed, but an import does not end", where=name, remedy=remedy) from error
    if done.returncode:
        reason = (done.stderr.strip().splitlines() or [f"exit code {done.returncode}"])[-1]
        raise RuntimeBuildError(f"installed, but an import fails: {reason}", where=name, remedy=remedy)
    return done.stdout


def _check(path: Path, runtime: Runtime, pinned: Sequence[str]) -> list[list[str]]:
    """The engines of an environment: name and distribution.

    Its imports are checked now, so that a broken environment does not surface as a lost worker.
    """
    names = {distribution_of(requirement) for requirement in pinned}
    modules = [module for module, found in MODULES.items() if found in names or (found == PLAIN and builds_in(pinned))]
    code = CHECK.format(modules=", ".join(modules) or "sys")
    printed = check_imports(interpreter(path), code, name=runtime.name, remedy="choose compatible versions")
    found = json.loads(printed.splitlines()[-1])
    brought_by = found["builds"]
    if len(brought_by) > 1:
        raise RuntimeBuildError(
            f"{' and '.join(brought_by)} overwrite one another: all of them install the module onnxruntime",
            where=runtime.name,
            remedy="request packages that install only one of them",
        )
    engines: list[list[str]] = found["engines"]
    return engines


def require_engine(engine: str, engines: Sequence[Sequence[str]], *, where: str) -> None:
    """Raise UsageError unless exactly one package brings the engine. `engines` are pairs of name and distribution."""
    ours = [HARNESS] if engine in BUILT_IN else []
    brought_by = sorted({*ours, *(package for name, package in engines if name == engine)})
    if not brought_by:
        names = sorted({name for name, _ in engines})
        raise UsageError(
            f"this runtime has no engine {engine!r}",
            where=where,
            remedy=nearest(engine, names)
            if names
            else f"its package needs an entry point {engine} in the group {ENTRY_POINTS}",
        )
    if len(brought_by) > 1:
        raise UsageError(several(engine, brought_by), where=where, remedy=SEVERAL_REMEDY)
