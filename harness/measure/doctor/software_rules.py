"""Rules about the installed software, its execution providers, and free disk space. The rules read nothing."""

from collections.abc import Iterator

from harness.engines.providers import PROVIDERS, Provider
from harness.engines.registry import SEVERAL_REMEDY, several
from harness.measure.doctor.checkup import Checkup
from harness.measure.doctor.finding import Finding, Status, absent, bad, ok, unknown, warn
from harness.measure.doctor.machine_rules import Rule

OLDEST_PYTHON, NEWEST_PYTHON = (3, 11), (3, 13)
OLDEST_RUNTIME = (1, 20)
_REINSTALL = "python -m pip install --force-reinstall"
_LEAST_ROOM = 10 << 20
_ENOUGH_ROOM = 1 << 30
"""Bytes: a run's results take some megabytes, a full-size model 0.33 GB, and building one holds it twice."""
_VARIABLES = {
    "ONNX_PROVIDER": "kokoro-onnx takes its provider from it",
    "LD_PRELOAD": "a preloaded library, such as another allocator, changes speed and memory",
    "PYTHONDEVMODE": "Python's development mode slows it down",
    "PYTHONTRACEMALLOC": "tracing allocations slows Python down",
    "PYTHONMALLOC": "another allocator changes speed and memory",
}
_MAKERS = {
    ("cuda", "linux"): "NVIDIA",
    ("cuda", "windows"): "NVIDIA",
    ("tensorrt", "linux"): "NVIDIA",
    ("tensorrt", "windows"): "NVIDIA",
    ("migraphx", "linux"): "AMD GPU",
    ("openvino", "linux"): "Intel",
    ("openvino", "windows"): "Intel",
    ("coreml", "darwin"): "Apple",
    ("directml", "windows"): "",
}
"""(provider, system) → prefix of the names of its accelerators; DirectML works with any."""


def _python(checkup: Checkup) -> Iterator[Finding]:
    version = ".".join(map(str, checkup.python))
    what = f"{checkup.implementation} {version}"
    span = "3.11 to 3.13"
    if checkup.python[:2] < OLDEST_PYTHON:
        yield bad("Python", what, remedy=f"use Python {span}")
    elif checkup.python[:2] > NEWEST_PYTHON or checkup.implementation != "CPython":
        yield warn("Python", f"{what}: not tested", remedy=f"use CPython {span} where it matters")
    else:
        yield ok("Python", what)


def _packages(checkup: Checkup) -> Iterator[Finding]:
    listed = ", ".join(f"{name} {version}" for name, version in checkup.installation.packages)
    yield ok("packages", listed or "none of those that matter")
    for module, brought_by in checkup.installation.sharing:
        if len(brought_by) < 2:
            continue
        several = " ".join(brought_by)
        yield Finding(
            topic="packages",
            status=Status.BAD if module == "onnxruntime" else Status.WARN,
            what=f"{' and '.join(brought_by)} overwrite one another: all of them bring {module}",
            remedy=f"python -m pip uninstall -y {several}, then install the one you want; "
            "for another provider use a separate runtime",
        )


def _runtime(checkup: Checkup) -> Iterator[Finding]:
    found = checkup.installation
    if found.runtime_error:
        yield bad("ONNX Runtime", found.runtime_error, remedy=f"{_REINSTALL} onnxruntime")
    elif _is_older(found.runtime_version):
        what = f"{found.runtime_version} is older than 1.20"
        yield bad("ONNX Runtime", what, remedy="python -m pip install --upgrade 'onnxruntime>=1.20'")
    else:
        yield ok("ONNX Runtime", found.runtime_version)


def _is_older(version: str) -> bool:
    """Whether a version is known to be too old; custom builds may have any version."""
    fields = version.split(".")[:2]
    return all(field.isdecimal() for field in fields) and tuple(map(int, fields)) < OLDEST_RUNTIME


def _providers(checkup: Checkup) -> Iterator[Finding]:
    if checkup.installation.runtime_error:
        return
    here = checkup.installation.providers
    for provider in PROVIDERS:
        topic = f"provider {provider.name}"
        if provider.ort in here:
            caveat = "" if provider.name == "cpu" else "; only a measurement shows whether it runs"
            yield ok(topic, f"in this build{caveat}")
        elif provider.name == "cpu":
            yield bad(topic, "not in this build", remedy=f"{_REINSTALL} {provider.wheel}")
        elif reason := _useful(provider, checkup):
            yield warn(
                topic,
                f"not in this build, though this machine has {reason}",
                remedy=f"measure it in a separate runtime with {provider.wheel}, which would overwrite this build",
            )
        else:
            yield absent(topic, f"not in this build; brought by {provider.wheel}")


def _useful(provider: Provider, checkup: Checkup) -> str:
    """The accelerator that `provider` is for, if this machine has one; "" otherwise."""
    machine = checkup.machine
    maker = _MAKERS.get((provider.name, machine.system))
    if maker is None:
        return ""
    return next((name for name in machine.accelerators if name.startswith(maker)), "")


def _engine(checkup: Checkup) -> Iterator[Finding]:
    found = checkup.installation
    if found.kokoro_error:
        yield bad("kokoro-onnx", found.kokoro_error, remedy=f"{_REINSTALL} kokoro-onnx")
    else:
        yield ok("kokoro-onnx", "loads")
    if found.espeak_error or not found.phonemes.strip():
        yield bad(
            "espeak-ng",
            found.espeak_error or "gives no phonemes for an English sentence",
            remedy=f"{_REINSTALL} espeakng-loader, or name a library in PHONEMIZER_ESPEAK_LIBRARY",
        )
    else:
        yield ok("espeak-ng", f"loads; “Hello there.” is {found.phonemes.strip()}")


def _engines(checkup: Checkup) -> Iterator[Finding]:
    for name, packages in checkup.engines.items():
        if len(packages) > 1:
            yield bad("engines", several(name, packages), remedy=SEVERAL_REMEDY)
        else:
            yield ok("engines", f"{name} ({packages[0]})")


def _environment(checkup: Checkup) -> Iterator[Finding]:
    for name, effect in _VARIABLES.items():
        if checkup.environment.get(name):
            yield warn("environment", f"{name}={checkup.environment[name]}: {effect}", remedy=f"unset {name}")


def _disks(checkup: Checkup) -> Iterator[Finding]:
    for disk in checkup.disks:
        # Both must be writable, as a measurement takes a lock; but a full cache may already hold the models.
        worst = Status.BAD if disk.name == "results" else Status.WARN
        if not disk.writable:
            yield bad(disk.name, f"{disk.path} cannot be written", remedy="give another place, or make it writable")
        elif disk.free is None:
            yield unknown(disk.name, f"the disk of {disk.path} does not report its free space")
        else:
            status = worst if disk.free < _LEAST_ROOM else Status.WARN if disk.free < _ENOUGH_ROOM else Status.OK
            remedy = "" if status is Status.OK else "free some space, or give another place"
            what = f"{disk.free / 1e9:.1f} GB free for {disk.path}"
            yield Finding(topic=disk.name, status=status, what=what, remedy=remedy)


def _git(checkup: Checkup) -> Iterator[Finding]:
    if checkup.git:
        yield ok("git", checkup.git)
    else:
        yield warn(
            "git",
            "not found: runs do not know their revision, and none can be measured against another",
            remedy="install git",
        )


RULES: tuple[Rule, ...] = (_python, _packages, _runtime, _providers, _engine, _engines, _environment, _disks, _git)
