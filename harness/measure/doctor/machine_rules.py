"""Rules about the machine and its current state. Rules turn facts into findings and read nothing."""

from collections.abc import Callable, Iterator

from harness.measure.doctor.checkup import Checkup
from harness.measure.doctor.finding import Finding, bad, ok, unknown, warn
from harness.measure.system.conditions import reading, text

Rule = Callable[[Checkup], Iterator[Finding]]

GIB = 1 << 30
_LOAD_PER_CPU = 0.25
_SWAPPED_OUT = 64 << 20
_LOADED_BYTES = GIB // 2
_WORKING_BYTES = 4 * GIB
"""A loaded full-size model (0.43 GB measured); two workers with a long text each (1.4 GB each), with a margin."""
_HOT_C = 85.0
_STEAL_SHARE = 0.02
_SELF_SCALING = ("intel_pstate", "amd-pstate-epp")
"""Drivers whose "powersave" follows the load, steered by the energy preference."""
_PRESSURES = (
    ("cpu", 0.10, "tasks wait for a CPU"),
    ("memory", 0.01, "tasks wait for memory to be freed"),
    ("io", 0.10, "tasks wait for a disk"),
)


def _machine(checkup: Checkup) -> Iterator[Finding]:
    machine = checkup.machine
    cores = "" if machine.physical_cpus is None else f" on {machine.physical_cpus} cores"
    parts = [f"{machine.cpu}, {machine.logical_cpus} CPUs{cores}, {machine.memory // GIB} GiB", *machine.accelerators]
    yield ok("machine", f"{machine.key}: {', '.join(parts)}")
    if machine.system == "darwin" and machine.cpu.startswith("Apple") and machine.architecture == "x86_64":
        yield warn(
            "translation",
            "this Python is built for Intel and runs translated; so does ONNX Runtime",
            remedy="install a Python for arm64 and recreate the environment",
        )


def _governor(checkup: Checkup) -> Iterator[Finding]:
    governor = text(checkup.conditions, "governor")
    preference = text(checkup.conditions, "energy_preference")
    if governor.startswith("unknown"):
        yield unknown("governor", governor)
        return
    self_scaling = text(checkup.conditions, "frequency_driver") in _SELF_SCALING
    if governor == "performance" or (self_scaling and preference == "performance"):
        yield ok("governor", governor)
        return
    shown = f"{governor} ({preference})" if self_scaling else governor
    yield warn(
        "governor",
        f"{shown}: the clock follows the load, so short repetitions run slower than long ones",
        remedy="sudo cpupower frequency-set -g performance",
    )


def _turbo(checkup: Checkup) -> Iterator[Finding]:
    turbo = text(checkup.conditions, "turbo")
    if turbo == "on":
        yield warn(
            "turbo",
            "on: the clock depends on the temperature and on what the other cores do",
            remedy="keep it for values as users see them; switch it off in the firmware for the narrowest intervals",
        )
    elif turbo == "off":
        yield ok("turbo", "off")
    else:
        yield unknown("turbo", turbo)


def _frequency(checkup: Checkup) -> Iterator[Finding]:
    now, most = (reading(checkup.conditions, name) for name in ("frequency_mhz", "frequency_max_mhz"))
    if now.value is None:
        yield unknown("frequency", now.reason)
    else:
        of = "" if most.value is None else f" of at most {most.value:.0f} MHz"
        yield ok("frequency", f"{now.value:.0f} MHz now{of}")


def _smt(checkup: Checkup) -> Iterator[Finding]:
    smt = text(checkup.conditions, "smt")
    cores = checkup.machine.physical_cpus
    if smt == "on" and cores is not None:
        yield ok(
            "SMT",
            f"on: {checkup.machine.logical_cpus} CPUs are {cores} cores",
            remedy=f"more than --threads {cores} makes threads share a core",
        )
    elif smt.startswith("unknown"):
        yield unknown("SMT", smt)
    else:
        yield ok("SMT", smt)


def _load(checkup: Checkup) -> Iterator[Finding]:
    load = reading(checkup.conditions, "load_1min")
    cpus = checkup.machine.logical_cpus
    if load.value is None:
        yield unknown("load", load.reason)
    elif load.value > _LOAD_PER_CPU * cpus:
        yield warn(
            "load",
            f"{load.value:.2f} tasks on {cpus} CPUs over the last minute",
            remedy="wait until the machine is idle, or compare by duel",
        )
    else:
        yield ok("load", f"{load.value:.2f} tasks on {cpus} CPUs over the last minute")


def _busy(checkup: Checkup) -> Iterator[Finding]:
    busy = text(checkup.conditions, "busy_processes")
    if busy == "none":
        yield ok("other processes", "none is busy")
    elif busy.startswith("unknown"):
        yield unknown("other processes", busy)
    else:
        yield warn("other processes", f"busy: {busy}", remedy="end or pause them")


def _pressure(checkup: Checkup) -> Iterator[Finding]:
    for kind, limit, meaning in _PRESSURES:
        found = reading(checkup.conditions, f"pressure_{kind}_share")
        topic = f"{kind} pressure"
        if found.value is None:
            yield unknown(topic, found.reason)
            continue
        what = f"{meaning} for {100 * found.value:.1f} % of the time"
        if found.value > limit:
            yield warn(topic, what, remedy="wait until the machine is idle")
        else:
            yield ok(topic, what)


def _quota(checkup: Checkup) -> Iterator[Finding]:
    machine = checkup.machine
    stopped = reading(checkup.conditions, "throttled_s")
    if machine.cpu_limit is None:
        yield ok("CPU quota", "none")
    else:
        yield warn(
            "CPU quota",
            f"{machine.cpu_limit:g} of {machine.logical_cpus} CPUs: more threads than that are throttled",
            remedy=f"measure with --threads {max(1, int(machine.cpu_limit))}, or lift the quota",
        )
    if stopped.value:
        yield warn(
            "throttling",
            f"this container has been stopped for {stopped.value:.1f} s so far",
            remedy="lift the quota while measuring",
        )


def _memory(checkup: Checkup) -> Iterator[Finding]:
    available = reading(checkup.conditions, "memory_available_bytes")
    if available.value is None:
        yield unknown("memory", available.reason)
        return
    what = f"{available.value / GIB:.1f} GiB available"
    remedy = "end other programs; each arm has its own worker, which needs up to 1.4 GB"
    if available.value < _LOADED_BYTES:
        yield bad("memory", what, remedy=remedy)
    elif available.value < _WORKING_BYTES:
        yield warn("memory", what, remedy=remedy)
    else:
        yield ok("memory", what)


def _swap(checkup: Checkup) -> Iterator[Finding]:
    used = reading(checkup.conditions, "swap_used_bytes")
    if used.value is None:
        yield unknown("swap", used.reason)
    elif used.value >= _SWAPPED_OUT:
        yield warn(
            "swap",
            f"{used.value / GIB:.1f} GiB swapped out: pages may come back in the middle of a repetition",
            remedy="end other programs, then: sudo swapoff -a && sudo swapon -a",
        )
    else:
        yield ok("swap", "hardly used" if used.value else "not used")


def _steal(checkup: Checkup) -> Iterator[Finding]:
    steal, cpu = (reading(checkup.conditions, name) for name in ("steal_since_boot_s", "cpu_since_boot_s"))
    if steal.value is None or not cpu.value:
        yield unknown("steal", steal.reason or cpu.reason)
        return
    share = steal.value / cpu.value
    what = f"{100 * share:.2f} % of all CPU time since boot went to other guests"
    if share > _STEAL_SHARE:
        yield warn("steal", what, remedy="compare by duel, or on a dedicated host")
    else:
        yield ok("steal", what)


def _host(checkup: Checkup) -> Iterator[Finding]:
    hypervisor, container = (text(checkup.conditions, name) for name in ("hypervisor", "container"))
    if hypervisor.startswith("unknown"):
        yield unknown("hypervisor", hypervisor)
    elif hypervisor == "none found":
        yield ok("hypervisor", hypervisor)
    else:
        yield warn(
            "hypervisor",
            f"virtual machine ({hypervisor}): neighbours share its caches, and steal shows only a part of it",
            remedy="prefer duels to baselines for small changes",
        )
    if container.startswith("unknown"):
        yield unknown("container", container)
    else:
        yield ok("container", container)


def _temperature(checkup: Checkup) -> Iterator[Finding]:
    heat = reading(checkup.conditions, "temperature_c")
    if heat.value is None:
        yield unknown("temperature", heat.reason)
    elif heat.value >= _HOT_C:
        what = f"{heat.value:.0f} °C: the CPU lowers its clock to cool down"
        yield warn("temperature", what, remedy="let it cool down before measuring")
    else:
        yield ok("temperature", f"{heat.value:.0f} °C")


def _power(checkup: Checkup) -> Iterator[Finding]:
    power = text(checkup.conditions, "power")
    if power == "battery":
        what = "on battery: the clock is reduced"
        yield warn("power", what, remedy="plug it in")
    elif power.startswith("unknown"):
        yield unknown("power", power)
    else:
        yield ok("power", power)


RULES: tuple[Rule, ...] = (
    _machine,
    _host,
    _quota,
    _governor,
    _frequency,
    _turbo,
    _smt,
    _power,
    _temperature,
    _load,
    _busy,
    _pressure,
    _steal,
    _memory,
    _swap,
)
