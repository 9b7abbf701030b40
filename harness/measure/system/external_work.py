"""Finds work of a process that continues while the process is paused: on a device, or in its child processes."""

from contextlib import suppress
from pathlib import Path

import psutil

DEVICES = ("/dev/nvidia", "/dev/dri/", "/dev/kfd", "/dev/accel", "/dev/davinci", "/dev/dxg")
"""How the files of accelerators begin."""


def external_work(pid: int, *, server: int = 0, proc: Path = Path("/proc")) -> str:
    """A description of external work of a process; "" if nothing is found.

    Child processes of its group are paused with it, but their clocks do not leave the pauses out. `server` is the
    process of a server that is paused and observed as well, 0 for none. Its parent is its supervisor, which waits.
    """
    with suppress(psutil.Error):
        expected = {server, psutil.Process(server).ppid()} if server and psutil.pid_exists(server) else set()
        children = [each for each in psutil.Process(pid).children(recursive=True) if each.pid not in expected]
        if children and server:
            return f"is a server of several processes ({children[0].name()}), which are not paused as one"
        if children:
            return f"has started another process ({children[0].name()}), whose clocks do not stop with it"
    for each in (pid, server) if server else (pid,):
        if device := _device(proc / str(each) / "fd"):
            return f"has opened {device}, a device that continues while its process is paused"
    return ""


def _device(descriptors: Path) -> str:
    """The first accelerator among what a process has open."""
    with suppress(OSError):
        for each in sorted(descriptors.iterdir()):
            with suppress(OSError):
                target = str(each.readlink())
                if target.startswith(DEVICES):
                    return target
    return ""
