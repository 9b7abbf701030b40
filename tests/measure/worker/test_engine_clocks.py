"""The clocks of `time` that stand still with a halted process: on a scripted clock, and in a process that is halted."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from types import SimpleNamespace

import psutil
import pytest

from harness.measure.worker import engine_clocks, pause
from harness.measure.worker.engine_clocks import LOOP_NS, OwnReading, replace_clocks
from harness.measure.worker.pause import SUPPORTED, VARIABLE, PausableClock, PauseLedger, ProcessPauser, WorkerActivity

MS = 1_000_000


@pytest.fixture
def account() -> Iterator[PauseLedger]:
    pauser = ProcessPauser()
    account = PauseLedger(pauser.descriptor)
    yield account
    account.close()
    pauser.close()


@dataclass
class Machine:
    """A clock that passes when somebody sleeps, on which a halt comes in the middle of the first sleep."""

    account: PauseLedger
    now_ns: int = 1_000 * MS
    halt_ns: int = 0
    slept: tuple[float, ...] = ()

    def read_ns(self) -> int:
        return self.now_ns

    def sleep(self, seconds: float) -> None:
        """A halt of this process begins in the middle, and outlasts what is left of the wait."""
        self.slept += (seconds,)
        if self.halt_ns:
            self.now_ns += round(seconds * 1e9) // 2 + self.halt_ns
            self.account.add_pause(paused_ns=self.halt_ns, used_ns=0)
            self.halt_ns = 0
        else:
            self.now_ns += round(seconds * 1e9)


@pytest.fixture
def machine(account: PauseLedger, monkeypatch: pytest.MonkeyPatch) -> Machine:
    machine = Machine(account)
    for module in (engine_clocks, pause):
        monkeypatch.setattr(module, "_perf_counter_ns", machine.read_ns)
        monkeypatch.setattr(module, "_sleep", machine.sleep)
    return machine


def followed(account: PauseLedger, machine: Machine) -> SimpleNamespace:
    """What an engine finds as `time`."""
    names = ("perf_counter", "monotonic", "time")
    found = SimpleNamespace(sleep=machine.sleep, process_time_ns=lambda: 7)
    for name in names:
        setattr(found, name, lambda: machine.read_ns() / 1e9)
        setattr(found, f"{name}_ns", machine.read_ns)
    account.pause_clocks = True
    replace_clocks(account, found)
    return found


@pytest.mark.parametrize("name", ["perf_counter", "monotonic", "time"])
def test_a_clock_leaves_the_halts_out(account: PauseLedger, machine: Machine, name: str) -> None:
    clocks = followed(account, machine)
    machine.now_ns += 700 * MS
    account.add_pause(paused_ns=500 * MS, used_ns=0)
    assert getattr(clocks, f"{name}_ns")() == 1_200 * MS
    assert getattr(clocks, name)() == pytest.approx(1.2)
    assert clocks.process_time_ns() == 7


def test_a_sleep_lasts_as_long_as_asked_for_in_time_of_its_own(account: PauseLedger, machine: Machine) -> None:
    clocks = followed(account, machine)
    machine.halt_ns = 400 * MS
    before = clocks.perf_counter_ns()
    clocks.sleep(0.1)
    assert clocks.perf_counter_ns() - before == 100 * MS
    assert machine.slept == pytest.approx((0.1, 0.05))


def test_a_planted_delay_lasts_as_long_as_asked_for_in_time_of_its_own(account: PauseLedger, machine: Machine) -> None:
    """Calibration's delay is waited for on the worker's own clock, of which a halt takes nothing."""
    clock = PausableClock(account)
    machine.halt_ns = 400 * MS
    before = clock.now_ns()
    clock.sleep(0.1)
    assert clock.now_ns() - before == 100 * MS
    assert machine.slept == pytest.approx((0.1, 0.05))


def test_a_planted_delay_is_told_from_an_engines_own(
    account: PauseLedger, machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    told = []

    def sleep(seconds: float) -> None:
        told.append(account.doing)
        machine.now_ns += round(seconds * 1e9)

    monkeypatch.setattr(pause, "_sleep", sleep)
    for doing in (WorkerActivity.OTHER, WorkerActivity.SYNTHESIS):
        account.doing = doing
        PausableClock(account).sleep(0.1)
        assert account.doing is doing
    assert told == [WorkerActivity.OTHER, WorkerActivity.OWN_WAIT]


def test_a_planted_delay_in_one_thread_does_not_end_that_of_another(
    account: PauseLedger, machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While the first waits, a second waits and is done."""
    clock, told = PausableClock(account), []

    def sleep(seconds: float) -> None:
        if seconds > 0.15:
            clock.sleep(0.1)
            told.append(account.doing)
        machine.now_ns += round(seconds * 1e9)

    monkeypatch.setattr(pause, "_sleep", sleep)
    account.doing = WorkerActivity.SYNTHESIS
    clock.sleep(0.2)
    assert (told, account.doing) == ([WorkerActivity.OWN_WAIT], WorkerActivity.SYNTHESIS)


def test_the_argument_of_a_sleep_is_judged_as_ever(account: PauseLedger) -> None:
    account.pause_clocks = True
    clocks = SimpleNamespace(
        sleep=time.sleep,
        perf_counter_ns=time.perf_counter_ns,
        monotonic_ns=time.monotonic_ns,
        time_ns=time.time_ns,
    )
    replace_clocks(account, clocks)
    with pytest.raises(ValueError, match="non-negative"):
        clocks.sleep(-1)
    with pytest.raises(TypeError):
        clocks.sleep("long")


def test_nothing_is_replaced_unasked_or_twice(account: PauseLedger, machine: Machine) -> None:
    untouched = SimpleNamespace(sleep=machine.sleep)
    replace_clocks(account, untouched)
    assert untouched.sleep == machine.sleep
    clocks = followed(account, machine)
    reading = clocks.perf_counter
    replace_clocks(account, clocks)
    assert clocks.perf_counter is reading


def test_only_readings_that_follow_one_another_closely_are_a_loop(account: PauseLedger, machine: Machine) -> None:
    read = OwnReading(machine.read_ns, account, seconds=True)
    read()
    for apart_ns in (LOOP_NS, 40 * MS, 0):
        machine.now_ns += apart_ns
        read()
    assert account.looped_ns == 0
    for _ in range(10):
        machine.now_ns += LOOP_NS // 100
        read()
    assert account.looped_ns == LOOP_NS // 10


def test_a_halt_in_the_midst_of_a_reading_is_left_out(account: PauseLedger, machine: Machine) -> None:
    """The process is halted after it has read the machine's clock, and before it has read how long it was halted."""
    halts = [500 * MS]

    def read_ns() -> int:
        read = machine.now_ns
        if halts:
            halt_ns = halts.pop()
            machine.now_ns += halt_ns
            account.add_pause(paused_ns=halt_ns, used_ns=0)
        return read

    assert OwnReading(read_ns, account, seconds=False)() == 1_000 * MS


def test_a_halt_between_two_readings_is_no_part_of_a_loop(account: PauseLedger, machine: Machine) -> None:
    read = OwnReading(machine.read_ns, account, seconds=False)
    read()
    machine.now_ns += 100 * MS + 300
    account.add_pause(paused_ns=100 * MS, used_ns=0)
    read()
    assert account.looped_ns == 300


def test_a_class_may_keep_a_clock_as_a_value(account: PauseLedger, machine: Machine) -> None:
    class Timer:
        now = OwnReading(machine.read_ns, account, seconds=False)

    assert Timer().now() == machine.now_ns


ENGINE = """
import sys, time
from harness.measure.worker.engine_clocks import _perf_counter_ns, replace_clocks
from harness.measure.worker.pause import inherit_ledger
account = inherit_ledger()
replace_clocks(account)
print("ready", flush=True)
sys.stdin.readline()
real, began = _perf_counter_ns(), time.{clock}()
print("begun", flush=True)
if {spins}:
    until = began + 0.2
    while time.{clock}() < until: pass
else:
    time.sleep(0.2)
print(time.{clock}() - began, (_perf_counter_ns() - real) / 1e9, account.paused_ns / 1e9, flush=True)
"""


@pytest.mark.skipif(not SUPPORTED, reason="only Linux kills a halted worker whose conductor has ended")
@pytest.mark.parametrize(("clock", "spins"), [("perf_counter", 1), ("time", 1), ("monotonic", 0)])
def test_a_delay_of_an_engine_that_is_halted_is_as_long_as_ever(clock: str, spins: int) -> None:
    """Halted in its midst for longer than all of it, it goes on where it was."""
    pauser = ProcessPauser()
    pauser.pause_clocks()
    child = subprocess.Popen(
        [sys.executable, "-c", ENGINE.format(clock=clock, spins=spins)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, VARIABLE: str(pauser.descriptor)},
        pass_fds=(pauser.descriptor,),
        start_new_session=True,
    )
    assert child.stdin is not None
    assert child.stdout is not None
    try:
        pauser.watch(child.pid)
        assert child.stdout.readline() == "ready\n"
        child.stdin.write("go\n")
        child.stdin.flush()
        assert child.stdout.readline() == "begun\n"
        pauser.pause()
        while psutil.Process(child.pid).status() not in (psutil.STATUS_STOPPED, psutil.STATUS_ZOMBIE):
            time.sleep(0.001)
        time.sleep(0.25)
        pauser.resume()
        own_s, real_s, stood_s = map(float, child.stdout.readline().split())
    finally:
        child.send_signal(signal.SIGKILL)
        child.communicate()
        pauser.close()
    assert own_s >= 0.2
    # By the machine's clock it would have been over when it was let go on. The two clocks may run at slightly
    # different rates.
    assert real_s >= 0.19 + stood_s
