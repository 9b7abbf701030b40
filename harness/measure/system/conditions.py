"""Observes the state of the machine, which may explain a value but never decides whether two runs compare.

Names end in the unit; `load_…` counts tasks. Growing counters (`…_since_boot_s`, `throttled_s`) are stored as read. The
change during a run is the difference between its first and its last observation.
"""

import os
import sys
import time
from pathlib import Path

from harness.core.records.environment import Conditions
from harness.core.records.value import Reading, known, unknown
from harness.measure.system import linux, processes

SHORT_WINDOW_S = 0.03
"""Seconds per observation during a run: three ticks of a process's clock, which show users of most of a CPU."""


def observe(clock_time: float, *, window_s: float = SHORT_WINDOW_S) -> Conditions:
    """Observe the machine. `clock_time` (s since the epoch) is its date. Takes `window_s` and some milliseconds."""
    if sys.platform == "linux":
        root = Path("/")
        readings, texts = linux.read_conditions(root)
        texts["busy_processes"] = processes.describe(
            processes.watch(
                lambda: processes.snapshot_linux(root), window_s=window_s, now_s=time.perf_counter, sleep=time.sleep
            )
        )
    else:
        readings, texts = _read_elsewhere()
        texts["busy_processes"] = _busy_elsewhere(window_s)
    return Conditions(taken_at=clock_time, readings=tuple(sorted(readings.items())), texts=tuple(sorted(texts.items())))


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


def _busy_elsewhere(window_s: float) -> str:
    if window_s <= SHORT_WINDOW_S:
        return "unknown: listing processes takes too long here; kokoro-bench doctor does it"
    found = processes.watch(processes.snapshot_elsewhere, window_s=window_s, now_s=time.perf_counter, sleep=time.sleep)
    return processes.describe(found)
