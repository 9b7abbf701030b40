"""Finds busy processes from two readings of every process's CPU time.

A process counts as busy from 12 ms of CPU time on, because shorter work is everywhere. The shortest useful window is
therefore about 30 ms, which finds processes that use half of a CPU; 0.3 s finds users of 4 %.
"""

import os
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

BUSY_S = 0.012

Found = TypeVar("Found")


@dataclass(frozen=True, slots=True, kw_only=True)
class ProcessTime:
    """CPU seconds that one process has used so far. `born` distinguishes two processes with the same id."""

    name: str
    parent: int
    born: float
    cpu_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Busy:
    """A process and how many CPUs it kept busy: 1.0 is one whole CPU."""

    name: str
    pid: int
    cpus: float


Snapshot = Mapping[int, ProcessTime]


def cpu_seconds(pid: int) -> float:
    """CPU seconds of a process of Linux, to the nanosecond. OSError if there is no such process.

    `/proc/<pid>/stat` counts the same in ticks of 10 ms. The clock's number is that of clock_getcpuclockid(3).
    """
    return time.clock_gettime(~pid << 3 | 2)


def snapshot_linux(root: Path, cpu_s: Callable[[int], float] = cpu_seconds) -> dict[int, ProcessTime]:
    """Every process of `/proc`; processes that end meanwhile are omitted. Takes about 20 µs each."""
    found = {}
    for entry in os.scandir(root / "proc"):
        if entry.name.isdecimal():
            pid = int(entry.name)
            with suppress(OSError, ValueError, IndexError):
                text = Path(entry.path, "stat").read_text(encoding="utf-8", errors="replace")
                found[pid] = parse_process_stat(text, cpu_s=cpu_s(pid))
    return found


def parse_process_stat(text: str, *, cpu_s: float) -> ProcessTime:
    """`/proc/<pid>/stat` (proc_pid_stat(5)): a name may hold parentheses, so the fields count from the last ")"."""
    head, _, tail = text.rpartition(")")
    fields = tail.split()
    return ProcessTime(name=head.partition("(")[2], parent=int(fields[1]), born=float(fields[19]), cpu_s=cpu_s)


def snapshot_elsewhere() -> dict[int, ProcessTime]:
    """Every process that can be read. Takes a second or more on Windows."""
    import psutil

    found = {}
    for process in psutil.process_iter():
        with suppress(psutil.Error), process.oneshot():
            times = process.cpu_times()
            found[process.pid] = ProcessTime(
                name=process.name(),
                parent=process.ppid(),
                born=process.create_time(),
                cpu_s=times.user + times.system,
            )
    return found


def busiest(before: Snapshot, after: Snapshot, *, wall_s: float, own_pid: int) -> tuple[Busy, ...]:
    """The processes busy between two snapshots, busiest first, without `own_pid` and its descendants."""
    own = _family(after, own_pid)
    found = []
    for pid, now in after.items():
        then = before.get(pid)
        if pid in own or then is None or then.born != now.born:
            continue
        used_s = now.cpu_s - then.cpu_s
        if used_s >= BUSY_S:
            found.append(Busy(name=now.name, pid=pid, cpus=used_s / wall_s))
    return tuple(sorted(found, key=lambda busy: (-busy.cpus, busy.pid)))


def _family(processes: Snapshot, own_pid: int) -> set[int]:
    """`own_pid` and every process below it."""
    children: dict[int, list[int]] = {}
    for pid, process in processes.items():
        children.setdefault(process.parent, []).append(pid)
    family: set[int] = set()
    waiting = [own_pid]
    while waiting:
        pid = waiting.pop()
        if pid not in family:
            family.add(pid)
            waiting += children.get(pid, ())
    return family


def watch(
    snapshot: Callable[[], Snapshot], *, window_s: float, now_s: Callable[[], float], sleep: Callable[[float], None]
) -> tuple[Busy, ...]:
    """Compare two snapshots that begin `window_s` apart, or one snapshot's duration if that is longer."""
    return watch_during(lambda: None, snapshot, window_s=window_s, now_s=now_s, sleep=sleep)[0]


def watch_during(
    work: Callable[[], Found],
    snapshot: Callable[[], Snapshot],
    *,
    window_s: float,
    now_s: Callable[[], float],
    sleep: Callable[[float], None],
) -> tuple[tuple[Busy, ...], Found]:
    """Do `work` between the two snapshots, and wait if it is done before `window_s`. Return its result as well.

    This process and its children do not count as busy.
    """
    begun_s = now_s()
    before = snapshot()
    found = work()
    sleep(max(0.0, window_s - (now_s() - begun_s)))
    wall_s = now_s() - begun_s
    return busiest(before, snapshot(), wall_s=wall_s, own_pid=os.getpid()), found


def describe(busy: tuple[Busy, ...]) -> str:
    """The busiest by name: `cc1plus 98 %, dockerd 12 %`; "none" when nothing is busy."""
    return ", ".join(f"{each.name} {100 * each.cpus:.0f} %" for each in busy[:3]) or "none"
