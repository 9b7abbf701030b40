"""Ground for a soak: a disk of its own that can be full, the processes below this one, and kills.

The disk is a tmpfs in a mount namespace of this process: nothing else sees it, and it goes with the process. Processes
that lose their parent become children of this one, so that none can be left behind unseen.
"""

import contextlib
import ctypes
import os
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import psutil

_SET_CHILD_SUBREAPER = 36
_INSIDE = "KOKORO_BENCH_SOAK_INSIDE"
RUN, WORKER = "harness.cli.scheduled_run", "harness.measure.worker"
"""What the command lines of a scheduled run and of a worker contain."""


def enter_own_mounts() -> bool:
    """Start this program again in a mount namespace of its own. Return whether it is in one: no system has to allow it.

    Does not return to the program that is not in one and may be.
    """
    command = ["unshare", "--mount", *([] if os.geteuid() == 0 else ["--map-root-user"])]
    if not os.environ.get(_INSIDE) and _is_allowed(command):
        os.environ[_INSIDE] = "1"
        sys.stdout.flush()
        os.execvp(command[0], [*command, *sys.orig_argv])  # noqa: S606 - this program again, inside
    return bool(os.environ.get(_INSIDE))


def _is_allowed(command: Sequence[str]) -> bool:
    try:
        return subprocess.run([*command, "true"], check=False, capture_output=True).returncode == 0
    except OSError:
        return False


def mount_disk(place: Path, size: int) -> None:
    """Mount an empty disk of `size` bytes. CalledProcessError if it is refused."""
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}", "kokoro-bench-soak", str(place)], check=True)  # noqa: S607


def adopt_orphans() -> None:
    """Become the parent of all processes below this one whose own parent ends."""
    ctypes.CDLL(None, use_errno=True).prctl(_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


@dataclass(slots=True)
class Ballast:
    """A file that takes all space of a disk."""

    place: Path

    @property
    def file(self) -> Path:
        return self.place / "ballast"

    def fill(self) -> None:
        """Take what is free; again and again, because others free some meanwhile."""
        with contextlib.suppress(OSError), self.file.open("ab", buffering=0) as file:
            while file.write(bytes(65_536)):
                pass

    def free(self) -> None:
        self.file.unlink(missing_ok=True)


def below() -> list[psutil.Process]:
    """All processes below this one that have not ended."""
    found = []
    for each in psutil.Process().children(recursive=True):
        with contextlib.suppress(psutil.NoSuchProcess):
            if each.status() != psutil.STATUS_ZOMBIE:
                found.append(each)
    return found


def of_kind(part: str) -> list[psutil.Process]:
    """The processes below this one whose command line contains `part`, oldest first."""
    found = []
    for each in below():
        with contextlib.suppress(psutil.NoSuchProcess):
            if part in " ".join(each.cmdline()):
                found.append((each.create_time(), each))
    return [each for _, each in sorted(found, key=lambda pair: pair[0])]


def reap(own: Sequence[int]) -> None:
    """Take leave of adopted processes that have ended. `own` are the ids of children that somebody waits for."""
    for each in psutil.Process().children():
        with contextlib.suppress(psutil.NoSuchProcess, ChildProcessError):
            if each.pid not in own and each.status() == psutil.STATUS_ZOMBIE:
                os.waitpid(each.pid, os.WNOHANG)


def end_all() -> int:
    """Kill whatever is left below this process. Return how many there were."""
    left = below()
    for each in left:
        with contextlib.suppress(psutil.NoSuchProcess):
            each.kill()
    psutil.wait_procs(left, timeout=10)
    return len(left)
