"""What the threads of a process do: from lines of /proc, from a made-up /proc, and of real processes."""

import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from harness.measure.system.thread_states import (
    CALLS,
    EVENTS,
    FILE,
    LOCKED,
    READING_A_CLOCK,
    SLEEP,
    SOCKET,
    TIMED_LOCK,
    WORKING,
    Activity,
    Snapshot,
    State,
    Threads,
    judge,
    read_state,
    states_of,
)

CLOCK_CODE = range(0x7FFD1000, 0x7FFD3000)
ARGUMENTS = "0x5 0x6 0x7 0x0 0x0 0x0"
PLACES = "0x7ffc0000 0x7f96ed503"
PATIENCE_S = 60.0


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("running", WORKING),
        (f"230 {ARGUMENTS} {PLACES}", SLEEP),
        (f"45 {ARGUMENTS} {PLACES}", SOCKET),
        (f"0 {ARGUMENTS} {PLACES}", FILE),
        (f"232 {ARGUMENTS} {PLACES}", EVENTS),
        (f"228 {ARGUMENTS} {PLACES}", READING_A_CLOCK),
        (f"11 {ARGUMENTS} {PLACES}", WORKING),  # munmap: work of the kernel
        (f"202 0x5644a239c6e0 0x189 0x0 0x0 0x0 0xffffffff {PLACES}", LOCKED),
        (f"202 0x557aebe1c610 0x89 0x0 0x7fff4bff1c20 0x0 0xffffffff {PLACES}", TIMED_LOCK),
        ("-1 0x7ffc0000 0x401000", WORKING),
        ("-1 0x7ffc0000 0x7ffd1a20", READING_A_CLOCK),
    ],
)
def test_a_line_says_what_a_thread_does(line: str, expected: State) -> None:
    assert read_state(line, CALLS["x86_64"], CLOCK_CODE) == expected


@pytest.mark.parametrize(("number", "expected"), [(115, SLEEP), (207, SOCKET), (22, EVENTS), (113, READING_A_CLOCK)])
def test_other_processors_have_other_numbers(number: int, expected: State) -> None:
    assert read_state(f"{number} {ARGUMENTS} {PLACES}", CALLS["aarch64"]) == expected


def test_no_number_means_two_things() -> None:
    for calls in CALLS.values():
        assert not calls.clock & set(calls.waits)
        assert calls.futex not in calls.waits


@pytest.mark.parametrize("line", ["", "what", "202 0x1"])
def test_a_line_that_says_nothing_is_an_error(line: str) -> None:
    with pytest.raises((ValueError, IndexError)):
        read_state(line, CALLS["x86_64"])


def looked(main: State, **others: State) -> Snapshot:
    return Snapshot(main=main, others={int(name.removeprefix("t")): state for name, state in others.items()})


@pytest.mark.parametrize(
    ("snapshot", "expected"),
    [
        (looked(WORKING, t2=SLEEP), WORKING),
        (looked(SLEEP), SLEEP),
        (looked(SLEEP, t2=WORKING), SLEEP),  # ONNX Runtime's pool still looks for work
        (looked(EVENTS, t2=WORKING), WORKING),  # an event loop, and a thread that works for it
        (looked(EVENTS, t2=LOCKED), EVENTS),
        (looked(EVENTS, t2=SOCKET), SOCKET),
        (looked(LOCKED, t2=WORKING), WORKING),
        (looked(LOCKED, t2=SLEEP), SLEEP),
        (looked(LOCKED, t2=LOCKED), WORKING),
        (looked(LOCKED, t2=READING_A_CLOCK), READING_A_CLOCK),
        (looked(LOCKED, t2=READING_A_CLOCK, t3=WORKING), WORKING),
        (looked(READING_A_CLOCK, t2=LOCKED, t3=SLEEP), READING_A_CLOCK),
        (looked(READING_A_CLOCK, t2=WORKING), WORKING),  # it spins until ONNX Runtime's pool has done its part
        (looked(TIMED_LOCK, t2=WORKING), WORKING),
        (looked(TIMED_LOCK), TIMED_LOCK),
    ],
)
def test_a_process_waits_where_none_of_its_threads_works(snapshot: Snapshot, expected: State) -> None:
    assert judge(snapshot) == expected


def test_threads_that_run_on_when_all_is_said_do_no_work() -> None:
    """A pool's thread 2 looks for work while the main one waits for a lock with a time limit, and after the end too."""
    during = [looked(WORKING)] * 9 + [looked(TIMED_LOCK, t2=WORKING)]
    assert states_of(during)[-1] == WORKING
    assert states_of(during, after=[looked(WORKING, t2=WORKING)])[-1] == WORKING
    assert states_of(during, after=[looked(SLEEP, t2=WORKING)])[-1] == TIMED_LOCK


def test_a_worker_thread_that_sleeps_is_a_wait_whatever_a_pool_does() -> None:
    """Thread 2 works for the main one, and then sleeps; thread 3 is a pool's, and thread 4 a timer's."""
    working = looked(LOCKED, t2=WORKING, t3=LOCKED, t4=SLEEP)
    waiting = looked(LOCKED, t2=SLEEP, t3=WORKING, t4=SLEEP)
    found = states_of([working] * 9 + [waiting])
    assert found == [WORKING] * 9 + [SLEEP]


POLL, RESTARTED, SLEEPING = 7, 219, 230
"""Numbers of system calls on x86-64."""


class TestAMadeUpProc:
    """Files as the kernel writes them."""

    def made(self, tmp_path: Path, *, accepts: bool = False, **lines: str) -> Threads:
        for name, line in lines.items():
            place = tmp_path / "70/task" / name.removeprefix("t")
            place.mkdir(parents=True, exist_ok=True)
            (place / "syscall").write_text(f"{line}\n")
        (tmp_path / "70/maps").write_text(
            "00400000-00401000 r-xp /bin/x\n7ffd1000-7ffd3000 r-xp 00000000 00:00 0 [vdso]\n"
        )
        return Threads(70, accepts=accepts, proc=tmp_path, machine="x86_64")

    def test_of_a_process_that_works_only_the_main_thread_is_read(self, tmp_path: Path) -> None:
        threads = self.made(tmp_path, t70="running", t71="running")
        assert threads.readable
        assert threads.observe() == Snapshot(main=WORKING)
        assert threads.observe(all_threads=True) == looked(WORKING, t71=WORKING)

    def test_of_one_that_waits_all_are(self, tmp_path: Path) -> None:
        threads = self.made(tmp_path, t70=f"230 {ARGUMENTS} {PLACES}", t71="running", t72="nonsense")
        assert threads.observe() == looked(SLEEP, t71=WORKING)

    @pytest.mark.parametrize("waiting", [POLL, RESTARTED, SLEEPING])
    def test_server_works_while_a_thread_of_a_connection_works(self, tmp_path: Path, waiting: int) -> None:
        """A pause interrupts `poll`, which then continues as another system call."""
        threads = self.made(tmp_path, accepts=True, t70=f"{waiting} {ARGUMENTS} {PLACES}", t71="running")
        assert states_of([found for found in [threads.observe()] if found]) == [WORKING]

    def test_server_waits_while_all_its_threads_wait(self, tmp_path: Path) -> None:
        threads = self.made(
            tmp_path, accepts=True, t70=f"{POLL} {ARGUMENTS} {PLACES}", t71=f"{SLEEPING} {ARGUMENTS} {PLACES}"
        )
        assert states_of([found for found in [threads.observe()] if found]) == [SLEEP]

    def test_server_of_one_thread_waits_where_it_does(self, tmp_path: Path) -> None:
        threads = self.made(tmp_path, accepts=True, t70=f"{SLEEPING} {ARGUMENTS} {PLACES}")
        (found,) = states_of([found for found in [threads.observe()] if found])
        assert found.waits
        assert found.doing == SLEEP.doing

    def test_the_code_that_reads_clocks_is_found_in_the_map(self, tmp_path: Path) -> None:
        threads = self.made(tmp_path, t70="-1 0x7ffc0000 0x7ffd2fff", t71="running")
        assert threads.observe() == looked(READING_A_CLOCK, t71=WORKING)

    def test_what_the_system_does_not_show_is_unknown(self, tmp_path: Path) -> None:
        threads = self.made(tmp_path, t71="running")
        assert not threads.readable
        assert threads.observe() is None

    def test_a_processor_without_numbers_is_unknown(self, tmp_path: Path) -> None:
        self.made(tmp_path, t70="running")
        assert not Threads(70, proc=tmp_path, machine="s390x").readable


PREPARED = """
import socket, sys, threading, time
one, other = socket.socketpair()
lock = threading.Lock()
lock.acquire()
print("ready", flush=True)
"""


@contextmanager
def process(code: str) -> Iterator[subprocess.Popen[str]]:
    child = subprocess.Popen(
        [sys.executable, "-c", PREPARED + code], stdout=subprocess.PIPE, stdin=subprocess.PIPE, text=True
    )
    try:
        assert child.stdout is not None
        assert child.stdout.readline() == "ready\n"
        yield child
    finally:
        child.kill()
        child.communicate()


def await_true(condition: Callable[[], bool]) -> None:
    until = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < until
        time.sleep(0.001)


needs_linux = pytest.mark.skipif(sys.platform != "linux", reason="only Linux shows what a thread waits for")


@needs_linux
@pytest.mark.parametrize(
    ("code", "expected"),
    [
        ("time.sleep(600)", Activity.WAIT),
        ("one.recv(1)", Activity.WAIT),
        ("one.settimeout(600); one.recv(1)", Activity.WAIT),
        ("sys.stdin.readline()", Activity.WAIT),
        ("threading.Event().wait(600)", Activity.JOINT_WAIT),
        ("lock.acquire()", Activity.LOCK),
        ("while True: pass", Activity.WORK),
    ],
)
def test_a_real_process_is_seen_waiting_for_what_it_waits_for(code: str, expected: Activity) -> None:
    with process(code) as child:
        threads = Threads(child.pid)
        if not threads.readable:
            pytest.skip("this system does not show what a process waits for")

        def seen() -> bool:
            found = threads.observe()
            return found is not None and found.main.activity is expected

        await_true(seen)


@needs_linux
def test_a_loop_that_reads_a_clock_is_found_there_when_it_is_halted() -> None:
    with process("while True: time.perf_counter()") as child:
        threads = Threads(child.pid)
        if not threads.readable:
            pytest.skip("this system does not show what a process waits for")

        def halted_there() -> bool:
            child.send_signal(signal.SIGSTOP)
            await_true(lambda: _stopped(child.pid))
            found = threads.observe()
            child.send_signal(signal.SIGCONT)
            return found is not None and found.main == READING_A_CLOCK

        await_true(halted_there)


def _stopped(pid: int) -> bool:
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "T"
