"""Measures other activity of the machine during a repetition, without the repetition's own work.

Three values, each None if the platform does not report it:

- `steal_share`: steal / (busy + steal) over all CPUs: the share of the requested CPU time that the
  hypervisor gave to others. It slows a repetition down by about that share. A hypervisor that hides its steal shows 0.
- `others_cpu_share`: (busy - own) / wall, where 1.0 is one whole CPU: the CPU time of everything but this
  process, including interrupts. It is above 1.0 if others keep more than one CPU busy.
- `involuntary_switches`: how often the kernel took a CPU from one of this process's threads before it gave it up.

*Busy* is user + nice + system + irq + softirq (guests are already in user). The kernel counts it in ticks, so both
shares have a resolution of about one tick per busy CPU. Below `Limits.shortest_wall_s` they are None. Above it
they are given as measured, and a mark is set only for an excess that the resolution cannot explain.
"""

import os
import sys
from dataclasses import dataclass

from harness.core.records.repetition import Disturbance
from harness.measure.system.cpu_times import TICK_S, CpuTimes, cpu_times


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """Limits above which a repetition is marked as disturbed. Marked repetitions are kept, counted and shown.

    The defaults follow from the smallest change of interest, 2 %. Steal may be that much. Others may use that much of
    the machine, but at least a tenth of a CPU, which an idle desktop uses. Preemptions may be as many as housekeeping
    makes (measured on 2 cores under a saturating load: at most 35 per CPU second with nothing else running, 150 and
    more beside one other busy process). A process with more threads than CPUs preempts itself; that counts too, because
    it slows the repetition just as much.
    """

    steal_share: float = 0.02
    others_share: float = 0.10
    """In CPUs."""
    others_machine_share: float = 0.02
    """Share of all CPUs; the larger of the two limits applies."""
    switches_per_cpu_s: float = 50.0
    """Involuntary switches per second of own CPU time."""
    fewest_switches: int = 20
    """Fewer are never marked: in a short repetition a handful is a high rate and costs nothing."""
    shortest_wall_s: float = 0.2
    """Below this the ticks are coarser than any limit above."""


DEFAULT_LIMITS = Limits()


class Watch:
    """Observes the machine around one repetition: `begin`, the work, `end`. Each is a short read and a system call."""

    def __init__(self, limits: Limits = DEFAULT_LIMITS) -> None:
        self._limits = limits
        self._times: CpuTimes | None = None
        self._switches: int | None = None

    def begin(self) -> None:
        self._switches = involuntary_switches()
        self._times = cpu_times()

    def end(self, own_cpu_ns: int, wall_ns: int, *, paused_ns: int = 0, other_side_ns: int = 0) -> Disturbance:
        """The disturbance since `begin`.

        `own_cpu_ns` (CPU time of all threads of this process) and `wall_ns` must span the time from `begin` to here, or
        own work would count as others'. In addition the process was paused for `paused_ns`, while the other side of its
        pair used `other_side_ns` of CPU time.
        """
        before, after = self._times, cpu_times()
        switches_before, switches_after = self._switches, involuntary_switches()
        switches = None
        if switches_before is not None and switches_after is not None:
            switches = switches_after - switches_before
        return judge_disturbance(
            before,
            after,
            own_cpu_ns=own_cpu_ns,
            wall_ns=wall_ns + paused_ns,
            other_side_ns=other_side_ns,
            switches=switches,
            cpus=os.cpu_count() or 1,
            limits=self._limits,
        )


def judge_disturbance(
    before: CpuTimes | None,
    after: CpuTimes | None,
    *,
    own_cpu_ns: int,
    wall_ns: int,
    switches: int | None,
    cpus: int,
    other_side_ns: int = 0,
    limits: Limits = DEFAULT_LIMITS,
) -> Disturbance:
    """Turn two readings of the machine's clocks into shares and marks (definitions at the head of this module).

    `other_side_ns` is CPU time of the other side of a pair while this process was paused; it is no disturbance. Each
    pause preempts the process several times, so in that case switches are reported but not marked.
    """
    own_s, wall_s = own_cpu_ns / 1e9, wall_ns / 1e9
    accounted_s = own_s + other_side_ns / 1e9
    marks = []
    steal_share = others_share = None
    if before is not None and after is not None and wall_s >= limits.shortest_wall_s:
        busy_s = after.busy_s - before.busy_s
        resolution_s = TICK_S * (1 + busy_s / wall_s)
        if _truthful(busy_s=busy_s, own_s=accounted_s, resolution_s=resolution_s):
            others_s = max(0.0, busy_s - accounted_s)
            others_share = others_s / wall_s
            allowed = max(limits.others_share, limits.others_machine_share * cpus)
            if others_s - resolution_s > allowed * wall_s:
                marks.append("others")
        if before.steal_s is not None and after.steal_s is not None:
            steal_s = after.steal_s - before.steal_s
            wanted_s = busy_s + steal_s
            if steal_s >= 0 and wanted_s > resolution_s:
                steal_share = steal_s / wanted_s
                if steal_s - resolution_s > limits.steal_share * wanted_s:
                    marks.append("steal")
    if (
        switches is not None
        and not other_side_ns
        and switches >= limits.fewest_switches
        and switches > limits.switches_per_cpu_s * own_s
    ):
        marks.append("switches")
    return Disturbance(
        steal_share=steal_share,
        others_cpu_share=others_share,
        involuntary_switches=switches,
        marks=tuple(sorted(marks)),
    )


def _truthful(*, busy_s: float, own_s: float, resolution_s: float) -> bool:
    """Whether the machine was at least as busy as this process. Some sandboxes show a /proc/stat of zeros."""
    return busy_s + 2 * resolution_s >= 0.9 * own_s


def involuntary_switches() -> int | None:
    """Involuntary context switches of all threads of this process so far; None if the system does not count them."""
    if sys.platform == "win32":
        switches = None
    else:
        import resource

        switches = resource.getrusage(resource.RUSAGE_SELF).ru_nivcsw
    return switches
