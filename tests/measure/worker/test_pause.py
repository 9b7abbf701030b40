"""Halted processes, and the clock that stands still with them: in real processes."""

import mmap
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator

import psutil
import pytest

from harness.measure.system.thread_states import WORKING, Snapshot, Threads
from harness.measure.worker.handle import ProcessHandle
from harness.measure.worker.pause import (
    SUPPORTED,
    VARIABLE,
    PausableClock,
    PauseLedger,
    ProcessPauser,
    WorkerActivity,
    inherit_ledger,
)
from harness.measure.worker.place import HERE
from harness.measure.worker.probes import SystemProbes
from tests.processes import await_ended

pytestmark = pytest.mark.skipif(not SUPPORTED, reason="only Linux kills a halted worker whose conductor has ended")

HALTED_S = 0.3

CONDUCTOR = """
import time
from harness.measure.worker.handle import ProcessHandle
handle = ProcessHandle()
handle.pauser.pause()
print(handle.pid, flush=True)
time.sleep(60)
"""


@pytest.fixture
def worker() -> Iterator[ProcessHandle]:
    handle = ProcessHandle(HERE)
    yield handle
    handle.close()
    assert not psutil.pid_exists(handle.pid)


def state(pid: int) -> str:
    return str(psutil.Process(pid).status())


def await_state(pid: int, *wanted: str) -> None:
    until = time.monotonic() + 240
    while state(pid) not in wanted:
        assert time.monotonic() < until, f"{pid} is {state(pid)}"
        time.sleep(0.005)


def test_a_worker_says_that_it_can_be_halted_and_is(worker: ProcessHandle) -> None:
    pauser = worker.pauser
    assert pauser is not None
    pauser.pause()
    await_state(worker.pid, psutil.STATUS_STOPPED)
    assert pauser.paused
    pauser.resume()
    await_state(worker.pid, psutil.STATUS_SLEEPING, psutil.STATUS_RUNNING)
    assert not pauser.paused


def test_a_halted_worker_is_ended_by_its_close() -> None:
    handle = ProcessHandle(HERE)
    assert handle.pauser is not None
    handle.pauser.pause()
    await_state(handle.pid, psutil.STATUS_STOPPED)
    handle.close()
    assert not psutil.pid_exists(handle.pid)


def test_a_halted_worker_does_not_outlive_its_conductor() -> None:
    conductor = subprocess.Popen(
        [
            sys.executable,
            "-c",
            CONDUCTOR,
        ],
        stdout=subprocess.PIPE,
        text=True,
    )
    assert conductor.stdout is not None
    pid = int(conductor.stdout.readline())
    await_state(pid, psutil.STATUS_STOPPED)
    conductor.kill()
    conductor.communicate()
    await_ended([pid])


def test_a_worker_without_an_account_cannot_be_halted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(VARIABLE, raising=False)
    assert inherit_ledger() is None
    monkeypatch.setenv(VARIABLE, "no descriptor")
    assert inherit_ledger() is None


def test_the_clock_leaves_out_what_was_booked() -> None:
    pauser = ProcessPauser()
    ledger = PauseLedger(pauser.descriptor)
    own = PausableClock(ledger)
    for booked_ns in (0, 5_000_000_000):
        ledger.add_pause(paused_ns=booked_ns, used_ns=7)
        # Between the two readings of the real clock, however long this process waits for a core.
        before, at, after = time.perf_counter_ns(), own.now_ns(), time.perf_counter_ns()
        assert before - at <= booked_ns <= after - at
    assert ledger.used_ns == 14
    ledger.close()
    pauser.close()


def test_a_worker_says_what_it_is_about_and_that_it_does() -> None:
    pauser = ProcessPauser()
    ledger = PauseLedger(pauser.descriptor)
    assert not pauser.observable, "nobody has greeted yet"
    ledger.observable = True
    pauser.watch(os.getpid())
    assert pauser.observable is Threads(os.getpid()).readable
    probes = SystemProbes(ledger=ledger)
    assert pauser.doing is WorkerActivity.OTHER
    probes.begin()
    assert pauser.doing is WorkerActivity.SYNTHESIS
    probes.end(cpu_ns=0, wall_ns=1)
    assert pauser.doing is WorkerActivity.OTHER
    ledger.close()
    pauser.close()


def test_a_wait_that_stands_still_with_the_process_is_seen_as_work() -> None:
    pauser = ProcessPauser()
    ledger = PauseLedger(pauser.descriptor)
    ledger.doing = WorkerActivity.OWN_WAIT
    assert pauser.observe() == Snapshot(main=WORKING)
    ledger.doing = WorkerActivity.SYNTHESIS
    assert pauser.observe() is None, "no process has been named"
    ledger.close()
    pauser.close()


def test_a_worker_of_an_older_revision_says_nothing() -> None:
    """It maps the two fields that it knows, and can be halted all the same."""
    pauser = ProcessPauser()
    older = mmap.mmap(pauser.descriptor, 16)
    ledger = PauseLedger(pauser.descriptor)
    ledger.add_pause(paused_ns=5, used_ns=7)
    assert (int.from_bytes(older[:8], sys.byteorder), int.from_bytes(older[8:], sys.byteorder)) == (5, 7)
    pauser.watch(os.getpid())
    assert not pauser.observable
    older.close()
    ledger.close()
    pauser.close()


CHILD = """
import select, sys, time
from harness.measure.worker.pause import PausableClock, inherit_ledger
clock = PausableClock(inherit_ledger())
print("ready", flush=True)
shortest = 9e9
while True:
    own = clock.now_ns()
    clock.sleep(0.2)
    shortest = min(shortest, clock.now_ns() - own)
    if select.select([sys.stdin], [], [], 0)[0]:
        break
before, at, after = time.perf_counter_ns(), clock.now_ns(), time.perf_counter_ns()
print(int(shortest), before - at, after - at, flush=True)
"""


def test_what_a_process_waits_for_is_time_of_its_own() -> None:
    """Halted in the middle of a wait of 0.2 s, it waits for the rest of it afterwards."""
    pauser = ProcessPauser()
    child = subprocess.Popen(
        [sys.executable, "-c", CHILD],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, VARIABLE: str(pauser.descriptor)},
        pass_fds=(pauser.descriptor,),
        start_new_session=True,
    )
    assert child.stdin is not None
    assert child.stdout is not None
    pauser.watch(child.pid)
    assert child.stdout.readline() == "ready\n"
    pauser.pause()
    time.sleep(HALTED_S)
    pauser.resume()
    child.stdin.write("enough\n")
    child.stdin.flush()
    shortest_ns, least_ns, most_ns = map(int, child.stdout.readline().split())
    child.communicate()
    ledger = PauseLedger(pauser.descriptor)
    assert shortest_ns >= 200_000_000
    assert ledger.paused_ns >= HALTED_S * 1e9
    assert least_ns <= ledger.paused_ns <= most_ns
    ledger.close()
    pauser.close()


def test_the_cpu_time_of_whoever_works_instead_is_booked(worker: ProcessHandle) -> None:
    burner = subprocess.Popen([sys.executable, "-c", "while True: pass"], start_new_session=True)
    other = ProcessPauser()
    other.watch(burner.pid)
    pauser = worker.pauser
    assert pauser is not None
    ledger = PauseLedger(pauser.descriptor)
    pauser.pause(instead=[other])
    until = time.monotonic() + 240
    while other.cpu_ns() < 100_000_000:
        assert time.monotonic() < until
        time.sleep(0.01)
    pauser.resume()
    burner.send_signal(signal.SIGKILL)
    burner.wait()
    assert ledger.used_ns > 50_000_000
    assert ledger.paused_ns >= ledger.used_ns / 2
    assert other.cpu_ns() == 0
    ledger.close()
    other.close()


def test_server_stands_still_together_with_its_worker() -> None:
    pauser = ProcessPauser()
    with (
        subprocess.Popen(["sleep", "600"], start_new_session=True) as worker,
        subprocess.Popen([sys.executable, "-IS", "-c", "while True: pass"], start_new_session=True) as server,
    ):
        pauser.watch(worker.pid)
        pauser.watch_server(server.pid)
        both = [psutil.Process(worker.pid), psutil.Process(server.pid)]
        until = time.monotonic() + 240
        while pauser.cpu_ns() < 10_000_000:  # the server's time counts
            assert time.monotonic() < until
        pauser.pause()
        while {each.status() for each in both} != {psutil.STATUS_STOPPED}:
            assert time.monotonic() < until
        paused_ns = pauser.cpu_ns()
        time.sleep(0.05)
        assert pauser.cpu_ns() == paused_ns
        pauser.resume()
        while psutil.STATUS_STOPPED in {each.status() for each in both} or pauser.cpu_ns() == paused_ns:
            assert time.monotonic() < until
        for each in (worker, server):
            each.kill()
    pauser.close()
