"""Reads the current state of a Linux machine from /proc and /sys below any root."""

import os
import re
from collections.abc import Mapping
from pathlib import Path

from harness.core.records.value import Reading, known, unknown
from harness.measure.system import cgroups
from harness.measure.system.cpu_times import parse_stat
from harness.measure.system.machine import parse_meminfo
from harness.measure.system.system_files import read_file

Readings = dict[str, Reading]
Texts = dict[str, str]

_CPU_SENSORS = ("coretemp", "k10temp", "zenpower", "cpu_thermal", "cpu-thermal", "soc_thermal")
_CPU_ZONES = ("x86_pkg_temp", "cpu", "soc")
_MOST_CLOCKS = 4
"""The most CPU clocks to read: with some drivers each read interrupts its CPU."""
_GUEST_VENDORS = (
    "QEMU",
    "Amazon EC2",
    "Google",
    "VMware",
    "Xen",
    "innotek",
    "Microsoft Corporation",
    "KVM",
    "OpenStack",
)


def load(root: Path) -> Readings:
    """Tasks that run or wait for a CPU or a disk, as damped averages."""
    fields = read_file(root / "proc/loadavg").split()
    names = ("load_1min", "load_5min", "load_15min")
    if len(fields) < len(names):
        return dict.fromkeys(names, unknown("/proc/loadavg cannot be read"))
    return {name: known(float(field)) for name, field in zip(names, fields, strict=False)}


def frequency(root: Path) -> Readings:
    """The mean clock of up to four CPUs spread over the machine, and the highest that the hardware allows."""
    cpus = root / "sys/devices/system/cpu"
    clocks = sorted(cpus.glob("cpu[0-9]*/cpufreq/scaling_cur_freq"))
    chosen = clocks[:: -(-len(clocks) // _MOST_CLOCKS) or 1]
    current = [int(text) / 1000 for text in map(read_file, chosen) if text.isdecimal()]
    highest = [
        int(text) / 1000 for text in map(read_file, cpus.glob("cpu0/cpufreq/cpuinfo_max_freq")) if text.isdecimal()
    ]
    absent = unknown("no cpufreq here; a virtual machine does not see its clock")
    return {
        "frequency_mhz": known(sum(current) / len(current)) if current else absent,
        "frequency_max_mhz": known(max(highest)) if highest else absent,
    }


def frequency_policy(root: Path) -> Texts:
    """The frequency policy: governor, driver, energy preference, turbo, SMT."""
    cpus = root / "sys/devices/system/cpu"

    def all_of(name: str) -> str:
        values = sorted({text for text in map(read_file, cpus.glob(f"cpu[0-9]*/cpufreq/{name}")) if text})
        return ", ".join(values) or "unknown: no cpufreq here"

    turbo = "unknown: no switch for it here"
    for switch, on in (("intel_pstate/no_turbo", "0"), ("cpufreq/boost", "1")):
        text = read_file(cpus / switch)
        if text:
            turbo = "on" if text == on else "off"
            break
    return {
        "governor": all_of("scaling_governor"),
        "frequency_driver": all_of("scaling_driver"),
        "energy_preference": all_of("energy_performance_preference"),
        "turbo": turbo,
        "smt": {"1": "on", "0": "off"}.get(read_file(cpus / "smt/active"), "unknown: the kernel does not report it"),
    }


def temperature(root: Path) -> Readings:
    """The hottest CPU sensor, in degrees Celsius."""
    millis: list[str] = []
    for name in root.glob("sys/class/hwmon/hwmon*/name"):
        if read_file(name) in _CPU_SENSORS:
            millis += map(read_file, name.parent.glob("temp*_input"))
    if not millis:
        zones = root.glob("sys/class/thermal/thermal_zone*/type")
        millis = [read_file(zone.parent / "temp") for zone in zones if read_file(zone).startswith(_CPU_ZONES)]
    degrees = [int(text) / 1000 for text in millis if re.fullmatch(r"-?\d+", text)]
    return {"temperature_c": known(max(degrees)) if degrees else unknown("no CPU sensor is shown here")}


def memory(root: Path) -> Readings:
    """Memory that is available without swapping, and memory that is swapped out."""
    sizes = parse_meminfo(read_file(root / "proc/meminfo"))
    found: Readings = {}
    absent = unknown("/proc/meminfo does not report it")
    available = sizes.get("MemAvailable")
    found["memory_available_bytes"] = absent if available is None else known(available)
    total, free = sizes.get("SwapTotal"), sizes.get("SwapFree")
    found["swap_used_bytes"] = absent if total is None or free is None else known(total - free)
    return found


def clocks(root: Path) -> Readings:
    """CPU time since boot over all CPUs, and the part that the hypervisor gave to others."""
    times = parse_stat(read_file(root / "proc/stat"))
    if times is None:
        return dict.fromkeys(("cpu_since_boot_s", "steal_since_boot_s"), unknown("/proc/stat cannot be read"))
    steal = unknown("this kernel does not count steal") if times.steal_s is None else known(times.steal_s)
    return {"cpu_since_boot_s": known(times.busy_s + times.idle_s + (times.steal_s or 0)), "steal_since_boot_s": steal}


def pressure(root: Path) -> Readings:
    """The share of the last ten seconds in which some task waited for a CPU, memory or a disk."""
    return {
        f"pressure_{kind}_share": parse_pressure(read_file(root / "proc/pressure" / kind))
        for kind in ("cpu", "memory", "io")
    }


def parse_pressure(text: str) -> Reading:
    """The `some` line's avg10 as a ratio (Documentation/accounting/psi)."""
    found = re.search(r"^some avg10=([\d.]+)", text, re.MULTILINE)
    if found is None:
        return unknown("this kernel does not measure pressure")
    return known(round(float(found[1]) / 100, 4))


def throttling(root: Path) -> Readings:
    """How long a CPU quota has stopped this container so far."""
    found = cgroups.throttling(root)
    if found is None:
        return {"throttled_s": unknown("no control group counts it")}
    return {"throttled_s": known(found.seconds)}


def power(root: Path) -> Texts:
    """The power source: mains or battery."""
    supplies = [entry.parent for entry in sorted(root.glob("sys/class/power_supply/*/type"))]
    kinds = {entry: read_file(entry / "type") for entry in supplies}
    batteries = [entry for entry, kind in kinds.items() if kind == "Battery" and read_file(entry / "scope") != "Device"]
    if not batteries:
        return {"power": "mains"}
    plugged = any(read_file(entry / "online") == "1" for entry, kind in kinds.items() if kind in {"Mains", "USB"})
    discharging = any(read_file(entry / "status") == "Discharging" for entry in batteries)
    return {"power": "battery" if discharging or not plugged else "mains"}


def host(root: Path, environment: Mapping[str, str]) -> Texts:
    """The hypervisor and the container around this process."""
    return {"hypervisor": _hypervisor(root), "container": _container(root, environment)}


def _hypervisor(root: Path) -> str:
    if "microsoft" in read_file(root / "proc/version").lower():
        return "Windows Subsystem for Linux"
    vendor = read_file(root / "sys/class/dmi/id/sys_vendor")
    product = read_file(root / "sys/class/dmi/id/product_name")
    flag = re.search(r"^flags\s*:.*\bhypervisor\b", read_file(root / "proc/cpuinfo"), re.MULTILINE)
    # Surface laptops are also Microsoft's; the product names of EC2's bare machines contain "metal".
    named = vendor.startswith(_GUEST_VENDORS) and not product.startswith("Surface") and "metal" not in product
    if flag or named:
        return " ".join(part for part in (vendor, product) if part) or "unnamed"
    return "none found"


def _container(root: Path, environment: Mapping[str, str]) -> str:
    if "KUBERNETES_SERVICE_HOST" in environment:
        return "kubernetes"
    if (root / ".dockerenv").exists():
        return "docker"
    if (root / "run/.containerenv").exists():
        return "podman"
    return environment.get("container", "none found")


def read_conditions(root: Path) -> tuple[Readings, Texts]:
    """All readings and texts of this module."""
    readings = load(root) | frequency(root) | temperature(root) | memory(root) | clocks(root) | pressure(root)
    texts = frequency_policy(root) | power(root) | host(root, os.environ)
    return readings | throttling(root), texts
