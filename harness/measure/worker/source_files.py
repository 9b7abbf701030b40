"""The source files of a worker, found by reading import statements, and their digest.

Nothing is imported: what an engine imports lazily counts as well, and the same arm always has the same digest.
"""

import hashlib
import os
import re
from collections.abc import Iterator, Sequence
from functools import cache, lru_cache
from importlib.util import find_spec

MODULES = (".py", ".so", ".pyd")

_FROM = re.compile(rb"from (harness[\w.]*) import (?:\(([^)]*)\)|([^\n#(]+))")
_IMPORT = re.compile(rb"import (harness[\w.]*)")
"""Both begin with fixed text, which is found quickly. An import in a docstring counts too, which is harmless."""
_COMMENT = re.compile(rb"#[^\n]*")


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
        for module, names in imported(read(path)):
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


def package_modules(name: str) -> tuple[str, dict[str, str]]:
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


def digest_of(modules: dict[str, str]) -> str:
    """SHA-256 over paths and contents. Line endings count as one: git may change them on another system."""
    found = hashlib.sha256()
    for name, path in sorted(modules.items()):
        content = read(path)
        if name.endswith(".py"):
            content = content.replace(b"\r\n", b"\n")
        found.update(f"{name}\n{len(content)}\n".encode())
        found.update(content)
    return found.hexdigest()


@lru_cache(maxsize=256)  # read to find its imports, and again for the digest
def read(path: str) -> bytes:
    """The content of a file."""
    with open(path, "rb") as file:
        return file.read()
