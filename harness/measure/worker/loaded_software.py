"""What a worker loaded: the engine's modules by their digest, the interpreter, and the packages that the engine needs.

A worker computes this at each launch, so it must take milliseconds and need the standard library only. Modules are
found by reading import statements: what an engine imports lazily counts as well, and the same arm always has the same
digest. A commit that touches no module of the worker changes nothing.
"""

import hashlib
import os
import platform
import re
import sys
import sysconfig
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache, lru_cache
from importlib.util import find_spec

import harness
from harness.core.records.repetition import LoadedSoftware
from harness.engines.builds import BUILDS, canonical
from harness.engines.registry import BUILT_IN, ENTRY_POINTS

HARNESS = "kokoro-bench"
WORKER = "harness.measure.worker.process"
SERVED, SERVER = "kokoro-server", "harness.server.reference"
"""The engine that starts a server, and the package with the server's modules."""

ROOTS: dict[str, tuple[str, ...]] = {
    "endpoint": (),
    "espeak": ("espeakng-loader", "numpy"),
    "kokoro": ("kokoro-onnx", *BUILDS, "numpy"),
    "kokoro-sentences": ("kokoro-onnx", *BUILDS, "numpy"),
    "kokoro-server": ("kokoro-onnx", *BUILDS, "numpy", "fastapi", "uvicorn", "soundfile"),
    "scripted": (),
}
"""Engine → the distributions that it uses. Those that they need count as well; the first one is what it wraps."""

MODULES = (".py", ".so", ".pyd")

_FROM = re.compile(rb"from (harness[\w.]*) import (?:\(([^)]*)\)|([^\n#(]+))")
_IMPORT = re.compile(rb"import (harness[\w.]*)")
"""Both begin with fixed text, which is found quickly. An import in a docstring counts too, which is harmless."""
_COMMENT = re.compile(rb"#[^\n]*")
_VERSION = re.compile(r"^Version:\s*(\S+)", re.MULTILINE)
_REQUIREMENT = re.compile(r"^Requires-Dist: *([A-Za-z0-9][A-Za-z0-9._-]*) *(?:\[([^\]\n]*)\])?([^\n]*)", re.MULTILINE)
_EXTRA = re.compile(r"""extra\s*==\s*["']([^"']+)["']""")


def loaded_software(engine: str) -> LoadedSoftware:
    """What this process loaded for `engine`. What cannot be found is left out."""
    roots, folder, modules = _parts(engine)
    folders = _metadata_folders()
    packages = _needed(roots, folders)
    main = next((canonical(name) for name in roots if canonical(name) in packages), "")
    return LoadedSoftware(
        engine_version=packages[main].version if main else "",
        engine_source=_digest(modules),
        interpreter=f"{platform.python_implementation()} {platform.python_version()}",
        packages=tuple(sorted((name, found.version) for name, found in packages.items())),
        local_packages=tuple(sorted((name, _content(found)) for name, found in packages.items() if found.is_local)),
        harness_version=_open(HARNESS, folders[HARNESS]).version if HARNESS in folders else "",
        from_checkout=not _is_installed(folder),
    )


def _parts(engine: str) -> tuple[Sequence[str], str, dict[str, str]]:
    """The engine's distributions, the folder of its source, and its modules: relative path → path."""
    root = harness.__path__[0]
    above = os.path.dirname(root)
    if engine in BUILT_IN:
        names = [WORKER, BUILT_IN[engine].partition(":")[0]]
        if engine == SERVED:
            names += [f"{SERVER}.{file[:-3]}" for file in os.listdir(_path(above, SERVER)) if file.endswith(".py")]
        return ROOTS[engine], root, harness_modules(names, above)
    from importlib.metadata import entry_points

    modules = harness_modules([WORKER], above)
    for entry in entry_points(group=ENTRY_POINTS, name=engine):
        folder, found = _package(entry.module.partition(".")[0])
        names = [entry.dist.name] if entry.dist else []
        return [*names, "numpy"], folder or root, modules | found
    return (), root, modules


# --- modules ----------------------------------------------------------------------------------------------------------


def harness_modules(roots: Sequence[str], folder: str) -> dict[str, str]:
    """The modules of the harness in `folder` that `roots` import, directly or not: relative path → path."""
    waiting, seen, found = list(roots), set[str](), dict[str, str]()
    while waiting:
        name = waiting.pop()
        if name in seen:
            continue
        seen.add(name)
        path = _file(folder, name)
        if not path:
            continue
        found[path[len(folder) + 1 :].replace(os.sep, "/")] = path
        if parent := name.rpartition(".")[0]:
            waiting.append(parent)
        for module, names in imported(_read(path)):
            waiting.append(module)
            # Only a package has names that are modules.
            if names and _is_package(folder, module):
                waiting += [f"{module}.{each}" for each in names]
    return found


def imported(source: bytes) -> Iterator[tuple[str, list[str]]]:
    """Each module of the harness that a module imports, with the names that it imports from there."""
    for module in _IMPORT.findall(source):
        yield module.decode(), []
    for module, several, names in _FROM.findall(source):
        parts = _COMMENT.sub(b"", several or names).decode().split(",")
        yield module.decode(), [each.split()[0] for each in parts if each.strip()]


@cache
def _is_package(folder: str, name: str) -> bool:
    return os.path.isdir(_path(folder, name))


def _path(folder: str, name: str) -> str:
    return os.path.join(folder, *name.split("."))


def _file(folder: str, name: str) -> str:
    path = _path(folder, name)
    if os.path.isfile(f"{path}.py"):
        return f"{path}.py"
    package = os.path.join(path, "__init__.py")
    return package if os.path.isfile(package) else ""


def _package(name: str) -> tuple[str, dict[str, str]]:
    """The folder of a package of others, and all of its modules: relative path → path."""
    spec = find_spec(name)
    if spec is None or spec.origin is None:
        return "", {}
    folder, file = os.path.split(spec.origin)
    if not spec.submodule_search_locations:
        return folder, {file: spec.origin}
    found = {}
    for inside, _, files in os.walk(folder):
        for each in files:
            if each.endswith(MODULES):
                path = os.path.join(inside, each)
                found[os.path.relpath(path, os.path.dirname(folder)).replace(os.sep, "/")] = path
    return folder, found


def _digest(modules: dict[str, str]) -> str:
    """SHA-256 over paths and contents. Line endings count as one: git may change them on another system."""
    found = hashlib.sha256()
    for name, path in sorted(modules.items()):
        content = _read(path)
        if name.endswith(".py"):
            content = content.replace(b"\r\n", b"\n")
        found.update(f"{name}\n{len(content)}\n".encode())
        found.update(content)
    return found.hexdigest()


@lru_cache(maxsize=256)  # read to find its imports, and again for the digest
def _read(path: str) -> bytes:
    with open(path, "rb") as file:
        return file.read()


def _is_installed(folder: str) -> bool:
    places = (os.path.realpath(sysconfig.get_path(kind)) for kind in ("purelib", "platlib"))
    return any(os.path.realpath(folder).startswith(place + os.sep) for place in places)


# --- packages ---------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class _Package:
    """An installed distribution: the folder with its metadata, and the head of these."""

    name: str
    folder: str
    head: str

    @property
    def version(self) -> str:
        found = _VERSION.search(self.head)
        return found[1] if found else ""

    @property
    def is_local(self) -> bool:
        """Whether it was installed from a folder, a repository or a file: its version does not tell its content."""
        return os.path.isfile(os.path.join(self.folder, "direct_url.json"))

    def requirements(self, extras: frozenset[str]) -> Iterator[tuple[str, frozenset[str]]]:
        """What it requires, with the extras of each. Requirements of other systems are not installed anyway."""
        for name, wanted, marker in _REQUIREMENT.findall(self.head):
            extra = _EXTRA.search(marker)
            if extra is None or extra[1] in extras:
                yield name, frozenset(part.strip() for part in wanted.split(",") if part.strip())

    def text(self, name: str) -> str:
        try:
            with open(os.path.join(self.folder, name), encoding="utf-8", errors="replace") as file:
                return file.read()
        except OSError:
            return ""


def _needed(roots: Sequence[str], folders: Mapping[str, str]) -> dict[str, _Package]:
    """The installed distributions among `roots` and what they need, by canonical name, without kokoro-bench itself."""
    waiting = [(name, frozenset[str]()) for name in roots]
    found: dict[str, _Package] = {}
    seen = set()
    while waiting:
        name, extras = waiting.pop()
        name = canonical(name)
        if (name, extras) in seen or name == HARNESS or name not in folders:
            continue
        seen.add((name, extras))
        if name not in found:
            found[name] = _open(name, folders[name])
        waiting += found[name].requirements(extras)
    return found


def _metadata_folders() -> dict[str, str]:
    """Canonical name → folder with the metadata, of every distribution. Looking up each name by itself takes longer."""
    found: dict[str, str] = {}
    for place in sys.path:
        try:
            names = os.listdir(place or ".")
        except OSError:
            continue
        for name in names:
            if name.endswith((".dist-info", ".egg-info")):
                plain = name.rpartition(".")[0].partition("-")[0].replace("_", "-").replace(".", "-").lower()
                found.setdefault(plain, os.path.join(place, name))
    return found


def _open(name: str, folder: str) -> _Package:
    package = _Package(name=name, folder=folder, head="")
    text = package.text("METADATA") or package.text("PKG-INFO")
    return replace(package, head=text.partition("\n\n")[0])


def _content(package: _Package) -> str:
    """A digest of what a distribution installed: of the record of its files, or of its modules if it is editable."""
    lines = [line for line in package.text("RECORD").splitlines() if ".dist-info/" not in line and ",sha256=" in line]
    if lines and not any("__editable__" in line or line.partition(",")[0].endswith(".pth") for line in lines):
        return hashlib.sha256("\n".join(sorted(lines)).encode()).hexdigest()
    modules: dict[str, str] = {}
    for name in package.text("top_level.txt").split() or [package.name.replace("-", "_")]:
        modules |= _package(name)[1]
    return _digest(modules)
