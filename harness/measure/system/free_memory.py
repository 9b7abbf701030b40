"""How much memory workers may take here without driving anything out: what is free now, as far as a container allows.

Sources: proc(5) for MemAvailable; the kernel's admin-guide/cgroup-v2 and admin-guide/cgroup-v1 for the groups' files.
"""

import sys
from pathlib import Path

from harness.measure.system.cgroups import memory_room
from harness.measure.system.machine import parse_meminfo

SHARE = 0.8
"""Of what is free: the rest is for the conductor, the canary, the page cache of the model files, and for error."""


def memory_for_workers() -> int | None:
    """Bytes; None where the system does not tell."""
    free = free_linux(Path("/")) if sys.platform == "linux" else _free_elsewhere()
    return None if free is None else round(SHARE * free)


def free_linux(root: Path) -> int | None:
    """What can be had without swapping, on a Linux machine whose file system stands under `root`; None if not told."""
    try:
        available = parse_meminfo((root / "proc/meminfo").read_text(encoding="ascii")).get("MemAvailable")
    except OSError:
        available = None
    return min((room for room in (available, memory_room(root)) if room is not None), default=None)


def _free_elsewhere() -> int | None:
    import psutil

    available: int = psutil.virtual_memory().available
    return available
