"""The recorded pairs: cpu lines of /proc/stat on a 2-core virtual machine around a second of two-thread NumPy work."""

import sys
from dataclasses import replace
from pathlib import Path

import pytest

from harness.core.records.repetition import Disturbance
from harness.measure.system import interference
from harness.measure.system.cpu_times import CpuTimes, parse_stat
from harness.measure.system.interference import Limits, Watch, judge_disturbance

DATA = Path(__file__).parent / "data"
SECOND = 10**9
IDLE = CpuTimes(busy_s=100.0, idle_s=900.0, steal_s=5.0)


def recorded(name: str) -> CpuTimes:
    times = parse_stat((DATA / f"stat-{name}.txt").read_text(encoding="ascii"))
    assert times is not None
    return times


def later(*, busy_s: float, steal_s: float | None = 0.0) -> CpuTimes:
    return replace(
        IDLE, busy_s=IDLE.busy_s + busy_s, steal_s=None if steal_s is None else (IDLE.steal_s or 0.0) + steal_s
    )


def judged(
    after: CpuTimes, *, own_s: float, wall_s: float = 1.0, switches: int | None = 0, cpus: int = 2
) -> Disturbance:
    return judge_disturbance(
        IDLE, after, own_cpu_ns=round(own_s * SECOND), wall_ns=round(wall_s * SECOND), switches=switches, cpus=cpus
    )


def test_the_fields_of_proc_stat_are_summed_without_counting_guests_twice() -> None:
    times = parse_stat("cpu  100 20 30 4000 50 6 7 80 99 11\ncpu0 1 1 1 1 1 1 1 1 1 1\n")
    assert times is not None
    assert times.busy_s == pytest.approx(1.63)
    assert times.idle_s == pytest.approx(40.5)
    assert times.steal_s == pytest.approx(0.8)


def test_an_old_kernel_has_no_steal_rather_than_none_of_it() -> None:
    times = parse_stat("cpu 100 0 0 0 0 0 0\n")
    assert times == CpuTimes(busy_s=1.0, idle_s=0.0, steal_s=None)


@pytest.mark.parametrize("text", ["", "intr 5 6 7 8 9 10 11 12\n", "cpu 1 2 3\n"])
def test_what_is_no_cpu_line_gives_nothing(text: str) -> None:
    assert parse_stat(text) is None


def test_a_quiet_second_is_not_marked() -> None:
    found = judge_disturbance(
        recorded("quiet-before"),
        recorded("quiet-after"),
        own_cpu_ns=1_992_406_565,
        wall_ns=1_005_343_009,
        switches=34,
        cpus=2,
    )
    assert found.others_cpu_share == pytest.approx(0.007593435 / 1.005343009)
    assert found.steal_share == pytest.approx(0.01 / 2.01)
    assert found.involuntary_switches == 34
    assert found.marks == ()


def test_a_second_beside_a_spinning_process_is_marked() -> None:
    found = judge_disturbance(
        recorded("beside-a-spinner-before"),
        recorded("beside-a-spinner-after"),
        own_cpu_ns=1_286_470_070,
        wall_ns=1_010_040_311,
        switches=196,
        cpus=2,
    )
    assert found.others_cpu_share == pytest.approx(0.73352993 / 1.010040311)
    assert found.steal_share == 0
    assert found.marks == ("others", "switches")


def test_whoever_worked_while_a_process_was_halted_does_not_disturb_it() -> None:
    """Two seconds of the machine, one of each side's: nobody else did anything. Halts are no preemptions to mark."""
    after = later(busy_s=2.0)
    found = judge_disturbance(
        IDLE, after, own_cpu_ns=SECOND, wall_ns=2 * SECOND, other_side_ns=SECOND, switches=300, cpus=2
    )
    assert found.others_cpu_share == 0
    assert found.involuntary_switches == 300
    assert found.marks == ()
    alone = judge_disturbance(IDLE, after, own_cpu_ns=SECOND, wall_ns=2 * SECOND, switches=300, cpus=2)
    assert alone.marks == ("others", "switches")


def test_a_watch_adds_the_time_that_a_process_was_halted(monkeypatch: pytest.MonkeyPatch) -> None:
    times = iter([IDLE, later(busy_s=1.3)])
    monkeypatch.setattr(interference, "cpu_times", lambda: next(times))
    watch = Watch()
    watch.begin()
    found = watch.end(own_cpu_ns=SECOND // 2, wall_ns=SECOND // 2, paused_ns=SECOND // 2, other_side_ns=SECOND // 2)
    assert found.others_cpu_share == pytest.approx(0.3)


def test_steal_is_a_share_of_the_cpu_time_that_was_wanted() -> None:
    found = judged(later(busy_s=0.9, steal_s=0.1), own_s=0.9)
    assert found.steal_share == pytest.approx(0.1)
    assert found.marks == ("steal",)


def test_steal_that_the_ticks_may_have_made_up_is_given_but_not_marked() -> None:
    # 0.04 of 1.04 s is above 2 %; with 2 CPU-seconds' worth of ticks unsure (0.02 s at one busy CPU) it may be 0.02 s.
    found = judged(later(busy_s=1.0, steal_s=0.04), own_s=1.0)
    assert found.steal_share == pytest.approx(0.04 / 1.04)
    assert found.marks == ()


@pytest.mark.parametrize(("others_s", "marks"), [(0.119, ()), (0.125, ("others",))])
def test_others_are_marked_above_a_tenth_of_a_cpu_and_the_ticks(others_s: float, marks: tuple[str, ...]) -> None:
    # One busy CPU: resolution 0.01 * (1 + 1 + others), so the mark begins between 0.121 and 0.122 s.
    found = judged(later(busy_s=1.0 + others_s), own_s=1.0)
    assert found.others_cpu_share == pytest.approx(others_s)
    assert found.marks == marks


def test_a_large_machine_may_give_others_two_hundredths_of_itself() -> None:
    after = later(busy_s=2.0)
    assert judged(after, own_s=1.0, cpus=64).marks == ()
    assert judged(after, own_s=1.0, cpus=32).marks == ("others",)


def test_the_process_clock_running_ahead_of_the_ticks_is_no_negative_share() -> None:
    found = judged(later(busy_s=0.99), own_s=1.0)
    assert found.others_cpu_share == 0


def test_a_machine_that_claims_to_be_idle_while_we_work_is_not_believed() -> None:
    found = judged(later(busy_s=0.0), own_s=1.0)
    assert found.others_cpu_share is None
    assert found.steal_share is None
    assert found.marks == ()


def test_a_short_repetition_has_no_shares() -> None:
    found = judged(later(busy_s=0.3, steal_s=0.1), own_s=0.1, wall_s=0.19)
    assert found == Disturbance(involuntary_switches=0)


def test_unreadable_clocks_leave_the_switches() -> None:
    found = judge_disturbance(None, None, own_cpu_ns=SECOND, wall_ns=SECOND, switches=51, cpus=2)
    assert found == Disturbance(involuntary_switches=51, marks=("switches",))


def test_a_platform_without_steal_still_tells_of_others() -> None:
    before = replace(IDLE, steal_s=None)
    found = judge_disturbance(
        before, later(busy_s=1.5, steal_s=None), own_cpu_ns=SECOND, wall_ns=SECOND, switches=None, cpus=2
    )
    assert found == Disturbance(others_cpu_share=0.5, marks=("others",))


@pytest.mark.parametrize(
    ("switches", "own_s", "marks"),
    [(50, 1.0, ()), (51, 1.0, ("switches",)), (19, 0.1, ()), (20, 0.1, ("switches",)), (51, 2.0, ())],
)
def test_switches_count_per_second_of_own_work(switches: int, own_s: float, marks: tuple[str, ...]) -> None:
    assert judged(later(busy_s=own_s), own_s=own_s, switches=switches).marks == marks


def test_limits_are_the_callers() -> None:
    strict = Limits(
        others_share=0.0, others_machine_share=0.0, steal_share=0.0, switches_per_cpu_s=0, fewest_switches=1
    )
    found = judge_disturbance(
        IDLE,
        later(busy_s=1.1, steal_s=0.05),
        own_cpu_ns=SECOND,
        wall_ns=SECOND,
        switches=1,
        cpus=2,
        limits=strict,
    )
    assert found.marks == ("others", "steal", "switches")


def test_a_watch_reads_the_clocks_at_both_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    times = iter([IDLE, later(busy_s=1.5)])
    switches = iter([7, 207])
    monkeypatch.setattr(interference, "cpu_times", lambda: next(times))
    monkeypatch.setattr(interference, "involuntary_switches", lambda: next(switches))
    watch = Watch()
    watch.begin()
    found = watch.end(SECOND, SECOND)
    assert found.others_cpu_share == pytest.approx(0.5)
    assert found.involuntary_switches == 200
    assert "switches" in found.marks


def test_this_machine_can_be_watched() -> None:
    watch = Watch()
    watch.begin()
    found = watch.end(0, SECOND)
    assert found.others_cpu_share is not None
    assert (found.involuntary_switches is None) == (sys.platform == "win32")
    assert (found.steal_share is None) or 0 <= found.steal_share <= 1
