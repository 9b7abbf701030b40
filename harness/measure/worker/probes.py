"""Reads a worker's process and machine around a repetition. The scripted variant always returns the same values."""

import gc
import os
from pathlib import Path
from typing import Protocol

from harness.core.clock import Clock, SystemClock
from harness.core.records.repetition import Disturbance, Memory
from harness.measure.system.interference import Watch
from harness.measure.system.memory import Mark, begin, memory, usage
from harness.measure.system.quiesce import await_idle
from harness.measure.worker.pause import PauseLedger, WorkerActivity

CHUNK = 1 << 22


class SystemProbes:
    """Probes of the worker's process. `ledger` holds its pauses and the CPU time of the other side during them."""

    def __init__(self, clock: Clock | None = None, ledger: PauseLedger | None = None) -> None:
        self._clock = clock or SystemClock()
        self._ledger = ledger
        self._watch = Watch()
        self._mark: Mark | None = None
        self._pauses_before = (0, 0)

    def settle(self) -> None:
        """Exclude all objects that loading created from garbage collection, which makes later collections cheap."""
        gc.collect()
        gc.freeze()

    def begin(self) -> None:
        """Reset the high-water mark, if the kernel allows it, and read the counters.

        Collecting garbage now avoids a collection inside the timed part.
        """
        gc.collect()
        self._mark = begin()
        self._pauses_before = self._pause_totals_ns()
        self._watch.begin()
        self._set_activity(WorkerActivity.SYNTHESIS)

    def end(self, *, cpu_ns: int, wall_ns: int) -> tuple[Memory, Disturbance]:
        """Memory and disturbance since `begin`. The counters are read first, because they are still moving.

        They also count during pauses, so the CPU time of the other side is subtracted from the disturbance.
        """
        self._set_activity(WorkerActivity.OTHER)
        paused_ns, used_ns = (
            now - then for now, then in zip(self._pause_totals_ns(), self._pauses_before, strict=True)
        )
        disturbance = self._watch.end(own_cpu_ns=cpu_ns, wall_ns=wall_ns, other_side_ns=used_ns, paused_ns=paused_ns)
        return memory(self._mark) if self._mark else Memory(), disturbance

    def rest(self) -> None:
        """Wait until the engine's threads are idle."""
        await_idle(self._clock.cpu_ns, sleep=self._clock.sleep)

    def _set_activity(self, what: WorkerActivity) -> None:
        if self._ledger:
            self._ledger.doing = what

    def _pause_totals_ns(self) -> tuple[int, int]:
        return (self._ledger.paused_ns, self._ledger.used_ns) if self._ledger else (0, 0)

    def resident(self) -> int | None:
        return usage().rss

    def prepare_cache(self, path: str, *, wanted: str) -> str:
        """Read the whole file for "warm"; ask the kernel to evict it for "cold".

        Without a model file, "cold" is unknown.
        """
        if not path:
            return "warm" if wanted == "warm" else "unknown: no model file"
        try:
            return _read_through(path) if wanted == "warm" else _evict(path)
        except OSError as error:
            return f"unknown: {error.strerror}"


def _read_through(path: str) -> str:
    with Path(path).open("rb", buffering=0) as file:
        while file.read(CHUNK):
            pass
    return "warm"


def _evict(path: str) -> str:
    if not hasattr(os, "posix_fadvise"):
        return "unknown: this platform cannot evict a file from its page cache"
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
        os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
    finally:
        os.close(descriptor)
    return "cold"


class ScriptedProbes:
    """Probes of a simulated machine. The peak memory grows with the duration of a repetition."""

    LOADED = 200 << 20
    STEP = 10 << 20

    factor = 1.0
    """A factor on all sizes, which a script sets for each start."""
    leak = 0
    """The bytes that each repetition keeps for good, which a script sets too."""
    _kept = 0

    def settle(self) -> None:
        """Do nothing."""

    def begin(self) -> None:
        """Do nothing."""

    def end(self, *, cpu_ns: int, wall_ns: int) -> tuple[Memory, Disturbance]:
        """Memory in proportion to the duration, and what is leaked; without disturbance."""
        del cpu_ns
        peak = self.LOADED + self.STEP * (1 + wall_ns // 100_000_000)
        before = round(self.LOADED * self.factor) + self._kept
        self._kept += self.leak
        memory = Memory(rss_before=before, rss_after=before + self.leak, peak=round(peak * self.factor) + self._kept)
        return memory, Disturbance(steal_share=0.0, others_cpu_share=0.0, involuntary_switches=0)

    def rest(self) -> None:
        """Do nothing: a scripted engine is idle after an answer."""

    def resident(self) -> int | None:
        """The size `LOADED`, and what was leaked."""
        return round(self.LOADED * self.factor) + self._kept

    def prepare_cache(self, path: str, *, wanted: str) -> str:
        """Report the wanted state; there is no file."""
        del path
        return wanted


class Probes(Protocol):
    """Readings of the process and the machine around a repetition, outside its timed part."""

    def settle(self) -> None:
        """Prepare the process for measurements, once after loading."""
        ...

    def begin(self) -> None:
        """Reset the high-water mark and read the counters."""
        ...

    def end(self, *, cpu_ns: int, wall_ns: int) -> tuple[Memory, Disturbance]:
        """Memory and disturbance since `begin`."""
        ...

    def rest(self) -> None:
        """Return when the process is idle, because the next worker runs after it."""
        ...

    def resident(self) -> int | None:
        """Resident size now, in bytes."""
        ...

    def prepare_cache(self, path: str, *, wanted: str) -> str:
        """Read the file into the page cache or evict it. Return "warm", "cold", or "unknown: <why>"."""
        ...
