"""Whether processes that tests have started, directly or not, have ended."""

import time
from collections.abc import Iterable

import psutil

PATIENCE_S = 240.0


def ended(process: psutil.Process | int) -> bool:
    """Whether a process is gone, or a zombie: an orphan stays one until init takes leave of it.

    Of a child that its parent has waited for, `psutil.pid_exists` says more.
    """
    try:
        known = process if isinstance(process, psutil.Process) else psutil.Process(process)
        return not known.is_running() or known.status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


def await_ended(processes: Iterable[psutil.Process | int]) -> None:
    """Wait for processes that end by themselves, as those do whose parent has been killed."""
    until = time.monotonic() + PATIENCE_S
    left = list(processes)
    while left := [each for each in left if not ended(each)]:
        assert time.monotonic() < until, f"still running: {left}"
        time.sleep(0.01)
