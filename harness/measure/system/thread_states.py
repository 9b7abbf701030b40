"""Reads the states of a process's threads: computing, reading a clock, or waiting, and for what.

Linux shows them in `/proc/PID/task/TID/syscall` (proc_pid_syscall(5)): "running" for a thread that runs or waits for a
CPU; else the number and the arguments of its system call (-1 if it is in none) and its program counter. Reading that
needs the right to trace the process, which a parent has for its child unless the system forbids it.

A process waits if time passes while none of its threads works. Two kinds of threads make that hard to see:

- Threads of a pool that spin for a while before they sleep (ONNX Runtime's do for up to 60 ms) run without working.
  They are recognised by running on after the synthesis, and by waiting for nothing but a lock.
- A thread that waits in `epoll` or for a lock may wait for another thread of the same process, which works.
"""

import platform
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from enum import Enum, auto
from pathlib import Path

PROC = Path("/proc")


class Activity(Enum):
    """The activity of a thread, or of a process as a whole."""

    WORK = auto()
    CLOCK = auto()
    """It was paused while it read a clock."""
    WAIT = auto()
    """It waits for time to pass, or for something outside of the process."""
    JOINT_WAIT = auto()
    """It waits with a time limit or for several things, perhaps for another thread."""
    LOCK = auto()
    """It waits without a time limit for another thread of its process."""


@dataclass(frozen=True, slots=True)
class State:
    """The state of one thread. `doing` describes in words what it waits for."""

    activity: Activity
    doing: str = ""

    @property
    def runs(self) -> bool:
        """Whether it runs or waits for a CPU."""
        return self.activity in (Activity.WORK, Activity.CLOCK)

    @property
    def waits(self) -> bool:
        """Whether it waits for something that no thread of its process provides."""
        return self.activity in (Activity.WAIT, Activity.JOINT_WAIT)


WORKING = State(Activity.WORK)
READING_A_CLOCK = State(Activity.CLOCK)
LOCKED = State(Activity.LOCK)

SLEEP = State(Activity.WAIT, "sleeps")
SOCKET = State(Activity.WAIT, "waits for a socket")
FILE = State(Activity.WAIT, "waits for a file or a pipe")
CHILD = State(Activity.WAIT, "waits for another process")
DEVICE = State(Activity.WAIT, "waits for a device")
EVENTS = State(Activity.JOINT_WAIT, "waits for sockets or timers")
TIMED_LOCK = State(Activity.JOINT_WAIT, "waits for a lock with a time limit")


@dataclass(frozen=True, slots=True, kw_only=True)
class Calls:
    """The numbers of the relevant system calls on one architecture."""

    futex: int
    clock: frozenset[int]
    waits: Mapping[int, State]


def _waits(numbers: Mapping[State, tuple[int, ...]]) -> Mapping[int, State]:
    return {number: state for state, all_of_it in numbers.items() for number in all_of_it}


_X86_64 = Calls(
    futex=202,
    clock=frozenset({96, 201, 228}),
    waits=_waits({
        SLEEP: (34, 35, 219, 230),
        SOCKET: (7, 42, 43, 44, 45, 46, 47, 271, 288, 299),
        FILE: (0, 1, 17, 18, 19, 20, 72, 73, 74, 75, 208, 295, 296, 426),
        CHILD: (61, 65, 70, 128, 220, 243, 247),
        DEVICE: (16,),
        EVENTS: (23, 232, 270, 281, 441, 449),
    }),
)  # fmt: skip
"""From the kernel's arch/x86/entry/syscalls/syscall_64.tbl."""

_GENERIC = Calls(
    futex=98,
    clock=frozenset({113, 169}),
    waits=_waits({
        SLEEP: (101, 115, 128),
        SOCKET: (73, 202, 203, 206, 207, 211, 212, 242, 243),
        FILE: (4, 25, 32, 63, 64, 65, 66, 67, 68, 69, 70, 82, 83, 426),
        CHILD: (95, 137, 183, 188, 192, 193, 260),
        DEVICE: (29,),
        EVENTS: (22, 72, 441, 449),
    }),
)  # fmt: skip
"""From the kernel's include/uapi/asm-generic/unistd.h."""

CALLS: Mapping[str, Calls] = {"x86_64": _X86_64, "aarch64": _GENERIC, "riscv64": _GENERIC}
"""Architecture (uname -m) → its numbers. Threads on other architectures cannot be observed."""


def read_state(line: str, calls: Calls, clock_code: range = range(0)) -> State:
    """The state in a line of `/proc/PID/task/TID/syscall`. `clock_code` is the address range of code that reads clocks.

    Raises ValueError for a line of unknown form.
    """
    fields = line.split()
    if fields[:1] == ["running"]:
        return WORKING
    if not fields:
        raise ValueError("an empty line")
    number = int(fields[0])
    if number < 0:
        return READING_A_CLOCK if int(fields[-1], 16) in clock_code else WORKING
    if number in calls.clock:
        return READING_A_CLOCK
    if number == calls.futex:
        # The fourth argument is the time limit of a wait, as an address.
        return TIMED_LOCK if int(fields[4], 16) else LOCKED
    return calls.waits.get(number, WORKING)


@dataclass(frozen=True, slots=True, kw_only=True)
class Snapshot:
    """The states of a process's threads at one moment: the main thread and, by id, the other observed threads.

    The other threads are usually not read while the main thread works.
    """

    main: State
    others: Mapping[int, State] = field(default_factory=dict)

    @property
    def running(self) -> frozenset[int]:
        """The other threads that ran."""
        return frozenset(thread for thread, state in self.others.items() if state.runs)


BUSY_SHARE = 0.1
"""A thread that runs in at least this share of the observations takes part in the synthesis; a background timer does
not."""


def states_of(during: Sequence[Snapshot], after: Sequence[Snapshot] = ()) -> list[State]:
    """The state of a process at each observation of a synthesis. All observations show which threads only spin.

    `after` are observations from the end of the synthesis until the process was idle.
    """
    spinning = frozenset[int]().union(*(each.running for each in after if not each.main.runs))
    often = Counter(thread for each in during for thread in each.running)
    busy = frozenset(thread for thread, count in often.items() if count >= BUSY_SHARE * len(during))
    return [judge(each, spinning=spinning, busy=busy) for each in during]


def judge(snapshot: Snapshot, *, spinning: frozenset[int] = frozenset(), busy: frozenset[int] = frozenset()) -> State:
    """The state of a process as a whole.

    `spinning` are threads that run without work. `busy` are threads that take part in the work. If the main thread
    waits for a busy thread, and that one waits for something outside, all other running threads only spin.
    """
    if snapshot.main == READING_A_CLOCK and any(state == WORKING for state in snapshot.others.values()):
        # The threads of ONNX Runtime's pool read a clock while they spin. So does the main thread while it waits.
        return WORKING
    if snapshot.main.runs or snapshot.main.activity is Activity.WAIT:
        return snapshot.main
    for thread in busy & snapshot.others.keys():
        if snapshot.others[thread].activity is Activity.WAIT:
            return snapshot.others[thread]
    others = [state for thread, state in snapshot.others.items() if thread not in spinning]
    running = [state for state in others if state.runs]
    if running:
        return READING_A_CLOCK if all(state == READING_A_CLOCK for state in running) else WORKING
    if snapshot.main.activity is Activity.JOINT_WAIT:
        return next((state for state in others if state.activity is Activity.WAIT), snapshot.main)
    # It waits for a thread that waits itself, or for a pool whose threads count as spinning.
    return next((state for state in others if state.waits), WORKING)


class Threads:
    """The threads of one process.

    `accepts`: it is a server. While its main thread waits for the next connection (in `poll` or `accept`, or in a
    sleep), the threads of its connections may work.
    """

    def __init__(self, pid: int, *, accepts: bool = False, proc: Path = PROC, machine: str = "") -> None:
        self._pid = pid
        self._accepts = accepts
        self._tasks = proc / str(pid) / "task"
        self._maps = proc / str(pid) / "maps"
        self._calls = CALLS.get(machine or platform.machine())
        self._clock_code: range | None = None

    @property
    def readable(self) -> bool:
        """Whether this system shows the states."""
        return self._state(self._pid) is not None

    def observe(self, *, all_threads: bool = False) -> Snapshot | None:
        """The current states; None if unknown. With `all_threads`, also the other threads while the main one works."""
        main = self._state(self._pid)
        if main is None:
            return None
        if main == WORKING and not all_threads:
            return Snapshot(main=main)
        others = {thread: state for thread in self._ids() if (state := self._state(thread)) is not None}
        if self._accepts and main.activity is Activity.WAIT:
            main = State(Activity.JOINT_WAIT, main.doing)
        return Snapshot(main=main, others=others)

    def _ids(self) -> list[int]:
        with suppress(OSError):
            return [int(each.name) for each in self._tasks.iterdir() if each.name != str(self._pid)]
        return []

    def _state(self, thread: int) -> State | None:
        if self._calls is None:
            return None
        if self._clock_code is None:
            self._clock_code = self._find_clock_code()
        try:
            line = (self._tasks / str(thread) / "syscall").read_text(encoding="ascii")
            return read_state(line, self._calls, self._clock_code)
        except (OSError, ValueError, IndexError):
            return None

    def _find_clock_code(self) -> range:
        """The address range of the kernel code with which the C library reads clocks."""
        with suppress(OSError):
            for line in self._maps.read_text(encoding="utf-8", errors="replace").splitlines():
                if line.endswith("[vdso]"):
                    first, _, end = line.partition(" ")[0].partition("-")
                    return range(int(first, 16), int(end, 16))
        return range(0)
