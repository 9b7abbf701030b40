"""The registry of engines: the declared ones, and those of the entry point group `kokoro_bench.engines`."""

import sys
from functools import lru_cache
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from harness.engines.declarations import BUILT_IN, STARTED, declaration_of

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from harness.engines.protocol import EngineStarter

ENTRY_POINTS = "kokoro_bench.engines"
HARNESS = "kokoro-bench"
"""The package that the built-in engines belong to."""


def engine_names() -> tuple[str, ...]:
    """The names of the built-in engines, then of the installed ones."""
    return (*BUILT_IN, *sorted(_installed().keys() - BUILT_IN.keys()))


def installed_engines() -> "Mapping[str, tuple[str, ...]]":
    """Engines of installed packages: name → the packages with an engine of that name."""
    found = {name: packages_with(name) for name in sorted(engine_names())}
    return {name: packages for name, packages in found.items() if packages != (HARNESS,)}


def packages_with(name: str) -> tuple[str, ...]:
    """The packages with an engine of that name, with their versions; `HARNESS` for a built-in engine."""
    return tuple(sorted({*([HARNESS] if name in BUILT_IN else []), *_installed().get(name, ())}))


def _installed() -> "Mapping[str, Sequence[str]]":
    """Name of an installed engine → the packages with it, each with its version."""
    return _packages_by_engine(tuple((place, _changed_ns(place)) for place in sys.path))


def _changed_ns(folder: str) -> int:
    """The time (ns) at which a package was last installed in a folder or removed from it; 0 if unknown."""
    try:
        return Path(folder).stat().st_mtime_ns
    except OSError:
        return 0


@lru_cache(maxsize=4)
def _packages_by_engine(_state: "tuple[tuple[str, int], ...]") -> "Mapping[str, Sequence[str]]":
    """Read the metadata of every installed package, which takes longer than the rest of a command's preparation.

    The selection of a run asks for each test.
    """
    from importlib.metadata import entry_points

    found: dict[str, list[str]] = {}
    for entry in entry_points(group=ENTRY_POINTS):
        if entry.dist:
            found.setdefault(entry.name, []).append(f"{entry.dist.name} {entry.dist.version}")
    return found


def several(name: str, packages: "Sequence[str]") -> str:
    """The message for an engine's name that several packages have."""
    return f"{' and '.join(packages)} each have an engine {name!r}"


SEVERAL_REMEDY = "leave all of these packages but one out"


def find_starter(name: str) -> "EngineStarter":
    """The function that starts an engine. EngineRefusal if this environment has none of that name, or several."""
    if starter := (STARTED if name == STARTED.name else declaration_of(name)).starter:
        return cast("EngineStarter", _imported(starter))
    from importlib.metadata import entry_points

    from harness.engines.speech import EngineRefusal

    packages = packages_with(name)
    if len(packages) > 1:
        raise EngineRefusal(f"{several(name, packages)}: {SEVERAL_REMEDY}")
    for entry in entry_points(group=ENTRY_POINTS, name=name):
        return cast("EngineStarter", entry.load())
    raise EngineRefusal(f"this environment has no engine {name!r}; it has {', '.join(engine_names())}")


def own_options(name: str) -> "Mapping[str, str]":
    """The options of an engine beside the session options, with the values that each takes."""
    options = declaration_of(name).options
    return cast("Mapping[str, str]", _imported(options)) if options else {}


def all_options(name: str) -> "Mapping[str, str]":
    """Every option that an arm of a built-in engine may set, with the values that each takes."""
    place = declaration_of(name).session_options
    return {**(cast("Mapping[str, str]", _imported(place)) if place else {}), **own_options(name)}


def check_options(name: str, options: "Mapping[str, str]") -> None:
    """EngineRefusal for options that the engine would refuse. Of an engine of another package nothing is known."""
    if place := declaration_of(name).checks:
        _imported(place)(options)


def _imported(place: str) -> Any:  # noqa: ANN401 - whatever stands there
    module, _, attribute = place.partition(":")
    return getattr(import_module(module), attribute)
