"""Reads the limits of Linux control groups, versions 1 and 2, that apply to this process.

A limit applies to a group and everything below it, so the tightest one of the group and its ancestors counts. The
standard mount point is assumed. Sources: the kernel's admin-guide/cgroup-v2 and admin-guide/cgroup-v1.
"""

from dataclasses import dataclass
from pathlib import Path

from harness.measure.system.system_files import read_file

_NO_MEMORY_LIMIT = 1 << 60
"""Version 1 writes "unlimited" as the largest page-aligned integer."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Group:
    """The directories of one controller, innermost first; `unified` for version 2."""

    directories: tuple[Path, ...]
    unified: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Throttling:
    """How often and how long a CPU quota has stopped this group since its creation, summed over its threads."""

    periods: int
    seconds: float


def find_group(root: Path, controller: str) -> Group | None:
    """The group whose `controller` ("cpu", "memory") limits this process; None without control groups."""
    text = read_file(root / "proc/self/cgroup")
    if not text:
        return None
    mount = root / "sys/fs/cgroup"
    unified_path = None
    for line in text.splitlines():
        _, controllers, path = line.split(":", 2)
        if controller in controllers.split(","):
            # The mount is named after all its controllers, in any order; each controller also has a link.
            named = mount / controller
            return Group(directories=_chain(named if named.is_dir() else mount / controllers, path), unified=False)
        if not controllers:
            unified_path = path
    if unified_path is None:
        return None
    return Group(directories=_chain(mount, unified_path), unified=True)


def _chain(base: Path, path: str) -> tuple[Path, ...]:
    """The group's directory and its visible ancestors. A container may see only its own group, as "/"."""
    parts = [part for part in path.split("/") if part not in {"", ".."}]
    chain = [base.joinpath(*parts[:depth]) for depth in range(len(parts), -1, -1)]
    return tuple(directory for directory in chain if directory.is_dir())


def cpu_limit(root: Path) -> float | None:
    """The quota in CPUs; None without a quota."""
    group = find_group(root, "cpu")
    if group is None:
        return None
    quotas = []
    for directory in group.directories:
        if group.unified:
            quota = parse_cpu_max(read_file(directory / "cpu.max"))
        else:
            micros, period = read_file(directory / "cpu.cfs_quota_us"), read_file(directory / "cpu.cfs_period_us")
            quota = parse_cpu_max(f"{micros} {period}") if micros and period else None
        if quota is not None:
            quotas.append(quota)
    return min(quotas, default=None)


def parse_cpu_max(text: str) -> float | None:
    """Quota over period, both in microseconds ("150000 100000" is 1.5 CPUs); "max" or a negative quota is no limit."""
    fields = text.split()
    if len(fields) != 2 or fields[0] == "max":
        return None
    quota, period = int(fields[0]), int(fields[1])
    return quota / period if quota > 0 and period > 0 else None


def memory_limit(root: Path) -> int | None:
    """The memory limit in bytes; None without a limit."""
    group = find_group(root, "memory")
    if group is None:
        return None
    name = "memory.max" if group.unified else "memory.limit_in_bytes"
    texts = [read_file(directory / name) for directory in group.directories]
    limits = [int(text) for text in texts if text.isdecimal()]
    return min((limit for limit in limits if limit < _NO_MEMORY_LIMIT), default=None)


def memory_room(root: Path) -> int | None:
    """The memory left below the tightest limit, in bytes; None without a limit.

    Inactive file pages count as free, because the kernel reclaims them before an allocation fails.
    """
    group = find_group(root, "memory")
    rooms = [_room(directory, unified=group.unified) for directory in group.directories] if group else []
    return min((room for room in rooms if room is not None), default=None)


def _room(directory: Path, *, unified: bool) -> int | None:
    limit, held = ("memory.max", "memory.current") if unified else ("memory.limit_in_bytes", "memory.usage_in_bytes")
    texts = [read_file(directory / name) for name in (limit, held)]
    if not all(text.isdecimal() for text in texts) or int(texts[0]) >= _NO_MEMORY_LIMIT:
        return None
    # Limits and the counters of version 2 include all groups below; version 1 has separate "total_" counters.
    files = parse_memory_stat(read_file(directory / "memory.stat"), unified=unified)
    return max(0, int(texts[0]) - int(texts[1]) + files)


def parse_memory_stat(text: str, *, unified: bool) -> int:
    """Bytes of inactive file pages in the group and below it; 0 if the file does not report them."""
    values = dict(line.split(maxsplit=1) for line in text.splitlines() if " " in line)
    return int(values.get("inactive_file" if unified else "total_inactive_file", 0))


def throttling(root: Path) -> Throttling | None:
    """The counters of the group that was stopped longest; None if no group has counters."""
    group = find_group(root, "cpu")
    if group is None:
        return None
    texts = [read_file(directory / "cpu.stat") for directory in group.directories]
    found = [counters for counters in map(parse_cpu_stat, filter(None, texts)) if counters is not None]
    return max(found, key=lambda counters: counters.seconds, default=None)


def parse_cpu_stat(text: str) -> Throttling | None:
    """`cpu.stat`: version 2 counts microseconds, version 1 nanoseconds; None without the counters of a quota."""
    values = {name: int(value) for name, value in (line.split() for line in text.splitlines() if line)}
    if "throttled_usec" in values:
        seconds = values["throttled_usec"] / 1e6
    elif "throttled_time" in values:
        seconds = values["throttled_time"] / 1e9
    else:
        return None
    return Throttling(periods=values.get("nr_throttled", 0), seconds=seconds)
