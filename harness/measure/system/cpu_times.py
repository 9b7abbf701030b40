"""Reads the CPU time that the whole machine has used."""

import sys
from dataclasses import dataclass
from pathlib import Path

_STAT = Path("/proc/stat")
TICK_S = 0.01
"""The unit of /proc/stat: USER_HZ is 100 wherever ONNX Runtime runs; the clocks of macOS and Windows are no finer."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CpuTimes:
    """CPU seconds since boot, summed over all CPUs. `steal_s` is None if the platform does not count it."""

    busy_s: float
    idle_s: float
    steal_s: float | None = None


def cpu_times() -> CpuTimes | None:
    """The machine's CPU times now; None if they cannot be read."""
    if sys.platform == "linux":
        times = _cpu_times_linux(_STAT)
    else:
        import psutil

        clocks = psutil.cpu_times()
        # On Windows psutil's system already holds interrupts and deferred calls; macOS has neither field.
        busy_s = clocks.user + clocks.system + getattr(clocks, "nice", 0.0)
        times = CpuTimes(busy_s=busy_s, idle_s=clocks.idle)
    return times


def _cpu_times_linux(stat: Path) -> CpuTimes | None:
    try:
        with stat.open("rb") as file:
            return parse_stat(file.readline().decode("ascii"))
    except OSError:
        return None


def parse_stat(text: str) -> CpuTimes | None:
    """The first line of `/proc/stat` (proc_stat(5)); None if it is no "cpu" line.

    Fields, in ticks: user, nice, system, idle, iowait, irq, softirq, steal, guest, guest_nice. A kernel that has no
    steal field leaves `steal_s` None.
    """
    fields = text.partition("\n")[0].split()
    if len(fields) < 8 or fields[0] != "cpu":
        return None
    seconds = [int(field) * TICK_S for field in fields[1:]]
    user, nice, system, idle, iowait, irq, softirq = seconds[:7]
    return CpuTimes(
        busy_s=user + nice + system + irq + softirq,
        idle_s=idle + iowait,
        steal_s=seconds[7] if len(seconds) > 7 else None,
    )
