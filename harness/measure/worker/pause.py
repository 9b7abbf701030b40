"""Pauses worker processes, and provides a clock that stops while its process is paused.

Two workers that synthesise in alternating slices of about a tenth of a second, while the other is paused, meet the same
machine conditions. Each must be timed as if it had run alone. So the conductor records the duration of every pause in
memory that it shares with the worker, before the pause ends. The worker's clock subtracts the pauses. Its time stamps
and waits need no correction afterwards.

A paused process handles no signal but SIGKILL and would outlive its conductor. So workers are paused only on Linux,
which kills them when the conductor ends (prctl(2), PR_SET_PDEATHSIG).

A pause stops neither a clock that the engine reads directly nor what the engine waits for. The shared memory also holds
what the conductor needs to detect that (`harness.measure.worker.slicing_checks`).
"""

import mmap
import os
import signal
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from enum import IntEnum

from harness.core.clock import SystemClock
from harness.core.subprocesses import end_with_parent
from harness.measure.system.thread_states import WORKING, Snapshot, Threads

VARIABLE = "KOKORO_BENCH_STANDSTILL"  # codespell:ignore standstill
"""The environment variable with the file descriptor of the ledger of a worker that may be paused."""

SUPPORTED = sys.platform == "linux"

_PAUSED, _USED, _PAUSE_CLOCKS, _OBSERVABLE, _ACTIVITY, _LOOPED = range(6)
_SIZE = 8 * 6
"""Bytes. Older revisions map only the first two fields."""

_perf_counter_ns, _sleep, _time = time.perf_counter_ns, time.sleep, time.time
"""The original functions; `harness.measure.worker.engine_clocks` may replace those in `time`."""


class WorkerActivity(IntEnum):
    """A worker's activity, as far as its conductor needs it."""

    OTHER = 0
    SYNTHESIS = 1
    """The timed part of a repetition."""
    OWN_WAIT = 2
    """A wait on a pausable clock within the timed part: an injected delay, or the scripted engine's work."""


class PauseLedger:
    """Six numbers that a worker and its conductor share.

    The conductor writes the total duration of the pauses, the CPU time of the other workers during them (both in ns),
    and whether the engine's clocks must stop during pauses. The worker writes its activity.
    """

    def __init__(self, descriptor: int) -> None:
        self._memory = mmap.mmap(descriptor, _SIZE)
        self._fields = memoryview(self._memory).cast("q")

    @property
    def paused_ns(self) -> int:
        return self._fields[_PAUSED]

    @property
    def used_ns(self) -> int:
        return self._fields[_USED]

    def own_ns(self, read_ns: Callable[[], int]) -> int:
        """A clock's reading in ns, minus the pauses so far.

        If a pause falls between the two readings that this takes, both are repeated.
        """
        while True:
            paused_ns = self.paused_ns
            now_ns = read_ns()
            if paused_ns == self.paused_ns:
                return now_ns - paused_ns

    def add_pause(self, *, paused_ns: int, used_ns: int) -> None:
        self._fields[_USED] += used_ns
        self._fields[_PAUSED] += paused_ns

    @property
    def pause_clocks(self) -> bool:
        """Whether the clocks in `time` must stop while the process is paused."""
        return bool(self._fields[_PAUSE_CLOCKS])

    @pause_clocks.setter
    def pause_clocks(self, wanted: bool) -> None:
        self._fields[_PAUSE_CLOCKS] = wanted

    @property
    def observable(self) -> bool:
        """Whether the worker maintains the following fields. Workers of older revisions do not."""
        return bool(self._fields[_OBSERVABLE])

    @observable.setter
    def observable(self, done: bool) -> None:
        self._fields[_OBSERVABLE] = done

    @property
    def doing(self) -> WorkerActivity:
        return WorkerActivity(self._fields[_ACTIVITY])

    @doing.setter
    def doing(self, what: WorkerActivity) -> None:
        self._fields[_ACTIVITY] = what

    @property
    def looped_ns(self) -> int:
        """How long the engine has been in loops that keep reading a clock of `time`, in ns."""
        return self._fields[_LOOPED]

    def add_looped(self, ns: int) -> None:
        self._fields[_LOOPED] += ns

    def close(self) -> None:
        """Release the shared memory."""
        self._fields.release()
        self._memory.close()


class PausableClock(SystemClock):
    """The machine's clocks, without the pauses of the process."""

    def __init__(self, ledger: PauseLedger) -> None:
        self._ledger = ledger
        self._waits = 0
        self._lock = threading.Lock()

    def now_ns(self) -> int:
        return self._ledger.own_ns(_perf_counter_ns)

    def wall(self) -> float:
        """Seconds of the machine's `time.time`, including pauses: it serves as a date."""
        return _time()

    def sleep(self, seconds: float) -> None:
        self._count_wait(+1)
        try:
            until = self.now_ns() + round(seconds * 1e9)
            while (left := until - self.now_ns()) > 0:
                _sleep(left / 1e9)
        finally:
            self._count_wait(-1)

    def _count_wait(self, more: int) -> None:
        """Change the number of waiting threads and update the activity."""
        with self._lock:
            self._waits += more
            if self._ledger.doing is not WorkerActivity.OTHER:
                self._ledger.doing = WorkerActivity.OWN_WAIT if self._waits else WorkerActivity.SYNTHESIS


def inherit_ledger() -> PauseLedger | None:
    """The ledger of this worker, or None if it cannot be paused. From here on the worker ends with its conductor."""
    descriptor = os.environ.get(VARIABLE)
    if not descriptor or not SUPPORTED or not end_with_parent():
        return None
    with suppress(OSError, ValueError):
        ledger = PauseLedger(int(descriptor))
        ledger.observable = True
        return ledger
    return None


class ProcessPauser:
    """Pauses and resumes one worker, and maintains its ledger."""

    def __init__(self) -> None:
        self._file = tempfile.TemporaryFile()  # noqa: SIM115 - closed in `close`
        self._file.truncate(_SIZE)
        self._ledger = PauseLedger(self._file.fileno())
        self._pid = 0
        self._threads: Threads | None = None
        self._server = 0
        self._server_threads: Threads | None = None
        self._paused_since_ns = 0
        self._instead: Sequence[ProcessPauser] = ()
        self._used_ns = 0

    @property
    def descriptor(self) -> int:
        """The file descriptor that the worker must inherit."""
        return self._file.fileno()

    @property
    def paused(self) -> bool:
        return self._paused_since_ns > 0

    def watch(self, pid: int) -> None:
        """Set the started worker. It leads a process group, which is paused as a whole."""
        self._pid = pid
        self._threads = Threads(pid)

    def watch_server(self, pid: int) -> None:
        """Set the server that the worker started, which is paused with it. It leads a process group, too."""
        self._server = pid
        self._server_threads = Threads(pid, accepts=True) if pid else None

    @property
    def server(self) -> int:
        """The first process of the server that is paused with the worker; 0 for none."""
        return self._server

    @property
    def observable(self) -> bool:
        """Whether the conductor can find out what the worker waits for. Known after the worker's greeting.

        The worker must report its activity, and the system must show the states of its threads.
        """
        threads = self._server_threads or self._threads
        return self._ledger.observable and threads is not None and threads.readable

    @property
    def looped_ns(self) -> int:
        """How long the worker's engine has been in loops that read a clock of Python, in ns."""
        return self._ledger.looped_ns

    @property
    def doing(self) -> WorkerActivity:
        return self._ledger.doing

    def pause_clocks(self) -> None:
        """From the next load order on, Python's clocks in the worker stop during pauses."""
        self._ledger.pause_clocks = True

    def observe(self, *, all_threads: bool = False) -> Snapshot | None:
        """The current states of the worker's threads; None if unknown."""
        if self._ledger.doing is WorkerActivity.OWN_WAIT:
            return Snapshot(main=WORKING)
        found = self._threads.observe(all_threads=all_threads) if self._threads else None
        if self._server_threads is None or (found and found.main.runs):
            return found
        # Its client waits for the server, so what the server does counts.
        return self._server_threads.observe(all_threads=all_threads)

    def pause(self, *, instead: "Sequence[ProcessPauser]" = ()) -> None:
        """Pause the worker. `instead` run meanwhile; their CPU time is recorded as no disturbance."""
        if not self.paused:
            self._send(signal.SIGSTOP)
            self._paused_since_ns = time.perf_counter_ns()
            self._instead, self._used_ns = instead, sum(each.cpu_ns() for each in instead)

    def resume(self) -> None:
        """Resume the worker after updating its ledger."""
        if self.paused:
            used_ns = sum(each.cpu_ns() for each in self._instead) - self._used_ns
            self._ledger.add_pause(paused_ns=time.perf_counter_ns() - self._paused_since_ns, used_ns=max(0, used_ns))
            self._paused_since_ns = 0
            self._send(signal.SIGCONT)

    def cpu_ns(self) -> int:
        """CPU time of the worker and of its server so far in ns; 0 of one that has ended."""
        used_ns = 0
        for pid in filter(None, (self._pid, self._server)):
            with suppress(OSError):
                # A process's CPU clock by its id: the id inverted, and CPUCLOCK_SCHED (clock_getcpuclockid(3)).
                used_ns += time.clock_gettime_ns((~pid << 3) | 2)
        return used_ns

    def close(self) -> None:
        """Release the ledger after the worker has ended."""
        self._ledger.close()
        self._file.close()

    def _send(self, number: signal.Signals) -> None:
        for group in filter(None, (self._pid, self._server)):
            with suppress(ProcessLookupError):
                os.killpg(group, number)
