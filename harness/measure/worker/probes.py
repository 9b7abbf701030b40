"""What a worker reads around a repetition: of its own process and machine, or, scripted, the same each time."""

import gc
import os
from pathlib import Path
from typing import Protocol

from harness.core.clock import Clock, SystemClock
from harness.core.records.repetition import Disturbance, Memory
from harness.measure.system.interference import Watch
from harness.measure.system.memory import Mark, begin, memory, usage
from harness.measure.system.quiesce import await_rest
from harness.measure.worker.pause import Doing, PauseLedger

CHUNK = 1 << 22


class SystemProbes:
    """The worker's own process. `ledger` says how long it was halted, and what worked in its stead."""

    def __init__(self, clock: Clock | None = None, ledger: PauseLedger | None = None) -> None:
        self._clock = clock or SystemClock()
        self._ledger = ledger
        self._watch = Watch()
        self._mark: Mark | None = None
        self._missed = (0, 0)

    def settle(self) -> None:
        """What loading left behind is not looked at again by the collector, which makes it cheap from here on."""
        gc.collect()
        gc.freeze()

    def begin(self) -> None:
        """Reset the high-water mark, where the kernel lets us, and note the counters.

        Collecting now keeps the collector from choosing a moment inside the timed part.
        """
        gc.collect()
        self._mark = begin()
        self._missed = self._missed_ns()
        self._watch.begin()
        self._say(Doing.SYNTHESIS)

    def end(self, *, cpu_ns: int, wall_ns: int) -> tuple[Memory, Disturbance]:
        """What happened since `begin`; the counters first, since they are still moving.

        They count on while the process is halted, and whoever works meanwhile is no disturbance.
        """
        self._say(Doing.OTHER)
        stood_ns, used_ns = (now - then for now, then in zip(self._missed_ns(), self._missed, strict=True))
        disturbance = self._watch.end(own_cpu_ns=cpu_ns, wall_ns=wall_ns, instead_ns=used_ns, stood_ns=stood_ns)
        return memory(self._mark) if self._mark else Memory(), disturbance

    def rest(self) -> None:
        """Wait until the engine's threads have stopped looking for work."""
        await_rest(self._clock.cpu_ns, sleep=self._clock.sleep)

    def _say(self, what: Doing) -> None:
        if self._ledger:
            self._ledger.doing = what

    def _missed_ns(self) -> tuple[int, int]:
        return (self._ledger.stood_ns, self._ledger.used_ns) if self._ledger else (0, 0)

    def resident(self) -> int | None:
        """Resident size now, in bytes."""
        return usage().rss

    def prepare_cache(self, path: str, *, wanted: str) -> str:
        """Read the file through for "warm"; ask the kernel to drop it for "cold".

        An engine without a model file has none that could be cold.
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
    """Figures of a machine that does not exist; a text's work grows the memory a little each time it is spoken."""

    LOADED = 200 << 20
    STEP = 10 << 20

    def settle(self) -> None:
        """Always quiet."""

    def begin(self) -> None:
        """Nothing to note."""

    def end(self, *, cpu_ns: int, wall_ns: int) -> tuple[Memory, Disturbance]:
        """Memory in proportion to the work; nobody else on the machine."""
        del cpu_ns
        peak = self.LOADED + self.STEP * (1 + wall_ns // 100_000_000)
        memory = Memory(rss_before=self.LOADED, rss_after=self.LOADED, peak=peak)
        return memory, Disturbance(steal_share=0.0, others_cpu_share=0.0, involuntary_switches=0)

    def rest(self) -> None:
        """Nothing goes on after an answer."""

    def resident(self) -> int | None:
        """Always the same."""
        return self.LOADED

    def prepare_cache(self, path: str, *, wanted: str) -> str:
        """There is no file; the script has it either way."""
        del path
        return wanted


class Probes(Protocol):
    """What is read of the process and the machine around a repetition, outside its timed part."""

    def settle(self) -> None:
        """Once after loading: make the process quiet for what follows."""
        ...

    def begin(self) -> None:
        """Reset the high-water mark and note the counters."""
        ...

    def end(self, *, cpu_ns: int, wall_ns: int) -> tuple[Memory, Disturbance]:
        """What happened since `begin`."""
        ...

    def rest(self) -> None:
        """Return when the process does nothing any more: afterwards it is another worker's time."""
        ...

    def resident(self) -> int | None:
        """Resident size now, in bytes."""
        ...

    def prepare_cache(self, path: str, *, wanted: str) -> str:
        """Bring the file into the page cache or evict it; says "warm", "cold", or "unknown: <why>"."""
        ...
