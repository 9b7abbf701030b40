from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest

from harness.measure.system import machine
from harness.measure.system.cpu_names import arm_core, slug, tidy
from harness.measure.system.machine import (
    GIB,
    Processor,
    boot_id,
    identify,
    identify_elsewhere,
    identify_linux,
    parse_cpuinfo,
    parse_fields,
    parse_meminfo,
    parse_registry,
    whole_memory,
)

DATA = Path(__file__).parent / "data"


def recorded(name: str) -> str:
    return (DATA / name).read_text(encoding="utf-8")


def linux(root: Path, cpuinfo: str, *, total_kib: int = 24_684_092) -> Path:
    files = {"proc/cpuinfo": cpuinfo, "proc/meminfo": f"MemTotal:       {total_kib} kB\nHugePages_Total:       0\n"}
    for name, text in files.items():
        write(root / name, text)
    return root


def write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")


@pytest.mark.parametrize(
    ("file", "expected"),
    [
        ("cpuinfo-amd-epyc-guest.txt", Processor(name="AMD EPYC (family 25 model 17)", logical=2, physical=2)),
        ("cpuinfo-xeon-2-cores-4-threads.txt", Processor(name="Intel Xeon E5-2673 v4", logical=4, physical=2)),
        (
            "cpuinfo-raspberry-pi-4.txt",
            Processor(name="Raspberry Pi 4 Model B Rev 1.4 (Cortex-A72)", logical=4, physical=None),
        ),
        ("cpuinfo-graviton2.txt", Processor(name="Neoverse-N1", logical=2, physical=None)),
        ("cpuinfo-big-little.txt", Processor(name="Cortex-A55 + Cortex-A76", logical=8, physical=None)),
    ],
)
def test_the_kernel_s_list_of_cpus_is_named_and_counted(file: str, expected: Processor) -> None:
    assert parse_cpuinfo(recorded(file)) == expected


def test_an_unreadable_list_is_one_unknown_cpu() -> None:
    assert parse_cpuinfo("") == Processor(name="unknown CPU", logical=1, physical=None)


@pytest.mark.parametrize(
    ("vendor_s", "ours"),
    [
        ("Intel(R) Xeon(R) Platinum 8272CL CPU @ 2.60GHz", "Intel Xeon Platinum 8272CL"),
        ("AMD EPYC 7763 64-Core Processor", "AMD EPYC 7763"),
        ("11th Gen Intel(R) Core(TM) i7-1165G7 @ 2.80GHz", "11th Gen Intel Core i7-1165G7"),
        ("AMD Ryzen 7 5800X 8-Core Processor             ", "AMD Ryzen 7 5800X"),
        ("Apple M2 Pro", "Apple M2 Pro"),
    ],
)
def test_names_lose_their_clock_and_decorations(vendor_s: str, ours: str) -> None:
    assert tidy(vendor_s) == ours


def test_an_arm_core_without_a_name_keeps_its_numbers() -> None:
    assert arm_core(0x41, 0xD0C) == "Neoverse-N1"
    assert arm_core(0x4E, 0x004) == "ARM implementer 0x4e part 0x004"


def test_a_slug_leaves_out_what_stands_in_parentheses() -> None:
    assert slug("AMD EPYC (family 25 model 17)") == "amd-epyc"


def test_the_recorded_guest_has_this_key(tmp_path: Path) -> None:
    root = linux(tmp_path, recorded("cpuinfo-amd-epyc-guest.txt"))
    found = identify_linux(root, architecture="x86_64", usable_cpus=2)
    assert found.key == "linux-x86_64-amd-epyc-2c-24g-8cc06b66"
    assert (found.memory, found.cpu_limit, found.accelerators) == (24 * GIB, None, ())


def test_clock_readings_and_another_kernel_s_own_memory_do_not_change_the_key(tmp_path: Path) -> None:
    text = recorded("cpuinfo-xeon-2-cores-4-threads.txt")
    later = text.replace("2294.6", "1200.1").replace("4589.37", "4600.00").replace("0xffffffff", "0xb000040")
    one = identify_linux(linux(tmp_path / "a", text, total_kib=16_300_000), architecture="x86_64", usable_cpus=4)
    two = identify_linux(linux(tmp_path / "b", later, total_kib=16_180_000), architecture="x86_64", usable_cpus=4)
    assert text != later
    assert one == two


@pytest.mark.parametrize(
    "change",
    [
        {"cpu": "another"},
        {"logical_cpus": 3},
        {"physical_cpus": 1},
        {"memory": 32 * GIB},
        {"cpu_limit": 1.5},
        {"accelerators": ("GPU",)},
        {"architecture": "arm64"},
        {"system": "darwin"},
    ],
)
def test_every_field_is_in_the_key(tmp_path: Path, change: dict[str, object]) -> None:
    root = linux(tmp_path, recorded("cpuinfo-amd-epyc-guest.txt"))
    found = identify_linux(root, architecture="x86_64", usable_cpus=2)
    assert machine.with_key(replace(found, **change)).key != found.key  # type: ignore[arg-type]


def test_a_container_s_quota_and_memory_limit_make_another_machine(tmp_path: Path) -> None:
    root = linux(tmp_path, recorded("cpuinfo-xeon-2-cores-4-threads.txt"))
    write(root / "proc/self/cgroup", "0::/\n")
    write(root / "sys/fs/cgroup/cpu.max", "150000 100000\n")
    write(root / "sys/fs/cgroup/memory.max", str(4 * GIB) + "\n")
    found = identify_linux(root, architecture="x86_64", usable_cpus=4)
    assert found.cpu_limit == 1.5
    assert found.memory == 4 * GIB
    assert found.key.startswith("linux-x86_64-intel-xeon-e5-2673-v4-4c-4g-1_5q-")


def test_a_cpu_set_limits_as_a_quota_does(tmp_path: Path) -> None:
    root = linux(tmp_path, recorded("cpuinfo-xeon-2-cores-4-threads.txt"))
    assert identify_linux(root, architecture="x86_64", usable_cpus=3).cpu_limit == 3


def test_a_quota_as_large_as_the_machine_is_none(tmp_path: Path) -> None:
    root = linux(tmp_path, recorded("cpuinfo-xeon-2-cores-4-threads.txt"))
    write(root / "proc/self/cgroup", "0::/\n")
    write(root / "sys/fs/cgroup/cpu.max", "400000 100000\n")
    assert identify_linux(root, architecture="x86_64", usable_cpus=4).cpu_limit is None


def test_cores_come_from_the_topology_where_the_list_has_none(tmp_path: Path) -> None:
    root = linux(tmp_path, recorded("cpuinfo-graviton2.txt"))
    for cpu in range(2):
        write(root / f"sys/devices/system/cpu/cpu{cpu}/topology/core_cpus_list", f"{cpu}\n")
    found = identify_linux(root, architecture="aarch64", usable_cpus=2)
    assert (found.architecture, found.logical_cpus, found.physical_cpus) == ("arm64", 2, 2)


def test_accelerators_on_linux_are_named_once(tmp_path: Path) -> None:
    root = linux(tmp_path, recorded("cpuinfo-amd-epyc-guest.txt"))
    for minor in (0, 1):
        text = f"Model: \t\t NVIDIA H200\nIRQ:   \t\t 120\nDevice Minor: \t {minor}\n"
        write(root / f"proc/driver/nvidia/gpus/0000:0{minor}:00.0/information", text)
    write(root / "dev/nvidia0", "")  # the other belongs to another container
    for name, vendor, device in (
        ("drm/card0", "0x1a03", "0x2000"),
        ("drm/card1", "0x10de", "0x2335"),
        ("drm/card2", "0x8086", "0x7d55"),
        ("drm/card2-HDMI-A-1", "0x8086", "0x7d55"),
        ("accel/accel0", "0x8086", "0x7d1d"),
    ):
        write(root / f"sys/class/{name}/device/vendor", vendor + "\n")
        write(root / f"sys/class/{name}/device/device", device + "\n")
    found = identify_linux(root, architecture="x86_64", usable_cpus=2)
    assert found.accelerators == ("Intel GPU 0x7d55", "Intel NPU 0x7d1d", "NVIDIA H200")


def test_a_mac_is_named_by_its_chip() -> None:
    name = parse_fields(recorded("sysctl-apple-m2.txt"))["machdep.cpu.brand_string"]
    found = identify_elsewhere(
        Processor(name=name, logical=8, physical=8), system="Darwin", architecture="arm64", memory=16 * GIB
    )
    assert found.key.startswith("darwin-arm64-apple-m2-8c-16g-")
    assert found.accelerators == ("Apple M2 GPU", "Apple Neural Engine")


def test_a_windows_machine_is_named_by_its_registry() -> None:
    found = identify_elsewhere(
        Processor(name=parse_registry(recorded("reg-cpu.txt"))[0], logical=8, physical=4),
        system="Windows",
        architecture="AMD64",
        memory=16_850_000_000,
        adapters=recorded("reg-adapters.txt"),
    )
    assert found.key.startswith("windows-x86_64-11th-gen-intel-core-i7-1165g7-8c-16g-")
    assert found.accelerators == ("Intel(R) Iris(R) Xe Graphics", "NVIDIA GeForce RTX 4060 Ti")


@pytest.mark.parametrize(
    ("kib", "gib"),
    [
        (24_684_092, 24),  # the recorded guest
        (16_166_000, 16),
        (7_950_000, 8),
        (3_884_000, 4),
        (926_000, 1),
        (32_040_000, 32),
        (65_700_000, 64),
        (131_500_000, 128),
        (197_500_000, 192),
        (16 * 1024 * 1024, 16),
    ],
)
def test_memory_is_what_was_put_in(kib: int, gib: int) -> None:
    assert whole_memory(kib * 1024) == gib * GIB


def test_meminfo_is_read_in_bytes() -> None:
    assert parse_meminfo(recorded("meminfo-24gib-guest.txt"))["MemTotal"] == 24_684_092 * 1024


def test_this_machine_says_the_same_twice() -> None:
    assert identify() == identify()
    assert boot_id() == boot_id() != ""


def test_a_system_without_an_identifier_of_its_boot_gives_the_minute(monkeypatch: pytest.MonkeyPatch) -> None:
    import psutil

    monkeypatch.setattr(machine, "sys", SimpleNamespace(platform="win32"))
    monkeypatch.setattr(psutil, "boot_time", lambda: 1_795_363_372.9)
    assert boot_id() == "minute-29922723"
