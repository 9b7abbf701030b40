"""The conductor runs the arms of a plan in randomised blocks, one worker at a time.

It measures start-ups first. Then, for each launch, it starts every arm's worker, warms the workers up from short texts
to long, runs blocks, and ends the workers. Where memory cannot hold all workers, it takes one group of arms at a time.
It prints and writes nothing: it emits events. It knows no metrics and no verdicts. Only `Watch`, which it calls after
each block, can end a group of blocks or a run before the blocks or the budget are used up.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import count

from harness.core.clock import Clock
from harness.core.records.repetition import Block, Outcome, OutcomeKind, Phase, Repetition
from harness.core.records.scenario import Arm, Scenario, Utterance
from harness.measure.conductor.active_scenarios import ActiveScenarios
from harness.measure.conductor.budget import RunBudget
from harness.measure.conductor.dispatch import Dispatcher, Turn
from harness.measure.conductor.events import BlockDone, Event, EventHandler
from harness.measure.conductor.memory_groups import Group, arrange, overfull, shares
from harness.measure.conductor.memory_needs import MemoryNeeds
from harness.measure.conductor.requests import is_derived
from harness.measure.conductor.start_ups import StartUps
from harness.measure.conductor.steps import StepResult, StepRunner
from harness.measure.conductor.warm_ups import WarmUps
from harness.measure.conductor.watch import Watch, early_endings
from harness.measure.conductor.worker_factory import CanaryWorker, WorkerFactory
from harness.measure.conductor.workers import WorkerPool
from harness.measure.worker.slicing_checks import Slicing
from harness.plan.matrix import Plan

RESTARTS = 3
"""How often an arm's worker is started again after it was lost, in one run."""


class Conductor:
    """One run. `play` does it; `reason` then says why it ended, `complete` whether every launch played a block."""

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
        self._worker_pool = WorkerPool(
            plan, worker_factory=worker_factory, clock=clock, emit=self._emit, slicing=self._slicing
        )
        self._canary = CanaryWorker(worker_factory)
        self._dispatcher = Dispatcher(plan, worker_factory, self._slicing)
        self._turns = StepRunner(
            dispatcher=self._dispatcher, worker_pool=self._worker_pool, clock=clock, slicing=self._slicing
        )
        self._warm_ups = WarmUps(
            plan,
            active_scenarios=self._active_scenarios,
            worker_pool=self._worker_pool,
            turns=self._turns,
            slicing=self._slicing,
            repeat=self._warm_up,
            emit=self._emit,
        )
        self._pacing = RunBudget(plan.run_limits, clock)
        self._restarts: dict[Arm, int] = {}
        self._extra_launches = 0
        self._groups: tuple[Group, ...] = ()
        """Of the launch under way."""
        self._blocks = 0
        """Blocks that have ended: the number of the next."""
        self._round = 0
        """Which texts are spoken: blocks of several groups that speak the same make a round."""
        self._opening: frozenset[Arm] = frozenset()
        """Arms whose first block in this launch is under way."""
        self._settled: list[str] = []
        self.reason = ""
        self.complete = False

    def play(self) -> None:
        """Play all launches. Whatever happens, no worker is left behind."""
        self._pacing = RunBudget(self._plan.run_limits, self._clock)
        try:
            self._canary.start()
            self.reason = self._start_ups()
            whole = not self.reason
            for launch in count():
                if launch == self._pacing.launches:
                    break
                if launch >= self._plan.run_limits.launch_policy.needed_launches and not self._pacing.fits_launch():
                    self.reason = f"{self._budget_spent} after {launch} launches"
                    return
                if not self._play_launch(launch):
                    self.complete = True
                    return
                if not self._active_scenarios.alive:
                    self.reason = "every scenario was lost"
                    return
            self.complete = whole
            if self._settled and not self.reason:
                self.reason = early_endings(
                    self._settled, most_blocks=self._plan.run_limits.blocks, groups=len(self._groups)
                )
        finally:
            self._worker_pool.close_all()
            self._canary.close()

    def _start_ups(self) -> str:
        pool, dispatcher = self._worker_pool, self._dispatcher
        start_ups = StartUps(
            self._plan, self._active_scenarios, pool, dispatcher=dispatcher, clock=self._clock, emit=self._emit
        )
        return start_ups.play(self._pacing)

    def _play_launch(self, launch: int) -> bool:
        """Play one launch, group by group; False where the run has been ended."""
        memory = self._plan.run_limits.memory
        self._groups = arrange(self._active_scenarios.in_blocks, needs=self._needs.of, memory=memory)
        if memory is not None and (told := overfull(self._groups, launch=launch, needs=self._needs.of, memory=memory)):
            self._emit(told)
        first = last = self._round
        for number, until in enumerate(shares(self._groups, self._plan)):
            self._round = first
            if not self._play_group(number, launch, until=until):
                return False
            last = max(last, self._round)
            for active in list(self._worker_pool):
                if number + 1 == len(self._groups) or active.arm not in self._groups[number + 1].kept:
                    self._worker_pool.close(active.arm)
        self._round = last
        return True

    def _play_group(self, number: int, launch: int, *, until: float) -> bool:
        """Start a group's workers and play its blocks; False where the run has been ended."""
        group = self._groups[number]
        began = self._clock.now_ns()
        self._start_workers(self._plan.turned(group.arms, "arms", launch), launch)
        in_group = [each for each in self._active_scenarios.in_blocks if each.arm in group.arms]
        self._warm_ups.play(self._warm_up_order(in_group, launch), launch)
        if not launch and self._slicing.reason and (launch_policy := self._plan.run_limits.launch_policy.otherwise):
            self._pacing.take(launch_policy)
        self._pacing.launched(began, groups=len(self._groups))
        for block in range(self._plan.run_limits.blocks):
            self._opening = frozenset(group.arms) if block == 0 else frozenset()
            if block and not self._pacing.fits_block(launch, until=until):
                self.reason = self._budget_spent
                break
            if not self._play_block(number, launch, turned=bool(block % 2)):
                break
            self._round += 1
            if reason := self._watch.ends_run():
                self.reason = reason
                return False
            if block + 1 < self._plan.run_limits.blocks and (reason := self._watch.ends_group()):
                self._settled.append(f"{reason} after {block + 1}")
                break
        return True

    def _play_block(self, group: int, launch: int, *, turned: bool) -> bool:
        """One round of every scenario of a group; False where nothing is left to play.

        Every other block has the order of the one before `turned` round. So no scenario is oftener early in its blocks
        than another, nor oftener spoken after the same neighbour: what a place in a block does cancels out.
        """
        playing = [scenario for scenario in self._groups[group].scenarios if scenario in self._active_scenarios]
        if not playing:
            return False
        order = self._plan.shuffled(playing, "block", self._blocks - turned)
        if turned:
            order.reverse()
        started_at, began = self._clock.wall(), self._clock.now_ns()
        self._say("canary")
        canary = self._canary.read()
        done: list[Repetition] = []

        def played() -> Block:
            wall_ns = self._clock.now_ns() - began
            self._pacing.played(wall_ns)
            return Block(
                block=self._blocks,
                launch=launch,
                order=tuple(scenario.id for scenario in order),
                started_at=started_at,
                wall_ns=wall_ns,
                canary=canary,
                group=group,
                slice_ns=slice_ns if sides else 0,
                whole=self._slicing.reason,
            )

        sides, slice_ns = self._turns.sides(order), round(self._slicing.slice_s * 1e9)
        try:
            self._speak(order, sides, done)
        except KeyboardInterrupt:
            # What was spoken of this block is as good as any; a request to end costs the repetition under way.
            if done:
                self._keep_block(played(), done, ask=False)
            raise
        self._slicing.settle()
        self._keep_block(played(), done, ask=True)
        return True

    def _speak(self, order: Sequence[Scenario], sides: Mapping[Scenario, Scenario], done: list[Repetition]) -> None:
        """One turn of each; `done` gets what was spoken, as it is. Of `sides` both speak when the first is due."""
        spoken: set[Scenario] = set()
        for scenario in order:
            if scenario in spoken:
                continue
            position = len(spoken)
            spoken.add(scenario)
            other = sides.get(scenario)
            if other is not None and scenario in self._active_scenarios and other in self._active_scenarios:
                spoken.add(other)
                done += self._repeat_both((scenario, other), position=position, phase=Phase.MEASURED)
                continue
            soaking = self._pacing.soaking(self._soaks())
            for turn in range(scenario.repeats):
                if scenario not in self._active_scenarios or not soaking(turn):
                    break
                done += self._repeat(scenario, position=position, phase=Phase.MEASURED, turn=turn)

    def _soaks(self) -> int:
        """How many soaks there are in a round of the launch's blocks."""
        played = [each for group in self._groups for each in group.scenarios]
        return sum(each.repeats > 1 and each in self._active_scenarios for each in played)

    def _keep_block(self, block: Block, done: Sequence[Repetition], *, ask: bool) -> None:
        """Say that a block has ended; with `ask`, with what servers say of themselves after it."""
        interrupt = None
        try:
            if ask:
                block = replace(block, servers=self._worker_pool.server_statistics())
        except KeyboardInterrupt as error:
            # What was measured is kept first.
            interrupt = error
        self._blocks += 1
        self._emit(BlockDone(block=block, repetitions=tuple(done)))
        if interrupt is not None:
            raise interrupt

    def _warm_up_order(self, scenarios: Sequence[Scenario], launch: int) -> list[Scenario]:
        """From short texts to long, so that a longer text's memory is not charged to a shorter one; originals first.

        Among equals the seed decides: the arms of a duel are warmed up last, just before the blocks, equally often.
        """
        return sorted(
            self._plan.turned(scenarios, "warm-ups", launch),
            key=lambda scenario: (is_derived(scenario), self._utterance(scenario).characters),
        )

    def _utterance(self, scenario: Scenario, *, turn: int = 0) -> Utterance:
        """What is spoken next. Of a server, which may keep its answers, no group asks what another has asked."""
        return self._plan.utterance(scenario, self._blocks if scenario.arm.url else self._round, turn=turn)

    def _warm_up(self, *scenarios: Scenario, watched: bool = False) -> Sequence[Repetition]:
        """One repetition before anything is measured, or one of both sides of a duel."""
        if len(scenarios) == 2:
            one, other = scenarios
            return self._repeat_both((one, other), position=0, phase=Phase.WARMUP)
        return self._repeat(scenarios[0], position=0, phase=Phase.WARMUP, watched=watched)

    def _repeat(
        self, scenario: Scenario, *, position: int, phase: Phase, turn: int = 0, watched: bool = False
    ) -> Sequence[Repetition]:
        """One repetition, or those of a crowd; a worker that is lost costs its scenario, and its arm gets a new one."""
        self._say(scenario.id)
        when = self._turn(scenario, position=position, phase=phase, turn=turn)
        return self._completed([self._turns.one(scenario, when, watched=watched)])

    def _repeat_both(self, pair: tuple[Scenario, Scenario], *, position: int, phase: Phase) -> Sequence[Repetition]:
        """One repetition of each side of a duel, at the same time."""
        self._say(f"{pair[0].id} and {pair[1].arm.id}")
        return self._completed(self._turns.both(pair, self._turn(pair[0], position=position, phase=phase)))

    def _turn(self, scenario: Scenario, *, position: int, phase: Phase, turn: int = 0) -> Turn:
        return Turn(
            utterance=self._utterance(scenario, turn=turn),
            block=self._blocks,
            position=position,
            phase=phase,
            opening=self._opening if phase is Phase.MEASURED and not turn else frozenset(),
        )

    def _completed(self, taken: Sequence[StepResult]) -> list[Repetition]:
        """What was spoken. Who was lost over it leaves the run, and its arm gets a new worker."""
        for each in taken:
            if each.lost is not None:
                self._active_scenarios.lose(each.scenario, each.lost)
                self._worker_pool.close(each.scenario.arm)
                self._reopen(each.scenario.arm)
        return [repetition for each in taken for repetition in each.repetitions]

    def _start_workers(self, arms: Sequence[Arm], launch: int) -> None:
        """Start the arms' workers, one after the other.

        A duel in slices has many launches. The first has shown that its arms can speak, and what loading them takes:
        in later ones both load at once and speak nothing yet.
        """
        if launch and self._slicing.slice_s:
            self._say(f"loading {' and '.join(arm.id for arm in arms)}")
            for arm, outcome in self._worker_pool.open_at_once(arms, launch).items():
                self._note_load(arm, outcome)
            return
        for arm in arms:
            self._start_worker(arm, launch)

    def _start_worker(self, arm: Arm, launch: int) -> None:
        self._say(f"loading {arm.id}")
        self._note_load(arm, self._worker_pool.open(arm, launch))

    def _note_load(self, arm: Arm, outcome: Outcome) -> None:
        """An arm that cannot be loaded costs all its scenarios."""
        if not outcome.valid:
            for scenario in self._active_scenarios.at_work(arm):
                self._active_scenarios.lose(scenario, outcome)

    def _reopen(self, arm: Arm) -> None:
        remaining = self._warm_up_order(self._active_scenarios.at_work(arm), self._restarts.get(arm, 0))
        self._restarts[arm] = self._restarts.get(arm, 0) + 1
        if not remaining:
            return
        if self._restarts[arm] > RESTARTS:
            reason = f"the arm's worker was lost {self._restarts[arm]} times; it is not started again in this run"
            for scenario in remaining:
                outcome = Outcome(kind=OutcomeKind.CRASHED, reason=reason)
                self._active_scenarios.give_up(scenario, outcome, launch=self._last_launch)
            return
        # A new process is a new launch: its figures must not be taken for those of the lost one.
        self._extra_launches += 1
        self._start_worker(arm, self._last_launch)
        for scenario in remaining:
            if arm in self._worker_pool:
                self._warm_ups.warm_up(scenario)

    @property
    def _budget_spent(self) -> str:
        return f"the budget of {self._plan.run_limits.budget_s:g} s was spent"

    @property
    def _last_launch(self) -> int:
        return self._plan.run_limits.launches - 1 + self._extra_launches

    def _emit(self, event: Event) -> None:
        self._needs.handle(event)
        self._handler(event)

    def _say(self, doing: str) -> None:
        self._emit(self._pacing.progress(doing))
