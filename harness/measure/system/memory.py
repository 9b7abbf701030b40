"""Measures the memory of processes: the high-water mark of a worker, and samples of a server's process tree.

Resident sizes are bytes. On Linux they come from `/proc/self/status`, whose counters the kernel keeps per CPU and sums
lazily: a value may lag by some hundred kilobytes, never by megabytes.
"""

import sys
import threading
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Self

from harness.core.records.repetition import Memory

if TYPE_CHECKING:
    import psutil

_SELF = Path("/proc/self")
_REFRESH_EVERY = 10
"""Samples between two searches for new children. A search walks every process of the machine."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Usage:
    """Resident size and high-water mark of this process at one moment; `reason` says why `peak` is None."""

    rss: int | None
    peak: int | None
    reason: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Mark:
    """The start of a measurement. `reset_reason` is "" if the high-water mark was reset, else says why not."""

    usage: Usage
    reset_reason: str


def begin() -> Mark:
    """Reset the high-water mark if the kernel allows it, and read the current memory."""
    reset_reason = reset_peak()
    return Mark(usage=usage(), reset_reason=reset_reason)


def memory(mark: Mark) -> Memory:
    """The memory of this process since `mark`."""
    return memory_since(mark, usage())


def memory_since(mark: Mark, now: Usage) -> Memory:
    """Combine two readings.

    If the mark could not be reset but the process's lifetime maximum rose between the readings, the maximum was reached
    there and is the peak. Otherwise the peak is unknown.
    """
    before = mark.usage
    peak, reason = now.peak, now.reason
    if peak is not None and mark.reset_reason:
        rose = before.peak is not None and peak > before.peak
        if not rose:
            peak, reason = None, f"{mark.reset_reason}, and the process stayed below its earlier maximum"
    return Memory(rss_before=before.rss, rss_after=now.rss, peak=peak, peak_reason="" if peak is not None else reason)


def reset_peak() -> str:
    """Reset this process's high-water mark to its current memory. Return "" on success, else why it is impossible."""
    if sys.platform == "linux":
        reason = _reset_linux(_SELF)
    elif sys.platform == "win32":
        reason = "Windows keeps the peak working set for a process's whole life"
    else:
        reason = f"getrusage on {sys.platform} keeps the maximum for a process's whole life"
    return reason


def _reset_linux(process: Path) -> str:
    """Write 5 to `clear_refs`, which resets only VmHWM (Linux 4.0 and later; proc_pid_clear_refs(5))."""
    try:
        (process / "clear_refs").write_text("5", encoding="ascii")
    except OSError as error:
        return f"the kernel does not let VmHWM be reset ({error.strerror})"
    return ""


def usage() -> Usage:
    """The current and the peak memory of this process, as far as the platform reports them."""
    if sys.platform == "linux":
        now = _usage_linux(_SELF)
    elif sys.platform == "win32":
        import psutil

        info = psutil.Process().memory_info()
        now = Usage(rss=info.rss, peak=info.peak_wset)
    else:
        import resource

        import psutil

        maximum = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        now = Usage(rss=psutil.Process().memory_info().rss, peak=lifetime_maximum(maximum, platform=sys.platform))
    return now


def _usage_linux(process: Path) -> Usage:
    try:
        return parse_status((process / "status").read_text(encoding="ascii", errors="replace"))
    except OSError as error:
        return Usage(rss=None, peak=None, reason=f"/proc/self/status cannot be read ({error.strerror})")


def lifetime_maximum(ru_maxrss: int, *, platform: str) -> int:
    """`ru_maxrss` in bytes: macOS counts bytes, the other Unixes kibibytes (getrusage(2) of each)."""
    return ru_maxrss if platform == "darwin" else ru_maxrss * 1024


def parse_status(text: str) -> Usage:
    """VmRSS and VmHWM of a `/proc/<pid>/status`."""
    sizes = {}
    for line in text.splitlines():
        name, _, rest = line.partition(":")
        if name in {"VmRSS", "VmHWM"}:
            sizes[name] = int(rest.split()[0]) * 1024
    peak = sizes.get("VmHWM")
    return Usage(
        rss=sizes.get("VmRSS"), peak=peak, reason="" if peak is not None else "/proc/self/status has no VmHWM here"
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class TreeMemory:
    """Resident sizes of a process tree, summed; pages that processes share count once for each of them.

    `peak` is the largest of `samples` readings, so a peak shorter than the sampling interval may be missed.
    `reason` says why a value is None.
    """

    first: int | None
    last: int | None
    peak: int | None
    samples: int
    reason: str = ""


def process_tree(pid: int) -> "list[psutil.Process]":
    """A process and all its descendants, without those that measure it: a server may have started the measurement.

    Empty if the process has ended or may not be read.
    """
    import psutil

    try:
        root = psutil.Process(pid)
        tree = [root, *root.children(recursive=True)]
    except psutil.Error:
        return []
    with suppress(psutil.Error):
        line = [psutil.Process(), *psutil.Process().parents()]
        if root in line[1:]:
            measuring = line[line.index(root) - 1]
            own = {measuring, *measuring.children(recursive=True)}
            return [each for each in tree if each not in own]
    return tree


class TreeSampler:
    """Samples the memory of a process and all its descendants in a background thread.

    `stop` takes the last reading, so the memory at the end is never missed. New children are counted from the next
    search of the process table on (every tenth sample).
    """

    def __init__(self, pid: int, *, interval_s: float = 0.02) -> None:
        self._pid = pid
        self._interval_s = interval_s
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, name=f"memory of {pid}", daemon=True)
        self._tree: list[psutil.Process] = []
        self._first: int | None = None
        self._peak: int | None = None
        self._samples = 0
        self.latest: int | None = None
        """The last reading, in bytes."""

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.stop()

    def start(self) -> None:
        """Take the first reading, then continue in the background."""
        self._first = self._sample()
        self._thread.start()

    def stop(self) -> TreeMemory:
        """End the sampling with a last reading. Another call takes another reading."""
        self._ended.set()
        self._thread.join()
        self._refresh_tree()
        last = self._sample()
        reason = "" if last is not None else f"process {self._pid} has ended or may not be read"
        return TreeMemory(first=self._first, last=last, peak=self._peak, samples=self._samples, reason=reason)

    def _run(self) -> None:
        rounds = 0
        while not self._ended.wait(self._interval_s):
            rounds += 1
            if rounds % _REFRESH_EVERY == 0:
                self._refresh_tree()
            self._sample()

    def _refresh_tree(self) -> None:
        self._tree = process_tree(self._pid)

    def _sample(self) -> int | None:
        import psutil

        if not self._tree:
            self._refresh_tree()
        sizes = []
        for process in self._tree:
            with suppress(psutil.Error):
                sizes.append(process.memory_info().rss)
        if not sizes:
            return None
        total = sum(sizes)
        self._samples += 1
        self.latest = total
        self._peak = total if self._peak is None else max(self._peak, total)
        return total
