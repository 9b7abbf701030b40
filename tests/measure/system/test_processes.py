import os
from pathlib import Path

import pytest

from harness.measure.system.processes import (
    Busy,
    ProcessTime,
    busiest,
    describe,
    parse_process_stat,
    snapshot_elsewhere,
    snapshot_linux,
    watch,
)


def stat(name: str, *, parent: int, ticks: tuple[int, int], born: int) -> str:
    user, system = ticks
    return f"7 ({name}) S {parent} 1 1 0 -1 4194304 98 0 0 0 {user} {system} 5 6 20 0 1 0 {born} 3133440 394\n"


def process(cpu_s: float, *, parent: int = 1, born: float = 5.0, name: str = "cc1plus") -> ProcessTime:
    return ProcessTime(name=name, parent=parent, born=born, cpu_s=cpu_s)


def test_a_name_may_hold_spaces_and_parentheses() -> None:
    found = parse_process_stat(stat("Web (Content) 3", parent=42, ticks=(150, 50), born=100927))
    assert found == ProcessTime(name="Web (Content) 3", parent=42, born=100927.0, cpu_s=2.0)


def test_only_processes_are_read_and_vanished_ones_left_out(tmp_path: Path) -> None:
    for pid in ("1", "22"):
        (tmp_path / "proc" / pid).mkdir(parents=True)
    (tmp_path / "proc" / "self").mkdir()
    (tmp_path / "proc" / "22" / "stat").write_text(stat("make", parent=1, ticks=(3, 4), born=9))
    assert snapshot_linux(tmp_path) == {22: ProcessTime(name="make", parent=1, born=9.0, cpu_s=0.07)}


def test_the_busiest_come_first_and_one_tick_is_nothing() -> None:
    before = {10: process(1.0), 11: process(1.0, name="dockerd"), 12: process(1.0, name="sleepy")}
    after = {10: process(1.02), 11: process(1.5, name="dockerd"), 12: process(1.01, name="sleepy")}
    found = busiest(before, after, wall_s=0.5, own_pid=99)
    assert found == (
        Busy(name="dockerd", pid=11, cpus=pytest.approx(1.0)),  # type: ignore[arg-type]
        Busy(name="cc1plus", pid=10, cpus=pytest.approx(0.04)),  # type: ignore[arg-type]
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


def test_the_description_names_three() -> None:
    busy = tuple(
        Busy(name=name, pid=1, cpus=cpus) for name, cpus in (("a", 0.984), ("b", 0.12), ("c", 0.1), ("d", 0.1))
    )
    assert describe(busy) == "a 98 %, b 12 %, c 10 %"
    assert describe(()) == "none"


def test_psutil_sees_this_process() -> None:
    assert snapshot_elsewhere()[os.getpid()].parent == os.getppid()
