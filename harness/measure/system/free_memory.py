"""Determines how much memory workers may use: the free memory of the machine, within the container's limit.

Sources: proc(5) for MemAvailable; the kernel's admin-guide/cgroup-v2 and admin-guide/cgroup-v1 for the groups' files.
"""

import sys
from pathlib import Path

from harness.measure.system.cgroups import memory_room
from harness.measure.system.machine import parse_meminfo

SHARE = 0.8
"""Share of the free memory. The rest is for the conductor, the canary, cached model files, and errors of estimates."""


def memory_for_workers() -> int | None:
    """Memory for workers in bytes; None if the system does not report it."""
    free = free_linux(Path("/")) if sys.platform == "linux" else _free_elsewhere()
    return None if free is None else round(SHARE * free)


def free_linux(root: Path) -> int | None:
    """Memory available without swapping, in bytes, on Linux with its file system at `root`; None if not reported."""
    try:
        available = parse_meminfo((root / "proc/meminfo").read_text(encoding="ascii")).get("MemAvailable")
    except OSError:
        available = None
    return min((room for room in (available, memory_room(root)) if room is not None), default=None)


def _free_elsewhere() -> int | None:
    import psutil

    available: int = psutil.virtual_memory().available
    return available
