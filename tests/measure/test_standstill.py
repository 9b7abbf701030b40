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

from harness.measure.handle import HERE, ProcessHandle
from harness.measure.probes import SystemProbes
from harness.measure.standstill import SUPPORTED, VARIABLE, Account, Doing, Halter, OwnClock, inherited
from harness.measure.thread_states import WORKING, Snapshot, Threads

pytestmark = pytest.mark.skipif(not SUPPORTED, reason="only Linux kills a halted worker whose conductor has ended")

HALTED_S = 0.3

CONDUCTOR = """
import time
from harness.measure.handle import ProcessHandle
handle = ProcessHandle()
handle.halter.halt()
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
    halter = worker.halter
    assert halter is not None
    halter.halt()
    await_state(worker.pid, psutil.STATUS_STOPPED)
    assert halter.halted
    halter.go_on()
    await_state(worker.pid, psutil.STATUS_SLEEPING, psutil.STATUS_RUNNING)
    assert not halter.halted


def test_a_halted_worker_is_ended_by_its_close() -> None:
    handle = ProcessHandle(HERE)
    assert handle.halter is not None
    handle.halter.halt()
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
    until = time.monotonic() + 240
    while psutil.pid_exists(pid) and state(pid) != psutil.STATUS_ZOMBIE:
        assert time.monotonic() < until
        time.sleep(0.01)


def test_a_worker_without_an_account_cannot_be_halted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(VARIABLE, raising=False)
    assert inherited() is None
    monkeypatch.setenv(VARIABLE, "no descriptor")
    assert inherited() is None


def test_the_clock_leaves_out_what_was_booked() -> None:
    halter = Halter()
    account = Account(halter.descriptor)
    own = OwnClock(account)
    for booked_ns in (0, 5_000_000_000):
        account.book(stood_ns=booked_ns, used_ns=7)
        # Between the two readings of the real clock, however long this process waits for a core.
        before, at, after = time.perf_counter_ns(), own.now_ns(), time.perf_counter_ns()
        assert before - at <= booked_ns <= after - at
    assert account.used_ns == 14
    account.close()
    halter.close()


def test_a_worker_says_what_it_is_about_and_that_it_does() -> None:
    halter = Halter()
    account = Account(halter.descriptor)
    assert not halter.tells, "nobody has greeted yet"
    account.tells = True
    halter.watch(os.getpid())
    assert halter.tells is Threads(os.getpid()).readable
    probes = SystemProbes(account=account)
    assert halter.doing is Doing.OTHER
    probes.begin()
    assert halter.doing is Doing.SYNTHESIS
    probes.end(cpu_ns=0, wall_ns=1)
    assert halter.doing is Doing.OTHER
    account.close()
    halter.close()


def test_a_wait_that_stands_still_with_the_process_is_seen_as_work() -> None:
    halter = Halter()
    account = Account(halter.descriptor)
    account.doing = Doing.OWN_WAIT
    assert halter.look() == Snapshot(main=WORKING)
    account.doing = Doing.SYNTHESIS
    assert halter.look() is None, "no process has been named"
    account.close()
    halter.close()


def test_a_worker_of_an_older_revision_says_nothing() -> None:
    """It maps the two fields that it knows, and can be halted all the same."""
    halter = Halter()
    older = mmap.mmap(halter.descriptor, 16)
    account = Account(halter.descriptor)
    account.book(stood_ns=5, used_ns=7)
    assert (int.from_bytes(older[:8], sys.byteorder), int.from_bytes(older[8:], sys.byteorder)) == (5, 7)
    halter.watch(os.getpid())
    assert not halter.tells
    older.close()
    account.close()
    halter.close()


CHILD = """
import select, sys, time
from harness.measure.standstill import OwnClock, inherited
clock = OwnClock(inherited())
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
    halter = Halter()
    child = subprocess.Popen(
        [sys.executable, "-c", CHILD],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, VARIABLE: str(halter.descriptor)},
        pass_fds=(halter.descriptor,),
        start_new_session=True,
    )
    assert child.stdin is not None
    assert child.stdout is not None
    halter.watch(child.pid)
    assert child.stdout.readline() == "ready\n"
    halter.halt()
    time.sleep(HALTED_S)
    halter.go_on()
    child.stdin.write("enough\n")
    child.stdin.flush()
    shortest_ns, least_ns, most_ns = map(int, child.stdout.readline().split())
    child.communicate()
    account = Account(halter.descriptor)
    assert shortest_ns >= 200_000_000
    assert account.stood_ns >= HALTED_S * 1e9
    assert least_ns <= account.stood_ns <= most_ns
    account.close()
    halter.close()


def test_the_cpu_time_of_whoever_works_instead_is_booked(worker: ProcessHandle) -> None:
    burner = subprocess.Popen([sys.executable, "-c", "while True: pass"], start_new_session=True)
    other = Halter()
    other.watch(burner.pid)
    halter = worker.halter
    assert halter is not None
    account = Account(halter.descriptor)
    halter.halt(instead=other)
    until = time.monotonic() + 240
    while other.cpu_ns() < 100_000_000:
        assert time.monotonic() < until
        time.sleep(0.01)
    halter.go_on()
    burner.send_signal(signal.SIGKILL)
    burner.wait()
    assert account.used_ns > 50_000_000
    assert account.stood_ns >= account.used_ns / 2
    assert other.cpu_ns() == 0
    account.close()
    other.close()
