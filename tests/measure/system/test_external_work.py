"""What of a process's work goes on while it is halted."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from harness.measure.system.external_work import external_work

pytestmark = pytest.mark.skipif(os.name != "posix", reason="only where there is a /proc")

CHILD = """
import subprocess, sys
child = subprocess.Popen([sys.executable, "-c", "import sys; sys.stdin.read()"], stdin=subprocess.PIPE)
print("ready", flush=True)
sys.stdin.read()
"""


SEVERAL = """
import subprocess, time
with subprocess.Popen(["sleep", "600"]):
    print("ready", flush=True)
"""


def test_a_process_that_has_started_another_does(tmp_path: Path) -> None:
    parent = subprocess.Popen([sys.executable, "-c", CHILD], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert parent.stdout is not None
    assert parent.stdout.readline() == "ready\n"
    assert "has started another process (python" in external_work(parent.pid, proc=tmp_path)
    parent.communicate()


def test_server_that_is_paused_as_well_is_none_unless_it_has_several_processes(tmp_path: Path) -> None:
    worker = ["sh", "-c", 'sh "$@"; true', "worker", "-c", '"$@" & echo $!; wait', "supervisor"]
    several = [sys.executable, "-IS", "-c", SEVERAL]
    for server, said in ((["sleep", "600"], ""), (several, "server of several processes")):
        with subprocess.Popen([*worker, *server], stdout=subprocess.PIPE, text=True, process_group=0) as started:
            assert started.stdout is not None
            pid = int(started.stdout.readline())
            if said:
                assert started.stdout.readline() == "ready\n"
            found = external_work(started.pid, server=pid, proc=tmp_path)
            os.killpg(started.pid, signal.SIGKILL)
        assert bool(found) is bool(said)
        assert said in found


@pytest.mark.parametrize(
    ("opened", "told"),
    [(["/dev/null", "/dev/nvidia0"], "/dev/nvidia0"), (["/dev/dri/renderD128"], "/dev/dri/renderD128"), ([], "")],
)
def test_a_process_with_an_accelerator_open_does(tmp_path: Path, opened: list[str], told: str) -> None:
    descriptors = tmp_path / "0/fd"
    descriptors.mkdir(parents=True)
    for number, target in enumerate(opened):
        (descriptors / str(number)).symlink_to(target)
    found = external_work(0, proc=tmp_path)
    assert bool(found) is bool(told)
    assert told in found


def test_a_process_that_is_gone_does_nothing(tmp_path: Path) -> None:
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.communicate()
    assert external_work(ended.pid, proc=tmp_path) == ""
