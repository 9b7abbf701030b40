"""The conductor runs the arms of a plan in randomised blocks, one worker at a time.

It measures start-ups first. Then, for each launch, it starts every arm's worker, warms the workers up from short texts
to long, runs blocks, and ends the workers. Where memory cannot hold all workers, it takes one group of arms at a time.
It prints and writes nothing: it emits events. It knows no metrics and no verdicts. Only `Watch`, which it calls after
each block, can end a group of blocks or a run before the blocks are done or the budget is spent.
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import count

from harness.core.clock import Clock
from harness.core.records.repetition import Block, Outcome, OutcomeKind, Phase, Repetition
from harness.core.records.scenario import Arm, Scenario, Utterance
from harness.measure.conductor.active_scenarios import ActiveScenarios
from harness.measure.conductor.allocation import Allocation
from harness.measure.conductor.budget import RunBudget
from harness.measure.conductor.dispatch import Dispatcher, Step
from harness.measure.conductor.events import BlockDone, Event, EventHandler
from harness.measure.conductor.memory_groups import Group, arrange_groups, memory_overflow, time_shares
from harness.measure.conductor.memory_needs import MemoryNeeds
from harness.measure.conductor.requests import is_derived
from harness.measure.conductor.start_ups import StartUps
from harness.measure.conductor.steps import StepResult, StepRunner
from harness.measure.conductor.warm_ups import WarmUps
from harness.measure.conductor.watch import Watch, early_endings
from harness.measure.conductor.worker_factory import CanaryWorker, WorkerFactory
from harness.measure.conductor.worker_starts import WorkerStarts
from harness.measure.conductor.workers import WorkerPool
from harness.measure.worker.slicing_checks import Slicing
from harness.plan.matrix import Plan

RESTARTS = 3
"""The most restarts of an arm's lost worker in one run."""


class Conductor:
    """One run. After `run`, `reason` says why it ended, and `complete` whether every launch ran a block."""

    def __init__(
        self, plan: Plan, *, worker_factory: WorkerFactory, clock: Clock, emit: EventHandler, watch: Watch | None = None
    ) -> None:
        self._plan = plan
        self._clock = clock
        self._handler = emit
        self._watch = watch or Watch()
        self._needs = MemoryNeeds(plan)
        self._active_scenarios = ActiveScenarios(plan, clock=clock, emit=self._emit)
        self._slicing = Slicing(plan.run_limits.launch_policy)
        pool = WorkerPool(plan, worker_factory=worker_factory, clock=clock, emit=self._emit, slicing=self._slicing)
        self._worker_pool = pool
        self._starts = WorkerStarts(pool, self._active_scenarios, self._slicing, announce=self._emit_progress)
        self._canary = CanaryWorker(worker_factory)
        self._dispatcher = dispatcher = Dispatcher(plan, worker_factory, self._slicing, lambda: self._budget.left_s)
        self._steps = StepRunner(dispatcher=dispatcher, worker_pool=pool, clock=clock, slicing=self._slicing)
        self._warm_ups = WarmUps(
            plan,
            active_scenarios=self._active_scenarios,
            worker_pool=pool,
            steps=self._steps,
            slicing=self._slicing,
            repeat=self._warm_up,
            emit=self._emit,
        )
        self._budget = RunBudget(plan.run_limits, clock)
        self._allocations: dict[int, Allocation] = defaultdict(Allocation)  # by the number of the group
        self._restarts: dict[Arm, int] = {}
        self._extra_launches = 0
        self._groups: tuple[Group, ...] = ()
        """Groups of the current launch."""
        self._blocks = 0
        """The number of blocks that have ended, which is the number of the next block."""
        self._round = 0
        """Selects the texts of a block. Blocks of different groups with the same texts form a round."""
        self._first_block_arms: frozenset[Arm] = frozenset()
        """Arms that are running their first block of this launch."""
        self._early_ends: list[str] = []
        self.reason, self.complete = "", False

    def run(self) -> None:
        """Run all launches, and always close every worker."""
        self._budget = RunBudget(self._plan.run_limits, self._clock)
        try:
            self._canary.start()
            self.reason = self._start_ups()
            whole = not self.reason
            for launch in count():
                if launch == self._budget.launches:
                    break
                if launch >= self._plan.run_limits.launch_policy.needed_launches and not self._budget.fits_launch():
                    self.reason = f"{self._budget_spent} after {launch} launch{'es' if launch > 1 else ''}"
                    return
                if not self._run_launch(launch):
                    self.complete = True
                    return
                if not self._active_scenarios.alive:
                    self.reason = "every scenario was lost"
                    return
            self.complete = whole
            if self._early_ends and not self.reason:
                self.reason = early_endings(
                    self._early_ends, most_blocks=self._plan.run_limits.blocks, groups=len(self._groups)
                )
        finally:
            self._worker_pool.close_all()
            self._canary.close()

    def _start_ups(self) -> str:
        pool, dispatcher = self._worker_pool, self._dispatcher
        start_ups = StartUps(
            self._plan, self._active_scenarios, pool, dispatcher=dispatcher, clock=self._clock, emit=self._emit
        )
        return start_ups.run(self._budget)

    def _run_launch(self, launch: int) -> bool:
        """Run one launch, group by group. Return False if the run must end."""
        memory = self._plan.run_limits.memory
        self._groups = arrange_groups(self._active_scenarios.in_blocks, needs=self._needs.of, memory=memory)
        overflow = None
        if memory is not None:
            overflow = memory_overflow(self._groups, launch=launch, needs=self._needs.of, memory=memory)
        if overflow is not None:
            self._emit(overflow)
        first = last = self._round
        for number, until in enumerate(time_shares(self._groups, self._plan)):
            self._round = first
            if not self._run_group(number, launch, until=until):
                return False
            last = max(last, self._round)
            for active in list(self._worker_pool):
                if number + 1 == len(self._groups) or active.arm not in self._groups[number + 1].kept:
                    self._worker_pool.close(active.arm)
        self._round = last
        return True

    def _run_group(self, number: int, launch: int, *, until: float) -> bool:
        """Start a group's workers and run its blocks. Return False if the run must end."""
        group = self._groups[number]
        began = self._clock.now_ns()
        self._starts.start_all(self._plan.turned(group.arms, "arms", launch), launch)
        in_group = [each for each in self._active_scenarios.in_blocks if each.arm in group.arms]
        self._warm_ups.run(self._warm_up_order(in_group, launch), launch)
        if not launch and self._slicing.reason and (launch_policy := self._plan.run_limits.launch_policy.otherwise):
            self._budget.use_policy(launch_policy)
        self._budget.launch_done(began, groups=len(self._groups))
        for block in range(self._plan.run_limits.blocks):
            self._first_block_arms = frozenset(group.arms) if block == 0 else frozenset()
            due = self._due(number, launch, until=until, blocks=block)
            if block and due and not self._budget.fits_block(launch, until=until, block_s=self._block_s(number, due)):
                self.reason = self._budget_spent
                break
            if not self._run_block(number, launch, due, reverse=bool(block % 2)):
                break
            self._round += 1
            if reason := self._watch.ends_run():
                self.reason = reason
                return False
            if block + 1 < self._plan.run_limits.blocks and (reason := self._watch.ends_group()):
                self._early_ends.append(f"{reason} after {block + 1}")
                break
        return True

    def _due(self, group: int, launch: int, *, until: float, blocks: int) -> list[Scenario]:
        """The scenarios of the next block: all that are active, if the rest of the blocks fits into the budget."""
        active = self._active(group)
        allocation = self._allocations[group]
        rest_s = (self._plan.run_limits.blocks - blocks) * allocation.cost_s(active)
        in_full = not blocks or not self._plan.run_limits.launch_policy.by_cost
        return allocation.due(active, in_full=in_full or self._budget.fits_block(launch, until=until, block_s=rest_s))

    def _active(self, group: int) -> list[Scenario]:
        return [scenario for scenario in self._groups[group].scenarios if scenario in self._active_scenarios]

    def _block_s(self, group: int, due: Sequence[Scenario]) -> float | None:
        return self._allocations[group].cost_s(due) if self._plan.run_limits.launch_policy.by_cost else None

    def _run_block(self, group: int, launch: int, due: Sequence[Scenario], *, reverse: bool) -> bool:
        """Run the scenarios that are due once. Return False if no scenario is left.

        With `reverse`, the block runs in the reversed order of the block before it. Over such a pair of blocks, the
        effects of position and of the preceding scenario cancel out.
        """
        if not due:
            return False
        shuffled = self._plan.shuffled(self._active(group), "block", self._blocks - reverse)
        order = [scenario for scenario in (reversed(shuffled) if reverse else shuffled) if scenario in due]
        self._allocations[group].count(order)
        started_at, began = self._clock.wall(), self._clock.now_ns()
        self._emit_progress("canary")
        canary = self._canary.read()
        done: list[Repetition] = []

        def finished_block() -> Block:
            wall_ns = self._clock.now_ns() - began
            self._budget.block_done(wall_ns)
            return Block(
                block=self._blocks,
                launch=launch,
                order=tuple(scenario.id for scenario in order),
                started_at=started_at,
                wall_ns=wall_ns,
                canary=canary,
                group=group,
                slice_ns=slice_ns if partners else 0,
                whole=self._slicing.reason,
            )

        partners, slice_ns = self._steps.partners(order), round(self._slicing.slice_s * 1e9)
        try:
            self._synthesise(order, partners, done, self._allocations[group])
        except KeyboardInterrupt:
            # Finished repetitions are valid; an interrupt costs only the current repetition.
            if done:
                self._keep_block(finished_block(), done, query_servers=False)
            raise
        self._slicing.settle()
        self._keep_block(finished_block(), done, query_servers=True)
        return True

    def _synthesise(
        self,
        order: Sequence[Scenario],
        partners: Mapping[Scenario, Sequence[Scenario]],
        done: list[Repetition],
        allocation: Allocation,
    ) -> None:
        """Run one step per scenario and append its repetitions to `done`. The arms of a duel run together."""
        ran: set[Scenario] = set()
        for scenario in order:
            if scenario in ran:
                continue
            position = len(ran)
            ran.add(scenario)
            others = [each for each in partners.get(scenario, ()) if each in self._active_scenarios]
            if others and scenario in self._active_scenarios:
                ran.update(others)
                done += self._repeat_together((scenario, *others), position=position, phase=Phase.MEASURED)
                continue
            fits, began = self._budget.soak_limit(self._soaks()), self._clock.now_ns()
            for repeat in range(scenario.repeats):
                if scenario not in self._active_scenarios or not fits(repeat):
                    break
                done += self._repeat(scenario, position=position, phase=Phase.MEASURED, repeat=repeat)
            allocation.add(scenario, self._clock.now_ns() - began)

    def _soaks(self) -> int:
        """The number of active soaks in one round of the launch."""
        planned = [each for group in self._groups for each in group.scenarios]
        return sum(each.repeats > 1 and each in self._active_scenarios for each in planned)

    def _keep_block(self, block: Block, done: Sequence[Repetition], *, query_servers: bool) -> None:
        """Emit that a block has ended. With `query_servers`, add the statistics that servers report after it."""
        interrupt = None
        try:
            if query_servers:
                block = replace(block, servers=self._worker_pool.server_statistics())
        except KeyboardInterrupt as error:
            # Keep the measurements first.
            interrupt = error
        self._blocks += 1
        self._emit(BlockDone(block=block, repetitions=tuple(done)))
        if interrupt is not None:
            raise interrupt

    def _warm_up_order(self, scenarios: Sequence[Scenario], launch: int) -> list[Scenario]:
        """Originals first, then from short texts to long: a short text must not inherit a longer text's memory.

        The seed decides between equals, so that over the launches each arm of a duel is equally often warmed up last.
        """
        return sorted(
            self._plan.turned(scenarios, "warm-ups", launch),
            key=lambda scenario: (is_derived(scenario, self._plan.scenarios), self._utterance(scenario).characters),
        )

    def _utterance(self, scenario: Scenario, *, repeat: int = 0, ahead: int = 0) -> Utterance:
        """The text of the next block. A server may cache answers: its groups and its warm-up have other texts."""
        return self._plan.utterance(scenario, self._blocks - ahead if scenario.arm.url else self._round, turn=repeat)

    def _warm_up(self, *scenarios: Scenario, observed: bool = False) -> Sequence[Repetition]:
        """Run one warm-up repetition of a scenario, or of the arms of a duel."""
        if len(scenarios) > 1:
            return self._repeat_together(scenarios, position=0, phase=Phase.WARMUP)
        return self._repeat(scenarios[0], position=0, phase=Phase.WARMUP, observed=observed)

    def _repeat(
        self, scenario: Scenario, *, position: int, phase: Phase, repeat: int = 0, observed: bool = False
    ) -> Sequence[Repetition]:
        """Run one step. If the worker is lost, its scenario leaves the run and its arm gets a new worker."""
        self._emit_progress(scenario.id)
        step = self._step(scenario, position=position, phase=phase, repeat=repeat)
        return self._handle_results([self._steps.run_one(scenario, step, observed=observed)])

    def _repeat_together(self, group: Sequence[Scenario], *, position: int, phase: Phase) -> Sequence[Repetition]:
        """Run the arms of a duel at the same time."""
        self._emit_progress(f"{group[0].id} and {' and '.join(each.arm.id for each in group[1:])}")
        step = self._step(group[0], position=position, phase=phase)
        return self._handle_results(self._steps.run_together(group, step))

    def _step(self, scenario: Scenario, *, position: int, phase: Phase, repeat: int = 0) -> Step:
        return Step(
            utterance=self._utterance(scenario, repeat=repeat, ahead=int(phase is Phase.WARMUP)),
            block=self._blocks,
            position=position,
            phase=phase,
            first_block_arms=self._first_block_arms if phase is Phase.MEASURED and not repeat else frozenset(),
        )

    def _handle_results(self, results: Sequence[StepResult]) -> list[Repetition]:
        """The repetitions. A lost scenario leaves the run, and its arm gets a new worker."""
        for each in results:
            if each.lost is not None:
                self._active_scenarios.lose(each.scenario, each.lost)
                self._worker_pool.close(each.scenario.arm)
                self._reopen(each.scenario.arm)
        return [repetition for each in results for repetition in each.repetitions]

    def _reopen(self, arm: Arm) -> None:
        remaining = self._warm_up_order(self._active_scenarios.of_arm(arm), self._restarts.get(arm, 0))
        self._restarts[arm] = self._restarts.get(arm, 0) + 1
        if not remaining:
            return
        if self._restarts[arm] > RESTARTS:
            reason = f"the arm's worker was lost {self._restarts[arm]} times; it is not started again in this run"
            for scenario in remaining:
                outcome = Outcome(kind=OutcomeKind.CRASHED, reason=reason)
                self._active_scenarios.lose_unmeasured(scenario, outcome, launch=self._last_launch)
            return
        # A new process is a new launch: its values must not mix with those of the lost process.
        self._extra_launches += 1
        self._starts.start(arm, self._last_launch)
        for scenario in remaining:
            if arm in self._worker_pool:
                self._warm_ups.warm_up(scenario)

    @property
    def _budget_spent(self) -> str:
        return self._plan.run_limits.spent

    @property
    def _last_launch(self) -> int:
        return self._plan.run_limits.launches - 1 + self._extra_launches

    def _emit(self, event: Event) -> None:
        self._needs.handle(event)
        self._handler(event)

    def _emit_progress(self, doing: str) -> None:
        self._emit(self._budget.progress(doing))
