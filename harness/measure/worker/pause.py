"""Processes that are halted for a while, and a clock that stands still while its process is halted.

Two workers that speak at the same time, each for a tenth of a second while the other is halted, meet the same moments
of the machine. Each must then be timed as if it had had the machine to itself: the conductor keeps an account of how
long a worker stood still, in memory that both share, and books a halt before it ends. So whatever the worker stamps,
and whatever it waits for, is in time of its own, and nothing has to be put right afterwards.

Only where a worker is sure to end with its conductor is it ever halted: a halted process hears of nothing, and would
be left behind for good. That is Linux, which kills it (prctl(2), PR_SET_PDEATHSIG).

A halt stops neither a clock that the engine reads by itself nor what the engine waits for. The account also holds what
the conductor needs to detect that (`harness.measure.worker.slicing_checks`).
"""

import mmap
import os
import signal
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from enum import IntEnum
from typing import Any

from harness.core.clock import SystemClock
from harness.measure.system.thread_states import WORKING, Snapshot, Threads

VARIABLE = "KOKORO_BENCH_STANDSTILL"
"""Holds the file descriptor of its account in the environment of a worker that may be halted."""

SUPPORTED = sys.platform == "linux"

_STOOD, _USED, _FOLLOW, _TELLS, _DOING, _LOOPED = range(6)
_SIZE = 8 * 6
"""Older revisions map the first two fields alone."""
_PARENT_DEATH_SIGNAL = 1

_perf_counter_ns, _sleep, _time = time.perf_counter_ns, time.sleep, time.time
"""The machine's own, whatever stands in `time` later: see `harness.measure.worker.engine_clocks`."""


class Doing(IntEnum):
    """What a worker is doing, as far as its conductor has to know."""

    OTHER = 0
    SYNTHESIS = 1
    """The timed part of a repetition."""
    OWN_WAIT = 2
    """It waits on a clock that stops with it, within the timed part: a planted delay, or the scripted engine's work."""


class PauseLedger:
    """Six numbers that a worker and its conductor share.

    The conductor writes what the process has missed, in ns (how long it was halted, and the CPU time that was used in
    its stead), and whether its engine's clocks are to follow; the worker, what it is doing.
    """

    def __init__(self, descriptor: int) -> None:
        self._memory = mmap.mmap(descriptor, _SIZE)
        self._fields = memoryview(self._memory).cast("q")

    @property
    def stood_ns(self) -> int:
        """How long the process has been halted so far."""
        return self._fields[_STOOD]

    @property
    def used_ns(self) -> int:
        """The CPU time that whoever worked meanwhile has used."""
        return self._fields[_USED]

    def own_ns(self, read_ns: Callable[[], int]) -> int:
        """A clock's reading in ns, less the halts so far.

        A halt may fall between the two readings that this takes: then they do not belong together, and are repeated.
        """
        while True:
            stood_ns = self.stood_ns
            now_ns = read_ns()
            if stood_ns == self.stood_ns:
                return now_ns - stood_ns

    def book(self, *, stood_ns: int, used_ns: int) -> None:
        """One more halt."""
        self._fields[_USED] += used_ns
        self._fields[_STOOD] += stood_ns

    @property
    def follow(self) -> bool:
        """Whether the clocks that the engine finds in `time` are to stand still with the process."""
        return bool(self._fields[_FOLLOW])

    @follow.setter
    def follow(self, wanted: bool) -> None:
        self._fields[_FOLLOW] = wanted

    @property
    def tells(self) -> bool:
        """Whether the worker keeps the fields that follow: those of older revisions do not."""
        return bool(self._fields[_TELLS])

    @tells.setter
    def tells(self, done: bool) -> None:
        self._fields[_TELLS] = done

    @property
    def doing(self) -> Doing:
        """What the worker is about."""
        return Doing(self._fields[_DOING])

    @doing.setter
    def doing(self, what: Doing) -> None:
        self._fields[_DOING] = what

    @property
    def looped_ns(self) -> int:
        """How long the engine has been in loops that read a clock of `time` again and again."""
        return self._fields[_LOOPED]

    def add_looped(self, ns: int) -> None:
        """The engine was in such a loop for so long."""
        self._fields[_LOOPED] += ns

    def close(self) -> None:
        """Let go of the memory."""
        self._fields.release()
        self._memory.close()


class PausableClock(SystemClock):
    """The machine's clocks, as they would run if the process had never been halted."""

    def __init__(self, ledger: PauseLedger) -> None:
        self._ledger = ledger
        self._waits = 0
        self._lock = threading.Lock()

    def now_ns(self) -> int:
        """Nanoseconds that the process was not halted."""
        return self._ledger.own_ns(_perf_counter_ns)

    def wall(self) -> float:
        """Seconds of the machine's `time.time`: a date is the same for everybody."""
        return _time()

    def sleep(self, seconds: float) -> None:
        """Wait so long in time of its own: what a halt takes of it is waited for again."""
        self._say_wait(+1)
        try:
            until = self.now_ns() + round(seconds * 1e9)
            while (left := until - self.now_ns()) > 0:
                _sleep(left / 1e9)
        finally:
            self._say_wait(-1)

    def _say_wait(self, more: int) -> None:
        """One more thread waits here within a synthesis, or one less."""
        with self._lock:
            self._waits += more
            if self._ledger.doing is not Doing.OTHER:
                self._ledger.doing = Doing.OWN_WAIT if self._waits else Doing.SYNTHESIS


def inherited() -> PauseLedger | None:
    """A worker's own account, where its conductor may halt it; from here on it ends when the conductor does."""
    descriptor = os.environ.get(VARIABLE)
    if not descriptor or not SUPPORTED or not _ends_with_parent():
        return None
    with suppress(OSError, ValueError):
        ledger = PauseLedger(int(descriptor))
        ledger.tells = True
        return ledger
    return None


def _ends_with_parent() -> bool:
    """Have the kernel kill this process when its parent ends; False where that cannot be had."""
    try:
        import ctypes

        system: Any = ctypes.CDLL(None, use_errno=True)
        parent = os.getppid()
        done = system.prctl(_PARENT_DEATH_SIGNAL, signal.SIGKILL, 0, 0, 0) == 0
    except (ImportError, OSError, AttributeError):
        return False
    # Whoever was left behind before that line is not told of it.
    return done and os.getppid() == parent


class ProcessPauser:
    """The conductor's hand on one worker: halts it and lets it go on, and keeps its account."""

    def __init__(self) -> None:
        self._file = tempfile.TemporaryFile()  # noqa: SIM115 - closed in `close`
        self._file.truncate(_SIZE)
        self._ledger = PauseLedger(self._file.fileno())
        self._pid = 0
        self._threads: Threads | None = None
        self._halted_ns = 0
        self._instead: ProcessPauser | None = None
        self._used_ns = 0

    @property
    def descriptor(self) -> int:
        """What the worker is to inherit."""
        return self._file.fileno()

    @property
    def halted(self) -> bool:
        """Whether it stands still now."""
        return self._halted_ns > 0

    def watch(self, pid: int) -> None:
        """The worker has started; it leads a process group, which is halted as a whole."""
        self._pid = pid
        self._threads = Threads(pid)

    @property
    def tells(self) -> bool:
        """Whether the conductor can find out what the worker waits for; known once the worker has greeted.

        The worker must say what it is doing, and the system must show what its threads do.
        """
        return self._ledger.tells and self._threads is not None and self._threads.readable

    @property
    def looped_ns(self) -> int:
        """How long the worker's engine has been in loops that read a clock of Python's."""
        return self._ledger.looped_ns

    @property
    def doing(self) -> Doing:
        """What the worker is about."""
        return self._ledger.doing

    def follow(self) -> None:
        """From the next order to load on, Python's clocks in the worker stop with it."""
        self._ledger.follow = True

    def look(self, *, at_all: bool = False) -> Snapshot | None:
        """What the worker's threads do now; None where that cannot be told."""
        if self._ledger.doing is Doing.OWN_WAIT:
            return Snapshot(main=WORKING)
        return self._threads.look(at_all=at_all) if self._threads else None

    def halt(self, *, instead: "ProcessPauser | None" = None) -> None:
        """Let it stand still. `instead` works meanwhile, whose CPU time is no stranger's."""
        if not self.halted:
            self._send(signal.SIGSTOP)
            self._halted_ns = time.perf_counter_ns()
            self._instead, self._used_ns = instead, instead.cpu_ns() if instead else 0

    def go_on(self) -> None:
        """Let it go on, its account being up to date before it can look."""
        if self.halted:
            used_ns = self._instead.cpu_ns() - self._used_ns if self._instead else 0
            self._ledger.book(stood_ns=time.perf_counter_ns() - self._halted_ns, used_ns=max(0, used_ns))
            self._halted_ns = 0
            self._send(signal.SIGCONT)

    def cpu_ns(self) -> int:
        """CPU time of the worker so far; 0 once it has ended."""
        with suppress(OSError):
            # A process's CPU clock by its id: the id inverted, and CPUCLOCK_SCHED (clock_getcpuclockid(3)).
            return time.clock_gettime_ns((~self._pid << 3) | 2)
        return 0

    def close(self) -> None:
        """Let go of the account; the worker has ended."""
        self._ledger.close()
        self._file.close()

    def _send(self, number: signal.Signals) -> None:
        with suppress(ProcessLookupError):
            os.killpg(self._pid, number)
