"""Observes the state of the machine, which may explain a value but never decides whether two runs compare.

Names end in the unit; `load_…` counts tasks. Growing counters (`…_since_boot_s`, `throttled_s`) are stored as read. The
change during a run is the difference between its first and its last observation.
"""

import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from harness.core.records.environment import Conditions
from harness.core.records.value import Reading, known, unknown
from harness.measure.system import linux, processes

SHORT_WINDOW_S = 0.03
"""Seconds per observation during a run, which show users of half of a CPU."""

Found = TypeVar("Found")


def observe(clock_time: float, *, window_s: float = SHORT_WINDOW_S) -> Conditions:
    """Observe the machine. `clock_time` (s since the epoch) is its date. Takes `window_s` and some milliseconds."""
    return observe_during(lambda: None, clock_time, window_s=window_s)[0]


def observe_during(work: Callable[[], Found], clock_time: float, *, window_s: float) -> tuple[Conditions, Found]:
    """Observe the machine, and do `work` while its processes are watched: for `window_s`, or longer if it takes longer.

    The load of the work is not in the observation: it begins after all but the processes is read, and this process and
    its children are left out of these. Returns the result of the work as well.
    """
    if sys.platform == "linux":
        root = Path("/")
        readings, texts = linux.read_conditions(root)
        busy, found = _busy_during(work, lambda: processes.snapshot_linux(root), window_s)
    else:
        readings, texts = _read_elsewhere()
        if window_s <= SHORT_WINDOW_S:
            busy, found = "unknown: listing processes takes too long here; kokoro-bench doctor does it", work()
        else:
            busy, found = _busy_during(work, processes.snapshot_elsewhere, window_s)
    texts["busy_processes"] = busy
    seen = Conditions(taken_at=clock_time, readings=tuple(sorted(readings.items())), texts=tuple(sorted(texts.items())))
    return seen, found


def _busy_during(
    work: Callable[[], Found], snapshot: Callable[[], processes.Snapshot], window_s: float
) -> tuple[str, Found]:
    busy, found = processes.watch_during(work, snapshot, window_s=window_s, now_s=time.perf_counter, sleep=time.sleep)
    return processes.describe(busy), found


def reading(conditions: Conditions, name: str) -> Reading:
    """The reading `name`; unknown if this observation does not have it."""
    return dict(conditions.readings).get(name) or unknown(f"{name} was not observed")


def text(conditions: Conditions, name: str) -> str:
    """The text `name`; it begins with "unknown" if this observation does not have it."""
    return dict(conditions.texts).get(name, "unknown: not observed")


def _read_elsewhere() -> tuple[linux.Readings, linux.Texts]:
    """Readings of psutil on macOS and Windows. Not tested on such machines."""
    import psutil

    system = {"darwin": "macOS", "win32": "Windows"}.get(sys.platform, sys.platform)
    absent = unknown(f"{system} does not report it")
    names = ("frequency_mhz", "frequency_max_mhz", "temperature_c", "steal_since_boot_s", "throttled_s")
    readings = dict.fromkeys((*names, *(f"pressure_{kind}_share" for kind in ("cpu", "memory", "io"))), absent)
    loads = ("load_1min", "load_5min", "load_15min")
    if hasattr(os, "getloadavg"):
        readings |= {name: known(value) for name, value in zip(loads, os.getloadavg(), strict=True)}
    else:
        readings |= dict.fromkeys(loads, absent)
    clocks = psutil.cpu_times()
    readings["cpu_since_boot_s"] = known(clocks.user + clocks.system + clocks.idle + getattr(clocks, "nice", 0.0))
    readings["memory_available_bytes"] = known(psutil.virtual_memory().available)
    readings["swap_used_bytes"] = known(psutil.swap_memory().used)
    unread = ("governor", "frequency_driver", "energy_preference", "turbo", "smt", "hypervisor", "container")
    texts = dict.fromkeys(unread, f"unknown: {system} does not report it")
    battery = psutil.sensors_battery() if hasattr(psutil, "sensors_battery") else None
    texts["power"] = "battery" if battery is not None and battery.power_plugged is False else "mains"
    return readings, texts
