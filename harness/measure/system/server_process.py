"""Measures memory and CPU time of a server's process tree around a repetition, without those of the client."""

import time
from contextlib import suppress

from harness.core.records.repetition import Memory
from harness.engines.protocol import ServerProcess
from harness.measure.system.memory import TreeSampler, process_tree
from harness.measure.system.quiesce import TREE_WINDOW_S, await_idle


class ServerWatch:
    """Measures one server. If its process is unknown, every value is None and has a reason."""

    def __init__(self, server: ServerProcess, *, interval_s: float = 0.02) -> None:
        self._server = server
        self._interval_s = interval_s
        self._sampler: TreeSampler | None = None
        self._cpu_ns: int | None = None

    def begin(self) -> None:
        """Take the first reading and continue sampling in the background."""
        if self._server.pid is None:
            return
        self._cpu_ns = tree_cpu_ns(self._server.pid)
        self._sampler = TreeSampler(self._server.pid, interval_s=self._interval_s)
        self._sampler.start()

    @property
    def latest(self) -> int | None:
        """Resident size of the tree at the last reading since `begin`, in bytes. Does not take a new reading."""
        return self._sampler.latest if self._sampler is not None else None

    def used_ns(self) -> int | None:
        """CPU time of the tree since `begin`, in ns; None if unknown."""
        if self._server.pid is None or self._cpu_ns is None:
            return None
        now_ns = tree_cpu_ns(self._server.pid)
        return now_ns - self._cpu_ns if now_ns is not None else None

    def end(self) -> tuple[Memory, int | None]:
        """Memory of the tree in bytes, and its CPU time since `begin` in ns."""
        if self._server.pid is None or self._sampler is None:
            return Memory(peak_reason=self._server.found), None
        held = self._sampler.stop()
        self._sampler = None
        memory = Memory(rss_before=held.first, rss_after=held.last, peak=held.peak, peak_reason=held.reason)
        return memory, self.used_ns()

    def rest(self) -> None:
        """Wait until the server's threads are idle, if its process is known."""
        if (pid := self._server.pid) is not None:
            await_idle(lambda: tree_cpu_ns(pid), sleep=time.sleep, window_s=TREE_WINDOW_S)

    def resident(self) -> int | None:
        """Resident size of the tree now, in bytes."""
        if self._server.pid is None:
            return None
        sampler = TreeSampler(self._server.pid)
        sampler.start()
        return sampler.stop().last


def tree_cpu_ns(pid: int) -> int | None:
    """CPU time of a process and its descendants, including ended ones, in ns; None if it cannot be read.

    The processes that measure it do not count, unless they have ended.

    The kernel counts in ticks, of 10 ms on most systems.
    """
    import psutil

    seconds = None
    for process in process_tree(pid):
        with suppress(psutil.Error):
            times = process.cpu_times()
            # The parent's record has the time of ended children, except on macOS and Windows.
            ended = getattr(times, "children_user", 0.0) + getattr(times, "children_system", 0.0)
            seconds = (seconds or 0.0) + times.user + times.system + ended
    return None if seconds is None else round(seconds * 1e9)
