"""Tracks a run against the earlier of two limits: all blocks done, or the time budget spent."""

from collections.abc import Callable
from dataclasses import replace

from harness.core.clock import Clock
from harness.measure.conductor.events import Progress
from harness.plan.matrix import LaunchPolicy, RunLimits

START_UP_SHARE = 0.25
"""The part of the budget for start-ups; their first round is measured in any case."""
FEWEST_REPEATS = 50
"""A soak always runs this many repeats per block. Fewer do not show memory growth."""


def launches_within(
    budget_s: float, *, wanted: int, launch_policy: LaunchPolicy, launch_s: float, block_s: float = 0.0
) -> int:
    """How many of the `wanted` launches fit into `budget_s`; never fewer than the launch policy needs.

    A launch takes `launch_s` seconds. All launches together may use only the policy's share of the budget. If that
    share is below 1 and the duration of a block `block_s` is known, each launch must also fit its fewest blocks.
    """
    fitting = int(launch_policy.launching * budget_s / launch_s) if launch_s > 0 else wanted
    least_s = launch_s + launch_policy.fewest_blocks * block_s
    with_blocks = int(budget_s / least_s) if block_s > 0 and launch_policy.launching < 1 else wanted
    return min(wanted, max(launch_policy.needed_launches, min(fitting, with_blocks)))


class RunBudget:
    """Sums the durations of start-ups, launches and blocks, and estimates what still fits into the budget."""

    def __init__(self, run_limits: RunLimits, clock: Clock) -> None:
        self._run_limits = run_limits
        self._clock = clock
        self._start_ns = clock.now_ns()
        self._start_ups = 0
        self._launches = 0.0
        self._blocks = 0
        self._starting_ns = 0
        self._launching_ns = 0
        self._blocks_ns = 0
        self._groups = 1
        self.launches = run_limits.launches
        """Planned launches. Updated once the durations of the first launch and of its first block are known."""

    @property
    def left_s(self) -> float:
        return max(0.0, self._run_limits.budget_s - self._elapsed_s())

    def use_policy(self, launch_policy: LaunchPolicy) -> None:
        self._run_limits = replace(
            self._run_limits, launch_policy=launch_policy, launches=launch_policy.launches or self._run_limits.launches
        )
        self.launches = self._run_limits.launches

    def start_ups_done(self, since_ns: int) -> None:
        """Count a round of start-ups that began at `since_ns` and ends now."""
        self._start_ups += 1
        self._starting_ns += self._clock.now_ns() - since_ns

    def launch_done(self, since_ns: int, *, groups: int = 1) -> None:
        """Count the start and warm-up of a launch, or of one of its `groups`, from `since_ns` until now."""
        first = not self._launches
        self._groups = groups
        self._launches += 1 / groups
        self._launching_ns += self._clock.now_ns() - since_ns
        if first:
            self._update_launches()

    def block_done(self, wall_ns: int) -> None:
        self._blocks += 1
        self._blocks_ns += wall_ns
        if self._blocks == 1:
            self._update_launches()

    def fits_start_ups(self, *, alone: bool) -> bool:
        """Whether another round of start-ups fits into their share of the budget.

        With `alone` nothing else is measured, and the whole budget counts.
        """
        round_s = self._starting_ns / max(1, self._start_ups) / 1e9
        share = 1.0 if alone else START_UP_SHARE
        return self._elapsed_s() + round_s <= share * self._run_limits.budget_s

    def fits_launch(self) -> bool:
        """Whether another launch with one block of each group fits, at the mean durations so far."""
        return self._elapsed_s() + self._needs_s(1, blocks=1) <= self._run_limits.budget_s

    def fits_block(self, launch: int, *, until: float = 1.0, block_s: float | None = None) -> bool:
        """Whether another block fits into the launch's share of the budget that the start-ups left.

        `block_s` is its duration in seconds, by default the mean of the blocks so far. If arms run in groups, `until`
        is the fraction of the launch at which this group must have ended.
        """
        before_s = self._starting_ns / 1e9
        deadline_s = before_s + (self._run_limits.budget_s - before_s) * (launch + until) / self.launches
        return self._elapsed_s() + (self._block_s() if block_s is None else block_s) <= deadline_s

    def soak_limit(self, soaks: int) -> Callable[[int], bool]:
        """Return a check, starting now, whether one of `soaks` soaks has time for its repeat of a given number.

        Each soak gets an equal share of the launch's time; everything else in the launch gets one such share too.
        """
        began_ns = self._clock.now_ns()
        part_s = self._run_limits.budget_s / self._run_limits.launches / (soaks + 1)

        def fits(repeat: int) -> bool:
            passed_s = (self._clock.now_ns() - began_ns) / 1e9
            return repeat < FEWEST_REPEATS or passed_s + passed_s / repeat <= part_s

        return fits

    def progress(self, doing: str) -> Progress:
        """The share that is done and the time that remains, which is known only after the first block."""
        total = self._run_limits.budget_s
        if self._blocks:
            before_s = self._starting_ns / 1e9
            total = min(total, before_s + self._needs_s(self.launches, blocks=self._run_limits.blocks))
            # The launches that the policy needs run even if they exceed the budget.
            total = max(
                total,
                before_s + self._needs_s(min(self._run_limits.launch_policy.needed_launches, self.launches), blocks=1),
            )
        elapsed = self._elapsed_s()
        share = min(1.0, elapsed / total) if total else 1.0
        return Progress(
            doing=doing,
            share=share,
            remaining_s=max(0.0, total - elapsed) if self._blocks else None,
            budget_left_s=self.left_s,
        )

    def _update_launches(self) -> None:
        if self._run_limits.launch_policy.launching < 1:
            self.launches = launches_within(
                self._run_limits.budget_s,
                wanted=self._run_limits.launches,
                launch_policy=self._run_limits.launch_policy,
                launch_s=self._launch_s(),
                block_s=self._blocks_ns / 1e9,
            )

    def _needs_s(self, launches: int, *, blocks: int) -> float:
        """Seconds for `launches` with `blocks` blocks per group, at the mean durations so far."""
        return launches * (self._launch_s() + blocks * self._groups * self._block_s())

    def _elapsed_s(self) -> float:
        return (self._clock.now_ns() - self._start_ns) / 1e9

    def _launch_s(self) -> float:
        return self._launching_ns / self._launches / 1e9 if self._launches else 0.0

    def _block_s(self) -> float:
        return self._blocks_ns / max(1, self._blocks) / 1e9
