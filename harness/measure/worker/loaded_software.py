"""What a worker loaded: the engine's modules by their digest, the interpreter, and the packages that the engine needs.

A worker computes this at each launch, so it must take milliseconds and need the standard library only. Modules are
found by reading import statements: what an engine imports lazily counts as well, and the same arm always has the same
digest. A commit that touches no module of the worker changes nothing.
"""

import os
import platform
import sys
from collections.abc import Mapping, Sequence

import harness
from harness.core.records.repetition import LoadedSoftware
from harness.engines.builds import canonical
from harness.engines.declarations import BUILT_IN, Declaration
from harness.engines.registry import ENTRY_POINTS
from harness.measure.worker.installed_packages import (
    HARNESS,
    commit_of,
    content_of,
    metadata_folders,
    needed,
    open_package,
)
from harness.measure.worker.source_files import digest_of, harness_modules, package_modules, read

WORKER = "harness.measure.worker.process"


def loaded_software(engine: str) -> LoadedSoftware:
    """What this process loaded for `engine`. What cannot be found is left out.

    If a part cannot be read, nothing is reported: half a subject could be mistaken for another one. A launch must not
    fail for it.
    """
    try:
        return _loaded(engine)
    except (ImportError, OSError, ValueError) as error:
        print(f"what this worker loaded is not known: {type(error).__name__}: {error}", file=sys.stderr)  # noqa: T201
        return LoadedSoftware()
    finally:
        read.cache_clear()  # the worker's memory is measured from here on


def _loaded(engine: str) -> LoadedSoftware:
    roots, folder, modules = _parts(engine)
    folders = metadata_folders(sys.path)
    packages = needed(roots, folders)
    main = next((canonical(name) for name in roots if canonical(name) in packages), "")
    return LoadedSoftware(
        engine_version=packages[main].version if main else "",
        engine_source=digest_of(modules),
        interpreter=f"{platform.python_implementation()} {platform.python_version()}",
        packages=tuple(sorted((name, found.version) for name, found in packages.items())),
        local_packages=tuple((name, content) for name in sorted(packages) if (content := content_of(packages[name]))),
        harness_version=_harness_version(folders),
        from_checkout=not _is_installed(folder),
        git_packages=tuple(commit for name in sorted(packages) if (commit := commit_of(packages[name]))),
    )


def built_in_source(engine: str, folder: str) -> str:
    """The digest of the modules of a built-in engine, of the harness in `folder`; "" if it is not there."""
    declared = BUILT_IN[engine]
    modules = _built_in(declared, folder)
    return digest_of(modules) if f"{declared.module.replace('.', '/')}.py" in modules else ""


def _built_in(engine: Declaration, folder: str) -> dict[str, str]:
    names = [WORKER, engine.module]
    server = os.path.join(folder, *engine.server.split("."))
    if engine.server and os.path.isdir(server):
        names += [f"{engine.server}.{file[:-3]}" for file in os.listdir(server) if file.endswith(".py")]
    return harness_modules(names, folder)


def _parts(engine: str) -> tuple[Sequence[str], str, dict[str, str]]:
    """The engine's distributions, the folder of its source, and its modules: relative path → path."""
    root = harness.__path__[0]
    above = os.path.dirname(root)
    if declared := BUILT_IN.get(engine):
        return declared.packages, root, _built_in(declared, above)
    from importlib.metadata import entry_points

    modules = harness_modules([WORKER], above)
    for entry in entry_points(group=ENTRY_POINTS, name=engine):
        folder, found = package_modules(entry.module.partition(".")[0])
        names = [entry.dist.name] if entry.dist else []
        return [*names, "numpy"], folder or root, modules | found
    return (), root, modules


def _harness_version(folders: Mapping[str, str]) -> str:
    """The version of kokoro-bench, which may be installed in another environment than the worker's; "" if unknown."""
    beside = os.path.dirname(harness.__path__[0])
    folder = folders.get(HARNESS) or metadata_folders([beside]).get(HARNESS)
    return open_package(HARNESS, folder).version if folder else ""


def _is_installed(folder: str) -> bool:
    """Whether a package manager put the folder there. It may be in another environment than the worker's."""
    parts = os.path.realpath(folder).split(os.sep)
    return "site-packages" in parts or "dist-packages" in parts
