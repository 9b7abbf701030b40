import os
import subprocess
import sys
import time

import psutil
import pytest

from harness.store.liveness import process_alive
from tests.processes import await_ended


def test_this_process_is_alive() -> None:
    assert process_alive(os.getpid(), time.time())


def test_an_earlier_process_with_our_number_was_not_this_one() -> None:
    began = psutil.Process().create_time()
    assert not process_alive(os.getpid(), began - 120.0)


def test_a_process_that_has_ended_is_not_alive() -> None:
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait(timeout=240)
    assert not process_alive(process.pid, time.time())


@pytest.mark.skipif(sys.platform == "win32", reason="Windows keeps no ended processes")
def test_a_process_that_only_waits_to_be_collected_is_not_alive() -> None:
    with subprocess.Popen([sys.executable, "-c", ""]) as process:
        await_ended([process.pid])
        assert psutil.pid_exists(process.pid)
        assert not process_alive(process.pid, time.time())


@pytest.mark.parametrize(("earlier_s", "alive"), [(3_600.0, True), (10_000.0, False)])
def test_a_number_inherited_much_later_is_noticed_and_a_clock_set_by_an_hour_is_not(
    earlier_s: float,
    alive: bool,  # noqa: FBT001
) -> None:
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as process:
        try:
            began = psutil.Process(process.pid).create_time()
            assert process_alive(process.pid, began - earlier_s) is alive
        finally:
            process.kill()


@pytest.mark.parametrize("pid", [0, -1])
def test_no_number_is_no_process(pid: int) -> None:
    assert not process_alive(pid, time.time())


def test_a_process_that_may_not_be_looked_at_counts_as_alive(monkeypatch: pytest.MonkeyPatch) -> None:
    def denied(_pid: int) -> None:
        raise psutil.AccessDenied(_pid)

    monkeypatch.setattr(psutil, "Process", denied)
    assert process_alive(1, time.time())
