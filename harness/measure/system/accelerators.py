"""Lists the built-in accelerators by stable names. It does not check whether a provider can use them."""

from collections.abc import Iterable
from pathlib import Path

from harness.measure.system.system_files import read_file

ADAPTERS_KEY = r"HKLM\SYSTEM\CurrentControlSet\Control\Class\{4d36e968-e325-11ce-bfc1-08002be10318}"
"""Where Windows lists its display adapters."""
_VENDORS = {"0x10de": "NVIDIA", "0x1002": "AMD", "0x8086": "Intel"}
"""PCI vendors that make accelerators; the display stubs of virtual machines and boards have others."""


def on_linux(root: Path) -> tuple[str, ...]:
    """NVIDIA GPUs by name from their driver, other GPUs and NPUs by vendor and PCI device number; sorted."""
    named = _nvidia(root)
    found = [*named]
    for kind, pattern in (("GPU", "sys/class/drm/card[0-9]*"), ("NPU", "sys/class/accel/accel[0-9]*")):
        for entry in root.glob(pattern):
            if "-" in entry.name:  # card0-HDMI-A-1 is a socket of card0
                continue
            vendor = _VENDORS.get(read_file(entry / "device/vendor"))
            if vendor is not None and not (vendor == "NVIDIA" and named):
                found.append(f"{vendor} {kind} {read_file(entry / 'device/device')}")
    return tuple(sorted(found))


def _nvidia(root: Path) -> list[str]:
    """The driver lists every GPU of the host; those that a container may use have a device file."""
    found = []
    for information in root.glob("proc/driver/nvidia/gpus/*/information"):
        fields = dict(line.split(":", 1) for line in read_file(information).splitlines() if ":" in line)
        minor = fields.get("Device Minor", "").strip()
        if (root / f"dev/nvidia{minor}").exists():
            found.append(fields.get("Model", "NVIDIA GPU").strip())
    return found


def from_adapters(names: Iterable[str]) -> tuple[str, ...]:
    """Windows's display adapters without the ones that are made of software."""
    software = ("Microsoft ", "Citrix", "VMware", "VirtualBox", "Parsec", "Remote")
    return tuple(sorted(name for name in names if not name.startswith(software)))
