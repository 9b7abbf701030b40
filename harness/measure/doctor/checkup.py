"""All that the doctor looks at, gathered in one record so that judging it needs no machine."""

import os
import platform
import shutil
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from harness.core.records.environment import Conditions, Machine
from harness.measure.doctor.installation import Installation, probe

WINDOW_S = 0.5
"""Long enough to see processes that use 4 % of a CPU."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Disk:
    """A place that the project writes to; `free` bytes are None where the place cannot be looked at."""

    name: str
    path: str
    free: int | None
    writable: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Checkup:
    """The facts. `git` is its version, "" where it is absent; `environment` the process's variables."""

    machine: Machine
    conditions: Conditions
    installation: Installation
    python: tuple[int, int, int]
    implementation: str
    disks: tuple[Disk, ...] = ()
    git: str = ""
    environment: Mapping[str, str] = field(default_factory=dict)


def look(*, results: Path, cache: Path) -> Checkup:
    """Look at this machine and this interpreter; two seconds or so. `results` and `cache` need not exist yet."""
    from harness.measure.system.conditions import observe
    from harness.measure.system.machine import identify
    from harness.measure.system.subject import PACKAGES

    # The machine first: the probe's own load must not be found on it.
    conditions = observe(time.time(), window_s=WINDOW_S)
    return Checkup(
        machine=identify(),
        conditions=conditions,
        installation=probe(sys.executable, PACKAGES),
        python=sys.version_info[:3],
        implementation=platform.python_implementation(),
        disks=(look_at_disk("results", results), look_at_disk("cache", cache)),
        git=git_version(),
        environment=dict(os.environ),
    )


def look_at_disk(name: str, path: Path) -> Disk:
    """The disk that `path` is on or would be made on."""
    place = path.absolute()
    while not place.exists() and place != place.parent:
        place = place.parent
    try:
        free = shutil.disk_usage(place).free
    except OSError:
        free = None
    return Disk(name=name, path=str(path), free=free, writable=os.access(place, os.W_OK))


def git_version() -> str:
    """`git --version` without the word git; "" where there is none."""
    command = ("git", "--version")
    try:
        done = subprocess.run(command, capture_output=True, text=True, errors="replace", timeout=10, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout.strip().removeprefix("git version ")
