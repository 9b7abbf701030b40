import os
import time
from pathlib import Path
from types import SimpleNamespace

import pytest

from harness.core.records.environment import Conditions
from harness.core.records.value import Reading, known, unknown
from harness.measure.system import conditions, linux
from harness.measure.system.conditions import observe, reading, text

DATA = Path(__file__).parent / "data"


def tree(root: Path, files: dict[str, str]) -> Path:
    for name, content in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content, encoding="utf-8")
    return root


def test_load_averages_are_those_of_proc_loadavg(tmp_path: Path) -> None:
    root = tree(tmp_path, {"proc/loadavg": "0.65 0.44 1.22 1/94 6234\n"})
    assert linux.load(root) == {"load_1min": known(0.65), "load_5min": known(0.44), "load_15min": known(1.22)}


def test_the_clock_is_the_mean_of_up_to_four_cpus_spread_over_the_machine(tmp_path: Path) -> None:
    cpus = "sys/devices/system/cpu"
    files = {f"{cpus}/cpu{cpu:02}/cpufreq/scaling_cur_freq": f"{(cpu + 1) * 1000}\n" for cpu in range(8)}
    root = tree(tmp_path, files | {f"{cpus}/cpu0/cpufreq/cpuinfo_max_freq": "4200000\n"})
    # CPUs 0, 2, 4 and 6.
    assert linux.frequency(root) == {"frequency_mhz": known(4.0), "frequency_max_mhz": known(4200.0)}


def test_a_guest_without_cpufreq_has_no_clock(tmp_path: Path) -> None:
    found = linux.frequency(tmp_path)
    assert found["frequency_mhz"] == unknown("no cpufreq here; a virtual machine does not see its clock")


@pytest.mark.parametrize(
    ("switch", "content", "turbo"),
    [
        ("intel_pstate/no_turbo", "0", "on"),
        ("intel_pstate/no_turbo", "1", "off"),
        ("cpufreq/boost", "1", "on"),
        ("cpufreq/boost", "0", "off"),
        ("elsewhere", "0", "unknown: no switch for it here"),
    ],
)
def test_both_switches_of_turbo_are_understood(tmp_path: Path, switch: str, content: str, turbo: str) -> None:
    root = tree(tmp_path, {f"sys/devices/system/cpu/{switch}": content + "\n"})
    assert linux.frequency_policy(root)["turbo"] == turbo


def test_governors_that_differ_are_all_named(tmp_path: Path) -> None:
    cpus = "sys/devices/system/cpu"
    names = ("powersave", "performance", "powersave")
    files = {f"{cpus}/cpu{cpu}/cpufreq/scaling_governor": name + "\n" for cpu, name in enumerate(names)}
    found = linux.frequency_policy(tree(tmp_path, files | {f"{cpus}/smt/active": "1\n"}))
    assert found["governor"] == "performance, powersave"
    assert found["energy_preference"] == "unknown: no cpufreq here"
    assert found["smt"] == "on"


def test_the_hottest_cpu_sensor_counts_and_a_disk_s_does_not(tmp_path: Path) -> None:
    root = tree(
        tmp_path,
        {
            "sys/class/hwmon/hwmon0/name": "nvme\n",
            "sys/class/hwmon/hwmon0/temp1_input": "81000\n",
            "sys/class/hwmon/hwmon1/name": "coretemp\n",
            "sys/class/hwmon/hwmon1/temp1_input": "51000\n",
            "sys/class/hwmon/hwmon1/temp2_input": "63500\n",
            "sys/class/thermal/thermal_zone0/type": "x86_pkg_temp\n",
            "sys/class/thermal/thermal_zone0/temp": "99000\n",
        },
    )
    assert linux.temperature(root) == {"temperature_c": known(63.5)}


def test_a_board_without_hwmon_has_a_thermal_zone(tmp_path: Path) -> None:
    zones = {
        "sys/class/thermal/thermal_zone0/type": "cpu-thermal\n",
        "sys/class/thermal/thermal_zone0/temp": "48300\n",
        "sys/class/thermal/thermal_zone1/type": "battery\n",
        "sys/class/thermal/thermal_zone1/temp": "90000\n",
    }
    assert linux.temperature(tree(tmp_path, zones)) == {"temperature_c": known(48.3)}


def test_available_memory_and_used_swap_are_in_bytes(tmp_path: Path) -> None:
    meminfo = "MemTotal: 100 kB\nMemAvailable: 60 kB\nSwapTotal: 50 kB\nSwapFree: 20 kB\nHugePages_Total: 0\n"
    found = linux.memory(tree(tmp_path, {"proc/meminfo": meminfo}))
    assert found == {"memory_available_bytes": known(60 * 1024), "swap_used_bytes": known(30 * 1024)}


def test_the_clocks_since_boot_hold_idle_and_steal(tmp_path: Path) -> None:
    root = tree(tmp_path, {"proc/stat": "cpu 100 20 30 4000 50 6 7 80 99 11\n"})
    found = linux.clocks(root)
    assert found["cpu_since_boot_s"].value == pytest.approx(42.93)
    assert found["steal_since_boot_s"].value == pytest.approx(0.8)


def test_pressure_is_a_ratio() -> None:
    assert linux.parse_pressure("some avg10=12.50 avg60=0.77 avg300=0.33 total=7046090\n") == known(0.125)
    recorded = linux.parse_pressure((DATA / "pressure-cpu.txt").read_text(encoding="ascii"))
    assert recorded.value is not None
    assert 0 <= recorded.value <= 1


@pytest.mark.parametrize(
    ("files", "power"),
    [
        ({}, "mains"),
        ({"BAT0/type": "Battery", "BAT0/status": "Discharging", "AC/type": "Mains", "AC/online": "0"}, "battery"),
        ({"BAT0/type": "Battery", "BAT0/status": "Full", "AC/type": "Mains", "AC/online": "1"}, "mains"),
        ({"BAT0/type": "Battery", "BAT0/status": "Charging", "usbc/type": "USB", "usbc/online": "1"}, "mains"),
        ({"mouse/type": "Battery", "mouse/scope": "Device", "mouse/status": "Discharging"}, "mains"),
    ],
)
def test_the_source_of_power(tmp_path: Path, files: dict[str, str], power: str) -> None:
    root = tree(tmp_path, {f"sys/class/power_supply/{name}": value + "\n" for name, value in files.items()})
    assert linux.power(root) == {"power": power}


DMI = "sys/class/dmi/id"


@pytest.mark.parametrize(
    ("files", "hypervisor"),
    [
        ({}, "none found"),
        ({"proc/cpuinfo": "flags\t\t: fpu vme hypervisor lahf_lm\n"}, "unnamed"),
        ({f"{DMI}/sys_vendor": "Amazon EC2\n", f"{DMI}/product_name": "c7g.large\n"}, "Amazon EC2 c7g.large"),
        ({f"{DMI}/sys_vendor": "Amazon EC2\n", f"{DMI}/product_name": "c7g.metal\n"}, "none found"),
        ({f"{DMI}/sys_vendor": "Microsoft Corporation\n", f"{DMI}/product_name": "Surface Pro 7\n"}, "none found"),
        ({f"{DMI}/sys_vendor": "LENOVO\n", f"{DMI}/product_name": "21CB\n"}, "none found"),
        ({"proc/version": "Linux version 5.15.90.1-microsoft-standard-WSL2\n"}, "Windows Subsystem for Linux"),
    ],
)
def test_hypervisor_is_named_by_the_traces_it_leaves(tmp_path: Path, files: dict[str, str], hypervisor: str) -> None:
    assert linux.host(tree(tmp_path, files), {})["hypervisor"] == hypervisor


@pytest.mark.parametrize(
    ("files", "environment", "container"),
    [
        ({}, {}, "none found"),
        ({".dockerenv": ""}, {}, "docker"),
        ({"run/.containerenv": ""}, {}, "podman"),
        ({}, {"container": "lxc"}, "lxc"),
        ({".dockerenv": ""}, {"KUBERNETES_SERVICE_HOST": "10.0.0.1"}, "kubernetes"),
    ],
)
def test_container_is_named_by_the_traces_it_leaves(
    tmp_path: Path, files: dict[str, str], environment: dict[str, str], container: str
) -> None:
    assert linux.host(tree(tmp_path, files), environment)["container"] == container


def test_an_empty_machine_is_all_unknown_with_reasons(tmp_path: Path) -> None:
    readings, texts = linux.read_conditions(tmp_path)
    assert all(not value.known and value.reason for value in readings.values())
    assert texts["governor"] == "unknown: no cpufreq here"


def at(**readings: Reading) -> Conditions:
    return Conditions(taken_at=0.0, readings=tuple(readings.items()), texts=(("power", "mains"),))


def test_what_was_not_observed_is_unknown() -> None:
    assert reading(at(), "load_1min") == unknown("load_1min was not observed")
    assert text(at(), "power") == "mains"
    assert text(at(), "governor") == "unknown: not observed"


def test_this_machine_can_be_observed() -> None:
    found = observe(1_700_000_000.0)
    assert found.taken_at == 1_700_000_000.0
    assert dict(found.readings).keys() >= {"load_1min", "frequency_mhz", "memory_available_bytes", "throttled_s"}
    assert dict(found.texts).keys() >= {"governor", "power", "container", "busy_processes"}
    assert all(value.known or value.reason for _, value in found.readings)


def on(platform: str, monkeypatch: pytest.MonkeyPatch) -> None:
    # Only this module's: psutil chooses its own platform by the same name.
    monkeypatch.setattr(conditions, "sys", SimpleNamespace(platform=platform))


def test_other_systems_have_the_same_names(monkeypatch: pytest.MonkeyPatch) -> None:
    here = observe(0.0)
    on("darwin", monkeypatch)
    there = observe(0.0)
    assert [name for name, _ in there.readings] == [name for name, _ in here.readings]
    assert [name for name, _ in there.texts] == [name for name, _ in here.texts]
    assert text(there, "governor") == "unknown: macOS does not report it"
    assert text(there, "busy_processes").startswith("unknown: listing processes takes too long")


def test_a_system_without_load_averages_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    on("win32", monkeypatch)
    monkeypatch.delattr(os, "getloadavg")
    assert reading(observe(0.0), "load_1min") == unknown("Windows does not report it")


def test_a_long_look_lists_processes_on_other_systems_too(monkeypatch: pytest.MonkeyPatch) -> None:
    on("darwin", monkeypatch)
    monkeypatch.setattr(time, "sleep", lambda _seconds: None)
    assert not text(observe(0.0, window_s=conditions.SHORT_WINDOW_S * 2), "busy_processes").startswith("unknown")
