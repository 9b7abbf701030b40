import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from harness.cli.doctor import SIGNS
from harness.core.errors import ExitCode
from harness.core.records.environment import Conditions, Machine
from harness.core.records.value import Reading, known, unknown
from harness.measure.doctor import Checkup, Disk, Finding, Status, check, examine, exit_code, installation
from harness.measure.doctor.checkup import check_disk, git_version
from harness.measure.doctor.installation import Installation, parse_probe, probing

GIB = 1 << 30
MACHINE = Machine(
    key="linux-x86_64-amd-epyc-7763-4c-16g-0123abcd",
    system="linux",
    architecture="x86_64",
    cpu="AMD EPYC 7763",
    logical_cpus=4,
    physical_cpus=4,
    memory=16 * GIB,
)
READINGS: dict[str, Reading] = {
    "cpu_since_boot_s": known(1000.0),
    "frequency_max_mhz": known(3500.0),
    "frequency_mhz": known(2445.4),
    "load_1min": known(0.2),
    "memory_available_bytes": known(12.0 * GIB),
    "pressure_cpu_share": known(0.01),
    "pressure_io_share": known(0.0),
    "pressure_memory_share": known(0.0),
    "steal_since_boot_s": known(1.0),
    "swap_used_bytes": known(0.0),
    "temperature_c": known(48.0),
    "throttled_s": known(0.0),
}
TEXTS = {
    "busy_processes": "none",
    "container": "none found",
    "energy_preference": "unknown: no cpufreq here",
    "frequency_driver": "acpi-cpufreq",
    "governor": "performance",
    "hypervisor": "none found",
    "power": "mains",
    "smt": "off",
    "turbo": "off",
}
INSTALLATION = Installation(
    packages=(("kokoro-onnx", "0.6.1"), ("onnxruntime", "1.31.1")),
    sharing=(("onnxruntime", ("onnxruntime",)), ("phonemizer", ("phonemizer",))),
    runtime_version="1.31.1",
    providers=("AzureExecutionProvider", "CPUExecutionProvider"),
    phonemes="həlO ðɛɹ",
)
DISKS = (
    Disk(name="results", path="/here/results.sqlite", free=50 * GIB, writable=True),
    Disk(name="cache", path="/there", free=50 * GIB, writable=True),
)
HEALTHY = Checkup(
    machine=MACHINE,
    conditions=Conditions(taken_at=0.0, readings=tuple(READINGS.items()), texts=tuple(TEXTS.items())),
    installation=INSTALLATION,
    python=(3, 12, 4),
    implementation="CPython",
    disks=DISKS,
    git="2.39.5",
)


def observed(texts: dict[str, str] | None = None, /, **readings: Reading) -> Checkup:
    conditions = Conditions(
        taken_at=0.0,
        readings=tuple((READINGS | readings).items()),
        texts=tuple((TEXTS | (texts or {})).items()),
    )
    return replace(HEALTHY, conditions=conditions)


def saying(**texts: str) -> Checkup:
    return observed(texts)


def machine(**changes: Any) -> Checkup:
    return replace(HEALTHY, machine=replace(MACHINE, **changes))


def installed(**changes: Any) -> Checkup:
    return replace(HEALTHY, installation=replace(INSTALLATION, **changes))


def found(checkup: Checkup, topic: str) -> Finding:
    """The gravest finding about `topic`."""
    findings = [finding for finding in examine(checkup) if finding.topic == topic]
    gravity = [Status.OK, Status.ABSENT, Status.UNKNOWN, Status.WARN, Status.BAD]
    return max(findings, key=lambda finding: gravity.index(finding.status))


def test_a_healthy_machine_has_nothing_to_mend() -> None:
    findings = examine(HEALTHY)
    others = [finding for finding in findings if finding.status is not Status.OK]
    assert {finding.status for finding in others} == {Status.ABSENT}
    assert all(finding.topic.startswith("provider ") for finding in others)
    assert exit_code(findings) is ExitCode.OK
    assert findings[0].what == f"{MACHINE.key}: AMD EPYC 7763, 4 CPUs on 4 cores, 16 GiB"


def test_a_provider_that_is_not_here_is_no_pass_and_says_why() -> None:
    assert found(HEALTHY, "provider cpu").status is Status.OK
    cuda = found(HEALTHY, "provider cuda")
    assert (cuda.status, cuda.what) == (Status.ABSENT, "not in this build; brought by onnxruntime-gpu")
    assert {each.value for each in Status} == SIGNS.keys()
    assert len({sign for sign, _ in SIGNS.values()}) == len(SIGNS)


@pytest.mark.parametrize(
    ("checkup", "topic", "status", "what", "remedy"),
    [
        pytest.param(
            machine(system="darwin", cpu="Apple M2"), "translation", Status.WARN, "translated", "arm64", id="translated"
        ),
        pytest.param(
            saying(governor="schedutil"),
            "governor",
            Status.WARN,
            "schedutil: the clock follows the load",
            "cpupower frequency-set -g performance",
            id="governor",
        ),
        pytest.param(
            saying(governor="powersave", frequency_driver="intel_pstate", energy_preference="balance_performance"),
            "governor",
            Status.WARN,
            "powersave (balance_performance)",
            "cpupower",
            id="energy-preference",
        ),
        pytest.param(saying(turbo="on"), "turbo", Status.WARN, "temperature", "firmware", id="turbo"),
        pytest.param(observed(load_1min=known(1.01)), "load", Status.WARN, "1.01 tasks on 4 CPUs", "idle", id="load"),
        pytest.param(
            saying(busy_processes="cc1plus 98 %"),
            "other processes",
            Status.WARN,
            "busy: cc1plus 98 %",
            "pause",
            id="busy",
        ),
        pytest.param(
            observed(pressure_cpu_share=known(0.11)), "cpu pressure", Status.WARN, "11.0 %", "idle", id="cpu-pressure"
        ),
        pytest.param(
            observed(pressure_memory_share=known(0.02)),
            "memory pressure",
            Status.WARN,
            "2.0 %",
            "idle",
            id="memory-pressure",
        ),
        pytest.param(machine(cpu_limit=1.5), "CPU quota", Status.WARN, "1.5 of 4 CPUs", "--threads 1", id="quota"),
        pytest.param(
            machine(cpu_limit=0.5), "CPU quota", Status.WARN, "0.5 of 4 CPUs", "--threads 1", id="quota-below-one"
        ),
        pytest.param(
            observed(throttled_s=known(12.34)), "throttling", Status.WARN, "12.3 s", "lift the quota", id="throttled"
        ),
        pytest.param(
            observed(memory_available_bytes=known(3.9 * GIB)),
            "memory",
            Status.WARN,
            "3.9 GiB",
            "end other",
            id="memory",
        ),
        pytest.param(
            observed(memory_available_bytes=known(0.4 * GIB)),
            "memory",
            Status.BAD,
            "0.4 GiB",
            "end other",
            id="no-memory",
        ),
        pytest.param(
            observed(swap_used_bytes=known(2.0 * GIB)), "swap", Status.WARN, "2.0 GiB swapped out", "swapoff", id="swap"
        ),
        pytest.param(observed(steal_since_boot_s=known(21.0)), "steal", Status.WARN, "2.10 %", "duel", id="steal"),
        pytest.param(saying(hypervisor="KVM"), "hypervisor", Status.WARN, "(KVM)", "duels", id="hypervisor"),
        pytest.param(
            observed(temperature_c=known(85.0)), "temperature", Status.WARN, "85 °C", "cool down", id="temperature"
        ),
        pytest.param(saying(power="battery"), "power", Status.WARN, "on battery", "plug it in", id="battery"),
        pytest.param(
            replace(HEALTHY, python=(3, 10, 1)), "Python", Status.BAD, "CPython 3.10.1", "3.11 to 3.13", id="old-python"
        ),
        pytest.param(
            replace(HEALTHY, python=(3, 14, 0)), "Python", Status.WARN, "3.14.0: not tested", "3.13", id="new-python"
        ),
        pytest.param(
            replace(HEALTHY, implementation="PyPy"), "Python", Status.WARN, "PyPy 3.12.4", "CPython", id="pypy"
        ),
        pytest.param(
            installed(sharing=(("onnxruntime", ("onnxruntime", "onnxruntime-gpu")),)),
            "packages",
            Status.BAD,
            "onnxruntime and onnxruntime-gpu overwrite one another",
            "pip uninstall -y onnxruntime onnxruntime-gpu",
            id="two-wheels",
        ),
        pytest.param(
            installed(sharing=(("phonemizer", ("phonemizer", "phonemizer-fork")),)),
            "packages",
            Status.WARN,
            "all of them bring phonemizer",
            "uninstall",
            id="two-phonemizers",
        ),
        pytest.param(
            installed(runtime_error="ImportError: DLL load failed"),
            "ONNX Runtime",
            Status.BAD,
            "DLL load failed",
            "--force-reinstall onnxruntime",
            id="no-runtime",
        ),
        pytest.param(
            installed(runtime_version="1.19.2"),
            "ONNX Runtime",
            Status.BAD,
            "1.19.2 is older than 1.20",
            "onnxruntime>=1.20",
            id="old-runtime",
        ),
        pytest.param(
            installed(providers=()), "provider cpu", Status.BAD, "not in this build", "onnxruntime", id="no-cpu"
        ),
        pytest.param(
            machine(accelerators=("NVIDIA H200",)),
            "provider cuda",
            Status.WARN,
            "though this machine has NVIDIA H200",
            "onnxruntime-gpu",
            id="unused-gpu",
        ),
        pytest.param(
            machine(system="windows", accelerators=("AMD Radeon 780M",)),
            "provider directml",
            Status.WARN,
            "AMD Radeon 780M",
            "onnxruntime-directml",
            id="unused-directml",
        ),
        pytest.param(
            installed(kokoro_error="ModuleNotFoundError: no"),
            "kokoro-onnx",
            Status.BAD,
            "ModuleNotFoundError",
            "kokoro-onnx",
            id="no-kokoro",
        ),
        pytest.param(
            installed(espeak_error="RuntimeError: no"),
            "espeak-ng",
            Status.BAD,
            "RuntimeError",
            "espeakng-loader",
            id="no-espeak",
        ),
        pytest.param(
            installed(phonemes=" "), "espeak-ng", Status.BAD, "no phonemes", "espeakng-loader", id="mute-espeak"
        ),
        pytest.param(
            replace(HEALTHY, environment={"ONNX_PROVIDER": "CoreMLExecutionProvider", "HOME": "/"}),
            "environment",
            Status.WARN,
            "ONNX_PROVIDER=CoreMLExecutionProvider",
            "unset ONNX_PROVIDER",
            id="environment",
        ),
        pytest.param(
            replace(HEALTHY, disks=(replace(DISKS[0], free=5 << 20),)),
            "results",
            Status.BAD,
            "0.0 GB free for /here/results.sqlite",
            "free some space",
            id="full-results",
        ),
        pytest.param(
            replace(HEALTHY, disks=(replace(DISKS[0], writable=False),)),
            "results",
            Status.BAD,
            "/here/results.sqlite cannot be written",
            "another place",
            id="read-only-results",
        ),
        pytest.param(
            replace(HEALTHY, disks=(replace(DISKS[1], free=5 << 20),)),
            "cache",
            Status.WARN,
            "0.0 GB free",
            "free some space",
            id="full-cache",
        ),
        pytest.param(
            replace(HEALTHY, disks=(replace(DISKS[1], free=None),)),
            "cache",
            Status.UNKNOWN,
            "does not report",
            "",
            id="unseen-disk",
        ),
        pytest.param(
            replace(HEALTHY, engines={"bells": ("bells 1.0",)}),
            "engines",
            Status.OK,
            "bells (bells 1.0)",
            "",
            id="an-engine",
        ),
        pytest.param(
            replace(HEALTHY, engines={"bells": ("bells 1.0", "rival 2.0")}),
            "engines",
            Status.BAD,
            "bells 1.0 and rival 2.0 each have an engine 'bells'",
            "leave all of these packages but one out",
            id="an-engine-of-two-packages",
        ),
        pytest.param(
            replace(HEALTHY, git=""), "git", Status.WARN, "do not know their revision", "install git", id="no-git"
        ),
    ],
)
def test_what_is_amiss_is_named_with_its_remedy(
    checkup: Checkup, topic: str, status: Status, what: str, remedy: str
) -> None:
    finding = found(checkup, topic)
    assert finding.status is status
    assert what in finding.what
    assert remedy in finding.remedy
    expected = ExitCode.MEASUREMENT if status is Status.BAD else ExitCode.OK
    assert exit_code(examine(checkup)) is expected


@pytest.mark.parametrize(
    ("checkup", "topic"),
    [
        (observed(load_1min=known(1.0)), "load"),
        (observed(pressure_cpu_share=known(0.10)), "cpu pressure"),
        (observed(pressure_memory_share=known(0.01)), "memory pressure"),
        (observed(memory_available_bytes=known(4.0 * GIB)), "memory"),
        (observed(swap_used_bytes=known((64 << 20) - 1.0)), "swap"),
        (observed(steal_since_boot_s=known(20.0)), "steal"),
        (observed(temperature_c=known(84.9)), "temperature"),
        (saying(governor="powersave", frequency_driver="intel_pstate", energy_preference="performance"), "governor"),
        (saying(smt="on"), "SMT"),
        (saying(container="docker"), "container"),
        (installed(runtime_version="1.20.0"), "ONNX Runtime"),
        (installed(runtime_version="nightly"), "ONNX Runtime"),
        (machine(accelerators=("Intel GPU 0x7d55",)), "provider cuda"),
        (machine(system="darwin", accelerators=("NVIDIA",)), "provider cuda"),
        (installed(providers=("CUDAExecutionProvider", "CPUExecutionProvider")), "provider cuda"),
        (replace(HEALTHY, python=(3, 11, 0)), "Python"),
        (replace(HEALTHY, python=(3, 13, 9)), "Python"),
        (replace(HEALTHY, disks=(replace(DISKS[0], free=GIB),)), "results"),
    ],
)
def test_just_inside_the_limits_nothing_is_said_against_it(checkup: Checkup, topic: str) -> None:
    assert found(checkup, topic).status in (Status.OK, Status.ABSENT)


@pytest.mark.parametrize(
    ("name", "topic"),
    [
        ("load_1min", "load"),
        ("frequency_mhz", "frequency"),
        ("temperature_c", "temperature"),
        ("pressure_io_share", "io pressure"),
        ("steal_since_boot_s", "steal"),
        ("memory_available_bytes", "memory"),
        ("swap_used_bytes", "swap"),
    ],
)
def test_an_unknown_reading_is_an_unknown_finding_with_its_reason(name: str, topic: str) -> None:
    finding = found(observed({}, **{name: unknown("nobody knows")}), topic)
    assert finding == Finding(topic=topic, status=Status.UNKNOWN, what="nobody knows")


@pytest.mark.parametrize(
    ("name", "topic"),
    [
        ("governor", "governor"),
        ("turbo", "turbo"),
        ("smt", "SMT"),
        ("busy_processes", "other processes"),
        ("hypervisor", "hypervisor"),
        ("container", "container"),
        ("power", "power"),
    ],
)
def test_an_unknown_text_is_an_unknown_finding_with_its_reason(name: str, topic: str) -> None:
    finding = found(saying(**{name: "unknown: nobody knows"}), topic)
    assert finding == Finding(topic=topic, status=Status.UNKNOWN, what="nobody knows")


def test_a_runtime_that_does_not_load_has_no_providers_to_speak_of() -> None:
    topics = {finding.topic for finding in examine(installed(runtime_error="no"))}
    assert not any(topic.startswith("provider") for topic in topics)


COMPLETE = """a warning that some package prints
probe {"part": "packages", "facts": {"onnxruntime": "1.31.1", "kokoro-onnx": "0.6.1"}}
probe {"part": "sharing", "facts": {"phonemizer": ["phonemizer"], "onnxruntime": ["onnxruntime", "onnxruntime-gpu"]}}
probe {"part": "onnxruntime", "facts": {"version": "1.31.1", "providers": ["CPUExecutionProvider"]}}
probe {"part": "kokoro-onnx", "facts": {"version": "0.6.1"}}
probe {"part": "espeak-ng", "error": "RuntimeError: no library"}
"""


def test_the_probe_s_lines_become_an_installation() -> None:
    assert parse_probe(COMPLETE, ending="ended") == Installation(
        packages=(("kokoro-onnx", "0.6.1"), ("onnxruntime", "1.31.1")),
        sharing=(("onnxruntime", ("onnxruntime", "onnxruntime-gpu")), ("phonemizer", ("phonemizer",))),
        runtime_version="1.31.1",
        providers=("CPUExecutionProvider",),
        espeak_error="RuntimeError: no library",
    )


def test_a_crash_is_blamed_on_the_part_that_was_loading() -> None:
    output = "".join(COMPLETE.splitlines(keepends=True)[:3])
    result = parse_probe(output, ending="killed")
    assert result.runtime_error == "killed"
    assert result.kokoro_error == "not tried: onnxruntime came first and failed (killed)"
    assert result.packages != ()


def probe(python: str, packages: tuple[str, ...]) -> Installation:
    with probing(python, packages) as found:
        return found()


def test_a_child_that_dies_in_the_middle_is_told_by_its_code(monkeypatch: pytest.MonkeyPatch) -> None:
    crash = installation.PROBE.replace("    import onnxruntime\n", "    import os; os.abort()\n")
    assert crash != installation.PROBE
    monkeypatch.setattr(installation, "PROBE", crash)
    result = probe(sys.executable, ("numpy",))
    assert result.runtime_error.startswith("the interpreter ended with code ")
    assert [name for name, _ in result.packages] == ["numpy"]


def test_the_copy_of_espeak_ng_is_removed_when_the_child_ends(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    look = "print(*(each.name for each in os.scandir(os.environ['TMPDIR']) if each.is_dir()), file=sys.stderr)"
    looking = installation.PROBE.replace("done.append(True)", f"{look}\ndone.append(True)")
    assert looking != installation.PROBE
    child = subprocess.run([sys.executable, "-P", "-c", looking], capture_output=True, text=True, check=True)
    assert parse_probe(child.stdout, ending="").phonemes
    assert child.stderr.strip(), "no copy was made"
    assert [each.name for each in tmp_path.iterdir() if each.is_dir()] == []  # ONNX Runtime leaves a file


def test_every_package_that_brings_onnxruntime_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    files = {
        "declared": ("top_level.txt", "onnxruntime\n"),
        "recorded": ("RECORD", "onnxruntime/__init__.py,,\nrecorded-1.dist-info/RECORD,,\n"),
        "another": ("RECORD", "onnxruntime_genai/__init__.py,,\nlib/onnxruntime/__init__.py,,\n"),
    }
    for name, (file, content) in files.items():
        folder = tmp_path / f"{name}-1.dist-info"
        folder.mkdir()
        (folder / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1\n")
        (folder / file).write_text(content)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    sharing = dict(probe(sys.executable, ()).sharing)
    assert [name for name in sharing["onnxruntime"] if name in files] == ["declared", "recorded"]
    assert "onnxruntime" in sharing["onnxruntime"]
    assert "phonemizer" in sharing["phonemizer"]


def test_a_child_that_hangs_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    def hang(*_: Any, **__: Any) -> None:
        raise subprocess.TimeoutExpired(
            "python", 120.0, output=b'probe {"part": "packages", "facts": {"numpy": "2"}}\n'
        )

    monkeypatch.setattr(subprocess.Popen, "communicate", hang)
    result = probe(sys.executable, ())
    assert result.packages == (("numpy", "2"),)
    assert result.runtime_error == "not tried: sharing came first and failed (did not finish within 120 s)"


def test_a_child_is_ended_with_what_waits_for_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(installation, "PROBE", "import time; time.sleep(600)")
    children = []
    begin = subprocess.Popen.__init__

    def noted(child: Any, *given: Any, **named: Any) -> None:
        children.append(child)
        begin(child, *given, **named)

    monkeypatch.setattr(subprocess.Popen, "__init__", noted)
    with pytest.raises(KeyboardInterrupt), probing(sys.executable, ()):
        raise KeyboardInterrupt
    (child,) = children
    assert child.returncode not in {0, None}


def test_an_interpreter_that_is_not_there_is_named(tmp_path: Path) -> None:
    result = probe(str(tmp_path / "python"), ())
    assert result.runtime_error.startswith("not tried: packages came first and failed (the interpreter ")
    assert result.runtime_error.endswith("cannot be started (No such file or directory))")


def test_this_installation_can_be_looked_at(tmp_path: Path) -> None:
    checkup = check(results=tmp_path / "not" / "yet" / "results.sqlite", cache=tmp_path)
    assert checkup.installation.runtime_error == ""
    assert "CPUExecutionProvider" in checkup.installation.providers
    assert checkup.installation.phonemes != ""
    assert [(disk.name, disk.writable) for disk in checkup.disks] == [("results", True), ("cache", True)]
    assert checkup.disks[0].free is not None
    assert checkup.machine.key != ""


def test_a_place_under_a_file_cannot_be_written_but_has_a_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.access", lambda _path, _mode: False)
    disk = check_disk("results", tmp_path / "results.sqlite")
    assert not disk.writable
    assert disk.free is not None


def test_without_git_there_is_no_version(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    assert git_version()[0].isdecimal()
    monkeypatch.setenv("PATH", str(tmp_path))
    assert git_version() == ""
