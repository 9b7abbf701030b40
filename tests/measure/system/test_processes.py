import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from harness.measure.system.processes import (
    Busy,
    ProcessTime,
    busiest,
    cpu_seconds,
    describe,
    parse_process_stat,
    snapshot_elsewhere,
    snapshot_linux,
    watch,
    watch_during,
)


def stat(name: str, *, parent: int, born: int) -> str:
    return f"7 ({name}) S {parent} 1 1 0 -1 4194304 98 0 0 0 150 50 5 6 20 0 1 0 {born} 3133440 394\n"


def process(cpu_s: float, *, parent: int = 1, born: float = 5.0, name: str = "cc1plus") -> ProcessTime:
    return ProcessTime(name=name, parent=parent, born=born, cpu_s=cpu_s)


def test_a_name_may_hold_spaces_and_parentheses() -> None:
    found = parse_process_stat(stat("Web (Content) 3", parent=42, born=100927), cpu_s=2.25)
    assert found == ProcessTime(name="Web (Content) 3", parent=42, born=100927.0, cpu_s=2.25)


def test_only_processes_are_read_and_vanished_ones_left_out(tmp_path: Path) -> None:
    for pid in ("1", "22", "333"):
        (tmp_path / "proc" / pid).mkdir(parents=True)
    (tmp_path / "proc" / "self").mkdir()
    for pid in ("22", "333"):
        (tmp_path / "proc" / pid / "stat").write_text(stat("make", parent=1, born=9))

    def cpu_s(pid: int) -> float:
        if pid == 333:
            raise OSError("no such process")
        return 0.07

    assert snapshot_linux(tmp_path, cpu_s) == {22: ProcessTime(name="make", parent=1, born=9.0, cpu_s=0.07)}


@pytest.mark.skipif(sys.platform != "linux", reason="a clock of Linux")
def test_the_cpu_time_of_a_process_is_that_of_its_own_clock() -> None:
    before = time.process_time()
    while time.process_time() < before + 0.02:
        pass
    assert before + 0.02 <= cpu_seconds(os.getpid()) <= time.process_time()


@pytest.mark.skipif(sys.platform != "linux", reason="a clock of Linux")
def test_a_process_that_has_ended_has_no_cpu_time() -> None:
    child = subprocess.Popen([sys.executable, "-c", ""])
    child.wait()
    with pytest.raises(OSError, match="Invalid argument"):
        cpu_seconds(child.pid)


def test_the_busiest_come_first_and_less_than_twelve_milliseconds_are_nothing() -> None:
    before = {10: process(1.0), 11: process(1.0, name="dockerd"), 12: process(1.0, name="sleepy")}
    after = {10: process(1.0125), 11: process(1.5, name="dockerd"), 12: process(1.0115, name="sleepy")}
    found = busiest(before, after, wall_s=0.5, own_pid=99)
    assert found == (
        Busy(name="dockerd", pid=11, cpus=pytest.approx(1.0)),  # type: ignore[arg-type]
        Busy(name="cc1plus", pid=10, cpus=pytest.approx(0.025)),  # type: ignore[arg-type]
    )


def test_we_and_all_below_us_are_not_others() -> None:
    before = {10: process(0.0), 11: process(0.0, parent=10), 12: process(0.0, parent=11), 13: process(0.0)}
    after = {pid: process(1.0, parent=each.parent) for pid, each in before.items()}
    assert [each.pid for each in busiest(before, after, wall_s=1.0, own_pid=10)] == [13]


def test_a_new_process_under_an_old_id_is_not_compared() -> None:
    assert busiest({10: process(0.0, born=5.0)}, {10: process(9.0, born=6.0)}, wall_s=1.0, own_pid=99) == ()
    assert busiest({}, {10: process(9.0)}, wall_s=1.0, own_pid=99) == ()


def test_the_window_counts_the_time_that_the_snapshot_took() -> None:
    now = iter([100.0, 100.02, 100.05])
    snapshots = iter([{10: process(0.0)}, {10: process(0.05)}])
    slept: list[float] = []
    found = watch(lambda: next(snapshots), window_s=0.05, now_s=lambda: next(now), sleep=slept.append)
    assert slept == [pytest.approx(0.03)]
    assert found[0].cpus == pytest.approx(1.0)


def test_work_is_done_between_the_snapshots_and_may_outlast_the_window() -> None:
    now = iter([100.0, 100.2, 100.2])
    done: list[str] = []

    def snapshot() -> dict[int, ProcessTime]:
        done.append("snapshot")
        return {10: process(0.05 * len(done))}

    def work() -> str:
        done.append("work")
        return "result"

    slept: list[float] = []
    busy, result = watch_during(work, snapshot, window_s=0.05, now_s=lambda: next(now), sleep=slept.append)
    assert done == ["snapshot", "work", "snapshot"]
    assert slept == [0.0]
    assert result == "result"
    assert busy[0].cpus == pytest.approx(0.1 / 0.2)


def test_the_description_names_three() -> None:
    busy = tuple(
        Busy(name=name, pid=1, cpus=cpus) for name, cpus in (("a", 0.984), ("b", 0.12), ("c", 0.1), ("d", 0.1))
    )
    assert describe(busy) == "a 98 %, b 12 %, c 10 %"
    assert describe(()) == "none"


def test_psutil_sees_this_process() -> None:
    assert snapshot_elsewhere()[os.getpid()].parent == os.getppid()
