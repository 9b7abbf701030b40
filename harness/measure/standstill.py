"""Processes that are halted for a while, and a clock that stands still while its process is halted.

Two workers that speak at the same time, each for a tenth of a second while the other is halted, meet the same moments
of the machine. Each must then be timed as if it had had the machine to itself: the conductor keeps an account of how
long a worker stood still, in memory that both share, and books a halt before it ends. So whatever the worker stamps,
and whatever it waits for, is in time of its own, and nothing has to be put right afterwards.

Only where a worker is sure to end with its conductor is it ever halted: a halted process hears of nothing, and would
be left behind for good. That is Linux, which kills it (prctl(2), PR_SET_PDEATHSIG).
"""

import mmap
import os
import signal
import sys
import tempfile
import time
from contextlib import suppress
from typing import Any

from harness.clock import SystemClock

VARIABLE = "KOKORO_BENCH_STANDSTILL"
"""Holds the file descriptor of its account in the environment of a worker that may be halted."""

SUPPORTED = sys.platform == "linux"

_SIZE = 16
_STOOD, _USED = range(2)
_PARENT_DEATH_SIGNAL = 1


class Account:
    """What a process has missed, in ns: how long it was halted, and the CPU time that was used in its stead."""

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

    def book(self, *, stood_ns: int, used_ns: int) -> None:
        """One more halt."""
        self._fields[_USED] += used_ns
        self._fields[_STOOD] += stood_ns

    def close(self) -> None:
        """Let go of the memory."""
        self._fields.release()
        self._memory.close()


class OwnClock(SystemClock):
    """The machine's clocks, as they would run if the process had never been halted."""

    def __init__(self, account: Account) -> None:
        self._account = account

    def now_ns(self) -> int:
        """Nanoseconds that the process was not halted."""
        return time.perf_counter_ns() - self._account.stood_ns

    def sleep(self, seconds: float) -> None:
        """Wait so long in time of its own: what a halt takes of it is waited for again."""
        until = self.now_ns() + round(seconds * 1e9)
        while (left := until - self.now_ns()) > 0:
            time.sleep(left / 1e9)


def inherited() -> Account | None:
    """A worker's own account, where its conductor may halt it; from here on it ends when the conductor does."""
    descriptor = os.environ.get(VARIABLE)
    if not descriptor or not SUPPORTED or not _ends_with_parent():
        return None
    with suppress(OSError, ValueError):
        return Account(int(descriptor))
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


class Halter:
    """The conductor's hand on one worker: halts it and lets it go on, and keeps its account."""

    def __init__(self) -> None:
        self._file = tempfile.TemporaryFile()  # noqa: SIM115 - closed in `close`
        self._file.truncate(_SIZE)
        self._account = Account(self._file.fileno())
        self._pid = 0
        self._halted_ns = 0
        self._instead: Halter | None = None
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

    def halt(self, *, instead: "Halter | None" = None) -> None:
        """Let it stand still. `instead` works meanwhile, whose CPU time is no stranger's."""
        if not self.halted:
            self._send(signal.SIGSTOP)
            self._halted_ns = time.perf_counter_ns()
            self._instead, self._used_ns = instead, instead.cpu_ns() if instead else 0

    def go_on(self) -> None:
        """Let it go on, its account being up to date before it can look."""
        if self.halted:
            used_ns = self._instead.cpu_ns() - self._used_ns if self._instead else 0
            self._account.book(stood_ns=time.perf_counter_ns() - self._halted_ns, used_ns=max(0, used_ns))
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
        self._account.close()
        self._file.close()

    def _send(self, number: signal.Signals) -> None:
        with suppress(ProcessLookupError):
            os.killpg(self._pid, number)
