"""Gathers all facts for the doctor in one record, so that the rules need no access to the machine."""

import os
import platform
import shutil
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from harness.core.records.environment import Conditions, Machine
from harness.measure.doctor.installation import Installation, probing

WINDOW_S = 0.3
"""Long enough to see processes that use 4 % of a CPU."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Disk:
    """A directory that the project writes to. `free` is in bytes, None if unknown."""

    name: str
    path: str
    free: int | None
    writable: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Checkup:
    """The facts. `git` is its version, "" if absent. `environment` holds the environment variables."""

    machine: Machine
    conditions: Conditions
    installation: Installation
    python: tuple[int, int, int]
    implementation: str
    disks: tuple[Disk, ...] = ()
    git: str = ""
    environment: Mapping[str, str] = field(default_factory=dict)
    engines: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """Engines of installed packages: name → the packages with an engine of that name."""


def check(*, results: Path, cache: Path, meanwhile: Callable[[], None] = lambda: None) -> Checkup:
    """Check this machine and this interpreter. `results` and `cache` need not exist yet.

    Takes `WINDOW_S`, or as long as the interpreter takes to load all that it has to load; `meanwhile` is called then.
    """
    from harness.measure.system.conditions import observe_during

    conditions, checkup = observe_during(lambda: _rest(results, cache, meanwhile), time.time(), window_s=WINDOW_S)
    return checkup(conditions=conditions)


def _rest(results: Path, cache: Path, meanwhile: Callable[[], None]) -> "partial[Checkup]":
    """All facts but the conditions."""
    from harness.measure.system.subject import PACKAGES

    # Loading everything takes longest, so the rest is done beside it.
    with probing(sys.executable, PACKAGES) as installation:
        meanwhile()
        from harness.engines.registry import installed_engines
        from harness.measure.system.machine import identify

        return partial(
            Checkup,
            machine=identify(),
            python=sys.version_info[:3],
            implementation=platform.python_implementation(),
            disks=(check_disk("results", results), check_disk("cache", cache)),
            git=git_version(),
            environment=dict(os.environ),
            engines=installed_engines(),
            installation=installation(),
        )


def check_disk(name: str, path: Path) -> Disk:
    """The disk of `path`, which need not exist yet."""
    place = path.absolute()
    while not place.exists() and place != place.parent:
        place = place.parent
    try:
        free = shutil.disk_usage(place).free
    except OSError:
        free = None
    fits = place.is_dir() or place == path.absolute()
    return Disk(name=name, path=str(path), free=free, writable=fits and os.access(place, os.W_OK))


def git_version() -> str:
    """The version of git; "" if git is absent."""
    from harness.measure.system.machine import output_of

    return output_of(("git", "--version")).strip().removeprefix("git version ")
