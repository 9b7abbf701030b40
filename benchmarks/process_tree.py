"""Measures a command with all its processes: wall time, CPU time, and peak memory."""

import subprocess
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import psutil

_EVERY_S = 0.02


@dataclass(frozen=True, slots=True, kw_only=True)
class Used:
    """Times in seconds, and memory in bytes: the maximum over time of the tree's resident memory."""

    wall_s: float
    cpu_s: float
    peak: int

    def __str__(self) -> str:
        return f"{self.wall_s:6.2f} s ({self.cpu_s:.1f} s of CPU), peak {self.peak / 1e6:.0f} MB"


def used_by(command: Sequence[str], *, environment: Mapping[str, str] | None = None) -> Used:
    """Run a command to its end, in this environment or another. Raises CalledProcessError with its output."""
    before = psutil.Process().cpu_times()
    started = time.perf_counter()
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment
    ) as process:
        done = threading.Event()
        peaks = [0]
        watch = threading.Thread(target=_watch, args=(process.pid, done, peaks))
        watch.start()
        try:
            written, complaints = process.communicate()
        finally:
            done.set()
            watch.join()
    wall_s = time.perf_counter() - started
    if process.returncode:
        raise subprocess.CalledProcessError(process.returncode, list(command), written, complaints)
    after = psutil.Process().cpu_times()
    children = (after.children_user + after.children_system) - (before.children_user + before.children_system)
    return Used(wall_s=wall_s, cpu_s=children, peak=peaks[0])


def _watch(pid: int, done: threading.Event, peaks: list[int]) -> None:
    while not done.wait(_EVERY_S):
        try:
            root = psutil.Process(pid)
            peaks[0] = max(peaks[0], sum(_resident(each) for each in (root, *root.children(recursive=True))))
        except psutil.NoSuchProcess:
            return


def _resident(process: psutil.Process) -> int:
    try:
        return int(process.memory_info().rss)
    except psutil.NoSuchProcess:
        return 0
