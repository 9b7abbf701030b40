"""How far a run is against the earlier of its two ends: all blocks played, or the budget spent."""

from collections.abc import Callable
from dataclasses import replace

from harness.core.clock import Clock
from harness.measure.conductor.events import Progress
from harness.plan.matrix import LaunchPolicy, RunLimits

LEAST_TURNS = 50
"""Of a soak, spoken in a block whatever the budget: fewer tell no growth of memory."""


def launches_within(
    budget_s: float, *, wanted: int, launch_policy: LaunchPolicy, launch_s: float, block_s: float = 0.0
) -> int:
    """How many of the launches `wanted` are worth their time; what is needed always is.

    A launch takes `launch_s` seconds, and all together no more of `budget_s` than the rhythm allows. Where that is not
    all of it, and once a block is known to take `block_s`, there are no more than have the fewest blocks each.
    """
    fitting = int(launch_policy.launching * budget_s / launch_s) if launch_s > 0 else wanted
    least_s = launch_s + launch_policy.fewest_blocks * block_s
    with_blocks = int(budget_s / least_s) if block_s > 0 and launch_policy.launching < 1 else wanted
    return min(wanted, max(launch_policy.needed_launches, min(fitting, with_blocks)))


class RunBudget:
    """Keeps what start-ups, launches and blocks took, and tells from it what still fits."""

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
        """Launches that there will be; settled when the first, and its first block, have shown what they take."""

    def take(self, launch_policy: LaunchPolicy) -> None:
        """Divide what is left by another rhythm."""
        self._run_limits = replace(
            self._run_limits, launch_policy=launch_policy, launches=launch_policy.launches or self._run_limits.launches
        )
        self.launches = self._run_limits.launches

    def started_up(self, since_ns: int) -> None:
        """A round of start-ups has taken from `since_ns` until now."""
        self._start_ups += 1
        self._starting_ns += self._clock.now_ns() - since_ns

    def launched(self, since_ns: int, *, groups: int = 1) -> None:
        """The start of a launch, or of one of its `groups` of arms, has taken with its warm-ups from then until now."""
        first = not self._launches
        self._groups = groups
        self._launches += 1 / groups
        self._launching_ns += self._clock.now_ns() - since_ns
        if first:
            self._settle_launches()

    def played(self, wall_ns: int) -> None:
        """A block took so long."""
        self._blocks += 1
        self._blocks_ns += wall_ns
        if self._blocks == 1:
            self._settle_launches()

    def fits_start_ups(self, *, alone: bool) -> bool:
        """Whether a further round of start-ups would end within the budget, or within a launch's part of it.

        `alone` says that nothing else is measured.
        """
        round_s = self._starting_ns / max(1, self._start_ups) / 1e9
        part = 1 if alone else self.launches
        return self._elapsed_s() + round_s <= self._run_limits.budget_s / part

    def fits_launch(self) -> bool:
        """Whether a further launch with one block of each group would end within the budget, as those before went."""
        return self._elapsed_s() + self._needs_s(1, blocks=1) <= self._run_limits.budget_s

    def fits_block(self, launch: int, *, until: float = 1.0) -> bool:
        """Whether a further block would end within the launch's part of what the start-ups left of the budget.

        Where arms take turns, `until` is the part of the launch by whose end this group is to have ended.
        """
        before_s = self._starting_ns / 1e9
        deadline_s = before_s + (self._run_limits.budget_s - before_s) * (launch + until) / self.launches
        return self._elapsed_s() + self._block_s() <= deadline_s

    def soaking(self, soaks: int) -> Callable[[int], bool]:
        """From now on: whether a soak, one of so many, has time for its turn of that number.

        The soaks of a launch and all the rest of it have equal parts of the launch's time.
        """
        began_ns = self._clock.now_ns()
        part_s = self._run_limits.budget_s / self._run_limits.launches / (soaks + 1)

        def fits(turn: int) -> bool:
            passed_s = (self._clock.now_ns() - began_ns) / 1e9
            return turn < LEAST_TURNS or passed_s + passed_s / turn <= part_s

        return fits

    def progress(self, doing: str) -> Progress:
        """The share that is done; what remains is known from the first block on, the budget bounds it before."""
        total = self._run_limits.budget_s
        if self._blocks:
            before_s = self._starting_ns / 1e9
            total = min(total, before_s + self._needs_s(self.launches, blocks=self._run_limits.blocks))
            # What is played whatever the budget may take longer than it.
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
            budget_left_s=max(0.0, self._run_limits.budget_s - elapsed),
        )

    def _settle_launches(self) -> None:
        if self._run_limits.launch_policy.launching < 1:
            self.launches = launches_within(
                self._run_limits.budget_s,
                wanted=self._run_limits.launches,
                launch_policy=self._run_limits.launch_policy,
                launch_s=self._launch_s(),
                block_s=self._blocks_ns / 1e9,
            )

    def _needs_s(self, launches: int, *, blocks: int) -> float:
        """What so many launches take with so many blocks of each group, as those before went."""
        return launches * (self._launch_s() + blocks * self._groups * self._block_s())

    def _elapsed_s(self) -> float:
        return (self._clock.now_ns() - self._start_ns) / 1e9

    def _launch_s(self) -> float:
        return self._launching_ns / self._launches / 1e9 if self._launches else 0.0

    def _block_s(self) -> float:
        return self._blocks_ns / max(1, self._blocks) / 1e9
