"""How the machine is at one moment: what may explain a figure, and never decides whether two runs compare.

Names end in the unit; `load_…` counts tasks. The counters that only ever grow (`…_since_boot_s`, `throttled_s`) are
kept as they stand: what happened during a run is the difference between its first and its last observation.
"""

import os
import sys
import time
from pathlib import Path

from harness.core.records.environment import Conditions
from harness.core.records.value import Reading, known, unknown
from harness.measure.system import linux, processes

BRIEF_S = 0.03
"""Window of an observation during a run: three ticks of a process's clock, which show whoever uses most of a CPU."""


def observe(clock_time: float, *, window_s: float = BRIEF_S) -> Conditions:
    """Look at the machine; `clock_time` (s since the epoch) dates the look. Takes `window_s` and some milliseconds."""
    if sys.platform == "linux":
        root = Path("/")
        readings, texts = linux.look(root)
        texts["busy_processes"] = processes.describe(
            processes.watch(
                lambda: processes.snapshot_linux(root), window_s=window_s, now_s=time.perf_counter, sleep=time.sleep
            )
        )
    else:
        readings, texts = _look_elsewhere()
        texts["busy_processes"] = _busy_elsewhere(window_s)
    return Conditions(taken_at=clock_time, readings=tuple(sorted(readings.items())), texts=tuple(sorted(texts.items())))


def reading(conditions: Conditions, name: str) -> Reading:
    """The reading called `name`; unknown where this observation has none."""
    return dict(conditions.readings).get(name) or unknown(f"{name} was not observed")


def text(conditions: Conditions, name: str) -> str:
    """The text called `name`; it begins with "unknown" where this observation has none."""
    return dict(conditions.texts).get(name, "unknown: not observed")


def steal_between(before: Conditions, after: Conditions) -> Reading:
    """The share of all CPU time between two observations that the hypervisor gave to others."""
    steal = _grown(before, after, "steal_since_boot_s")
    cpu = _grown(before, after, "cpu_since_boot_s")
    if steal.value is None or cpu.value is None:
        return unknown(steal.reason or cpu.reason)
    if cpu.value <= 0:
        return unknown("no time lies between the two observations")
    return known(steal.value / cpu.value)


def throttled_between(before: Conditions, after: Conditions) -> Reading:
    """For how many seconds a CPU quota stopped the container between two observations."""
    return _grown(before, after, "throttled_s")


def _grown(before: Conditions, after: Conditions, name: str) -> Reading:
    first, last = reading(before, name), reading(after, name)
    if first.value is None or last.value is None:
        return unknown(first.reason or last.reason)
    if last.value < first.value:
        return unknown(f"{name} went backwards: the machine was started anew in between")
    return known(last.value - first.value)


def _look_elsewhere() -> tuple[linux.Readings, linux.Texts]:
    """What psutil can tell on macOS and Windows; not proven there."""
    import psutil

    system = {"darwin": "macOS", "win32": "Windows"}.get(sys.platform, sys.platform)
    absent = unknown(f"{system} does not tell")
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
    told = ("governor", "frequency_driver", "energy_preference", "turbo", "smt", "hypervisor", "container")
    texts = dict.fromkeys(told, f"unknown: {system} does not tell")
    battery = psutil.sensors_battery() if hasattr(psutil, "sensors_battery") else None
    texts["power"] = "battery" if battery is not None and battery.power_plugged is False else "mains"
    return readings, texts


def _busy_elsewhere(window_s: float) -> str:
    if window_s <= BRIEF_S:
        return "unknown: listing processes takes too long here; kokoro-bench doctor does it"
    found = processes.watch(processes.snapshot_elsewhere, window_s=window_s, now_s=time.perf_counter, sleep=time.sleep)
    return processes.describe(found)
