"""Identifies this machine by properties that survive a reboot. Two runs compare only within one machine key.

Linux is read from /proc and /sys, macOS from sysctl, Windows from the registry. Every parser is a pure function of
text; those of macOS and Windows are tested only on recorded output, not on such machines.
"""

import hashlib
import os
import platform
import subprocess
import sys
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

from harness.core.records.environment import Machine
from harness.measure.system import accelerators, cgroups, cpu_names

GIB = 1 << 30
_ARCHITECTURES = {"amd64": "x86_64", "aarch64": "arm64"}
_SYSCTL = ("/usr/sbin/sysctl", "machdep.cpu.brand_string")
_CPU_KEY = r"HKLM\HARDWARE\DESCRIPTION\System\CentralProcessor\0"


@dataclass(frozen=True, slots=True, kw_only=True)
class Processor:
    """The CPUs as the system lists them. `physical` is None if the system does not report the topology."""

    name: str
    logical: int
    physical: int | None


def identify() -> Machine:
    """Identify this machine. Takes a few milliseconds on Linux."""
    architecture = platform.machine()
    if sys.platform == "linux":
        found = identify_linux(Path("/"), architecture=architecture, usable_cpus=len(os.sched_getaffinity(0)))
    elif sys.platform == "darwin":
        name = parse_fields(output_of(_SYSCTL)).get("machdep.cpu.brand_string", platform.processor())
        found = _identify_by_psutil(name, architecture=architecture)
    elif sys.platform == "win32":
        reg = str(Path(os.environ.get("SYSTEMROOT", r"C:\Windows")) / "System32" / "reg.exe")
        names = parse_registry(output_of((reg, "query", _CPU_KEY, "/v", "ProcessorNameString")))
        adapters = output_of((reg, "query", accelerators.ADAPTERS_KEY, "/s", "/v", "DriverDesc"))
        found = _identify_by_psutil(" ".join(names[:1]), architecture=architecture, adapters=adapters)
    else:
        found = _identify_by_psutil(platform.processor(), architecture=architecture)
    return found


def identify_linux(root: Path, *, architecture: str, usable_cpus: int) -> Machine:
    """Identify a Linux machine whose file system is at `root`.

    `usable_cpus` is how many CPUs this process may run on: a container's CPU set limits it as a quota does.
    """
    processor = parse_cpuinfo((root / "proc/cpuinfo").read_text(encoding="utf-8", errors="replace"))
    if processor.physical is None:
        processor = replace(processor, physical=_cores_of_sysfs(root))
    limits = [cgroups.cpu_limit(root), usable_cpus if usable_cpus < processor.logical else None]
    quota = min((limit for limit in limits if limit is not None and limit < processor.logical), default=None)
    total = parse_meminfo((root / "proc/meminfo").read_text(encoding="ascii"))["MemTotal"]
    memory = min(total, cgroups.memory_limit(root) or total)
    return with_key(
        Machine(
            key="",
            system="linux",
            architecture=architecture_name(architecture),
            cpu=processor.name,
            logical_cpus=processor.logical,
            physical_cpus=processor.physical,
            memory=whole_memory(memory),
            cpu_limit=None if quota is None else round(quota, 2),
            accelerators=accelerators.on_linux(root),
        )
    )


def identify_elsewhere(
    processor: Processor, *, system: str, architecture: str, memory: int, adapters: str = ""
) -> Machine:
    """Identify a machine without Linux by its CPUs, memory in bytes and, on Windows, its display adapters."""
    cpu = cpu_names.tidy(processor.name) or "unknown CPU"
    found = accelerators.from_adapters(parse_registry(adapters))
    if system.lower() == "darwin" and cpu.startswith("Apple"):
        found = (f"{cpu} GPU", "Apple Neural Engine")
    return with_key(
        Machine(
            key="",
            system=system.lower(),
            architecture=architecture_name(architecture),
            cpu=cpu,
            logical_cpus=processor.logical,
            physical_cpus=processor.physical,
            memory=whole_memory(memory),
            accelerators=found,
        )
    )


def _identify_by_psutil(name: str, *, architecture: str, adapters: str = "") -> Machine:
    import psutil

    processor = Processor(name=name, logical=psutil.cpu_count() or 1, physical=psutil.cpu_count(logical=False))
    return identify_elsewhere(
        processor,
        system=platform.system(),
        architecture=architecture,
        memory=psutil.virtual_memory().total,
        adapters=adapters,
    )


def boot_id() -> str:
    """An identifier of the machine's current boot.

    Together with a process id it shows whether a recorded process can still be alive. If the system has no boot
    identifier, it is the minute of the boot, which a correction of the clock may shift.
    """
    if sys.platform == "linux":
        with suppress(OSError):
            return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
    elif sys.platform == "darwin":
        session = output_of(("/usr/sbin/sysctl", "-n", "kern.bootsessionuuid")).strip()
        if session:
            return session
    import psutil

    return f"minute-{round(psutil.boot_time() / 60)}"


def with_key(machine: Machine) -> Machine:
    """The same machine under its key: a slug to read, and a digest of every field so that no two machines share one."""
    fields = (
        machine.system,
        machine.architecture,
        machine.cpu,
        machine.logical_cpus,
        machine.physical_cpus,
        machine.memory,
        machine.cpu_limit,
        *machine.accelerators,
    )
    digest = hashlib.sha256("\n".join(map(str, fields)).encode()).hexdigest()[:8]
    limit = "" if machine.cpu_limit is None else f"{machine.cpu_limit:g}q-".replace(".", "_")
    cpu = cpu_names.slug(machine.cpu)[:40].strip("-") or "cpu"
    gib = machine.memory // GIB
    key = f"{machine.system}-{machine.architecture}-{cpu}-{machine.logical_cpus}c-{gib}g-{limit}{digest}"
    return replace(machine, key=key)


def parse_cpuinfo(text: str) -> Processor:
    """`/proc/cpuinfo` of x86 and ARM.

    A virtual machine may show a CPU name without a number ("AMD EPYC"). Then family and model distinguish the
    generations. ARM kernels give numbers instead of a name, and Raspberry Pis list the board after the last CPU.
    """
    cpus = [parse_fields(block) for block in text.split("\n\n")]
    listed = [cpu for cpu in cpus if "processor" in cpu]
    first = listed[0] if listed else {}
    cores = {(cpu["physical id"], cpu["core id"]) for cpu in listed if "physical id" in cpu and "core id" in cpu}
    return Processor(name=_cpu_name(first, cpus), logical=max(1, len(listed)), physical=len(cores) or None)


def _cpu_name(first: dict[str, str], blocks: Iterable[dict[str, str]]) -> str:
    if "model name" in first:
        name = cpu_names.tidy(first["model name"])
        hidden = not any(letter.isdigit() for letter in name)
        if hidden and "cpu family" in first and "model" in first:
            name += f" (family {first['cpu family']} model {first['model']})"
        return name
    parts = sorted(
        {
            cpu_names.arm_core(int(block["CPU implementer"], 16), int(block["CPU part"], 16))
            for block in blocks
            if "CPU implementer" in block and "CPU part" in block
        }
    )
    board = next((block["Model"] for block in blocks if "Model" in block), "")
    cores = " + ".join(parts)
    if board and cores:
        return f"{board} ({cores})"
    return board or cores or first.get("cpu") or first.get("uarch") or "unknown CPU"


def parse_fields(text: str) -> dict[str, str]:
    """Lines of `name: value`. Names keep their case, because an ARM `Model` is a board and an x86 `model` a number."""
    pairs = (line.partition(":") for line in text.splitlines())
    return {name.strip(): value.strip() for name, colon, value in pairs if colon}


def parse_meminfo(text: str) -> dict[str, int]:
    """The sizes in `/proc/meminfo`, in bytes."""
    sizes = (line.replace(":", "").split() for line in text.splitlines())
    return {fields[0]: int(fields[1]) * 1024 for fields in sizes if len(fields) == 3 and fields[2] == "kB"}


def parse_registry(text: str) -> tuple[str, ...]:
    """The string values of a `reg query`, in order."""
    return tuple(line.split("REG_SZ", 1)[1].strip() for line in text.splitlines() if " REG_SZ " in line)


def whole_memory(size: int) -> int:
    """Round `size` up to the installed memory: to the next whole GiB, or the next sixteenth of it if that is more.

    The kernel reserves a part whose size changes between versions, so rounding to the nearest would not be stable.
    """
    gib = -(-size // GIB)
    step = max(1, (1 << (gib.bit_length() - 1)) // 8)
    return -(-gib // step) * step * GIB


def architecture_name(machine: str) -> str:
    """The common name of an architecture, independent of the system."""
    name = machine.lower()
    return _ARCHITECTURES.get(name, name)


def _cores_of_sysfs(root: Path) -> int | None:
    """The number of distinct groups of sibling threads; None if the kernel does not show them."""
    siblings = set()
    for topology in (root / "sys/devices/system/cpu").glob("cpu[0-9]*/topology"):
        for name in ("core_cpus_list", "thread_siblings_list"):
            if (topology / name).is_file():
                siblings.add((topology / name).read_text(encoding="ascii").strip())
                break
    return len(siblings) or None


def output_of(command: tuple[str, ...]) -> str:
    """The output of a system tool; "" if it cannot be run."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, errors="replace", timeout=10, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout
