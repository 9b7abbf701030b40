"""The conductor: plays the arms of a plan against one another, one worker at a time, in blocks of random order.

Start-ups that are measured as such come first. Then, for each launch, it starts the arms' workers anew, warms them up
from short texts to long, plays blocks, and ends them.
It prints nothing and writes nothing; what it sees it says as events. It knows nothing of metrics or verdicts: `Watch`,
asked after each block, is all that can end a launch or a run before its blocks or its budget do.
"""

import random
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import count
from typing import TypeVar

from harness.clock import Clock
from harness.measure.asking import Asking, Desk
from harness.measure.events import BlockDone, Launched, Listener, ScenarioLost, WarmedUp
from harness.measure.first_requests import first_requests
from harness.measure.handle import WorkerHandle, WorkerLost
from harness.measure.orders import NO_BLOCK, is_derived, load_order
from harness.measure.pacing import NEEDED_LAUNCHES, Pacing
from harness.measure.staff import LOAD_TIMEOUT_S, CanaryKeeper, Staff, ask_server
from harness.plan.matrix import Plan
from harness.records.repetition import (
    Block,
    Canary,
    Launch,
    Outcome,
    OutcomeKind,
    Phase,
    Repetition,
    ServerFigures,
)
from harness.records.scenario import Arm, Mode, Scenario

RESTARTS = 3
"""How often an arm's worker is started again after it was lost, in one run."""

Thing = TypeVar("Thing")


def never() -> str:
    """No reason to stop before the blocks or the budget do."""
    return ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Watch:
    """What is asked after each block: for the reason to end the run here, or the launch; "" to go on."""

    ends_run: Callable[[], str] = never
    ends_launch: Callable[[], str] = never


class Conductor:
    """One run. `play` does it; `reason` then says why it ended, `complete` whether every launch played a block."""

    def __init__(self, plan: Plan, *, staff: Staff, clock: Clock, emit: Listener, watch: Watch | None = None) -> None:
        self._plan = plan
        self._staff = staff
        self._clock = clock
        self._emit = emit
        self._watch = watch or Watch()
        self._alive = list(plan.scenarios)
        self._desks: dict[Arm, Desk] = {}
        self._canary = CanaryKeeper(staff)
        self._asking = Asking(plan, staff)
        self._pacing = Pacing(plan.pace, clock)
        self._restarts: dict[Arm, int] = {}
        self._extra_launches = 0
        self._blocks = 0
        self._opening = False
        self._settled: list[str] = []
        self.reason = ""
        self.complete = False

    def play(self) -> None:
        """Play all launches. Whatever happens, no worker is left behind."""
        self._pacing = Pacing(self._plan.pace, self._clock)
        try:
            self._canary.start()
            whole = self._play_start_ups()
            for launch in count():
                if launch == self._pacing.launches:
                    break
                if launch >= NEEDED_LAUNCHES and not self._pacing.fits_launch():
                    self.reason = f"the budget of {self._plan.pace.budget_s:g} s was spent after {launch} launches"
                    return
                if not self._play_launch(launch):
                    self.complete = True
                    return
                if not self._alive:
                    self.reason = "every scenario was lost"
                    return
            self.complete = whole
            if self._settled and not self.reason:
                self.reason = self._how_settled()
        finally:
            self._close_all()

    def _play_launch(self, launch: int) -> bool:
        """Play one launch; False where `enough` has ended the run."""
        began = self._clock.now_ns()
        for arm in self._shuffled(self._arms_at_work(), "arms", launch):
            self._open_desk(arm, launch)
        for scenario in self._warm_up_order():
            self._warm_up(scenario)
        self._pacing.launched(began)
        for number in range(self._plan.pace.blocks):
            self._opening = number == 0
            if number and not self._pacing.fits_block(launch):
                self.reason = f"the budget of {self._plan.pace.budget_s:g} s was spent"
                break
            if not self._play_block(launch, number):
                break
            if reason := self._watch.ends_run():
                self.reason = reason
                return False
            if number + 1 < self._plan.pace.blocks and (reason := self._watch.ends_launch()):
                self._settled.append(f"{reason} after {number + 1}")
                break
        for arm in list(self._desks):
            self._close_desk(arm)
        return True

    def _how_settled(self) -> str:
        """That launches ended early, and why: one sentence for those that give the same."""
        sentences = Counter(self._settled)
        of = f"of at most {self._plan.pace.blocks} blocks"
        return "; ".join(
            f"{said} {of}" + (f" ({times} launches)" if times > 1 else "") for said, times in sentences.items()
        )

    def _play_block(self, launch: int, number: int) -> bool:
        """One round of every scenario, the launch's `number`th; False where nothing is left to play.

        Every other block has the order of the one before turned round. So no scenario is oftener early in its blocks
        than another, nor oftener spoken after the same neighbour: what a place in a block does cancels out.
        """
        playing = [scenario for scenario in self._alive if not scenario.mode.starts_alone]
        if not playing:
            return False
        turned = number % 2
        order = self._shuffled(playing, "block", self._blocks - turned)
        if turned:
            order.reverse()
        started_at, began = self._clock.wall(), self._clock.now_ns()
        self._say("canary")
        canary = self._canary.read()
        done: list[Repetition] = []
        try:
            for position, scenario in enumerate(order):
                soaking = self._pacing.soaking(sum(each.repeats > 1 for each in playing))
                for turn in range(scenario.repeats):
                    if scenario not in self._alive or not soaking(turn):
                        break
                    done += self._repeat(scenario, position=position, phase=Phase.MEASURED, turn=turn)
        except KeyboardInterrupt:
            # What was spoken of this block is as good as any; a request to end costs the repetition under way.
            if done:
                self._end_block(launch, order, canary, done, started_at=started_at, began=began)
            raise
        self._end_block(launch, order, canary, done, started_at=started_at, began=began, ask=True)
        return True

    def _servers(self) -> tuple[tuple[str, ServerFigures], ...]:
        """What every server says of itself now."""
        return tuple((arm.id, ask_server(desk.worker)) for arm, desk in self._desks.items() if arm.url)

    def _end_block(
        self,
        launch: int,
        order: list[Scenario],
        canary: Canary,
        done: list[Repetition],
        *,
        started_at: float,
        began: int,
        ask: bool = False,
    ) -> None:
        wall_ns = self._clock.now_ns() - began
        block = Block(
            block=self._blocks,
            launch=launch,
            order=tuple(scenario.id for scenario in order),
            started_at=started_at,
            wall_ns=wall_ns,
            canary=canary,
        )
        self._pacing.played(wall_ns)
        self._keep_block(block, done, ask=ask)

    def _keep_block(self, block: Block, done: Sequence[Repetition], *, ask: bool) -> None:
        """Say that a block has ended; with `ask`, with what servers say of themselves after it."""
        interrupt = None
        try:
            if ask:
                block = replace(block, servers=self._servers())
        except KeyboardInterrupt as error:
            # What was measured is kept first.
            interrupt = error
        self._blocks += 1
        self._emit(BlockDone(block=block, repetitions=tuple(done)))
        if interrupt is not None:
            raise interrupt

    def _warm_up(self, scenario: Scenario) -> None:
        for _ in range(self._plan.pace.warmups):
            if scenario not in self._alive:
                return
            for repetition in self._repeat(scenario, position=0, phase=Phase.WARMUP):
                self._emit(WarmedUp(repetition=repetition))

    def _warm_up_order(self) -> list[Scenario]:
        """From short texts to long, so that a longer text's memory is not charged to a shorter one; originals first."""
        return sorted(
            (scenario for scenario in self._alive if not scenario.mode.starts_alone),
            key=lambda scenario: (
                is_derived(scenario),
                self._plan.utterance(scenario, self._blocks).characters,
                scenario.id,
            ),
        )

    def _repeat(self, scenario: Scenario, *, position: int, phase: Phase, turn: int = 0) -> Sequence[Repetition]:
        """One repetition, or those of a crowd; a worker that is lost costs its scenario, and its arm gets a new one."""
        desk = self._desks[scenario.arm]
        utterance = self._plan.utterance(scenario, self._blocks, turn=turn)
        self._say(scenario.id)
        began_at, began = self._clock.wall(), self._clock.now_ns()
        try:
            return self._asking.repetitions(
                scenario,
                desk,
                block=self._blocks,
                turn=turn,
                position=position,
                phase=phase,
                opening=phase is Phase.MEASURED and self._opening and not turn,
            )
        except WorkerLost as lost:
            outcome = Outcome(kind=lost.kind, reason=lost.reason, stderr_tail=lost.stderr_tail)
        repetition = Repetition(
            scenario_id=scenario.id, launch=desk.launch, block=self._blocks if phase is Phase.MEASURED else NO_BLOCK,
            position=position, phase=phase, variant=utterance.variant, characters=utterance.characters,
            started_at=began_at, end_ns=self._clock.now_ns() - began, outcome=outcome,
        )  # fmt: skip
        self._lose(scenario, outcome)
        self._close_desk(scenario.arm)
        self._reopen(scenario.arm)
        return [repetition]

    def _play_start_ups(self) -> bool:
        """A round of start-ups for each launch, before any worker stays; False where the budget had no time for all.

        Between blocks they would let time pass in which the machine changes. As with launches, two rounds are made
        whatever the budget.
        """
        for launch in range(self._plan.pace.launches if self._dedicated() else 0):
            if launch >= NEEDED_LAUNCHES and not self._pacing.fits_start_ups(alone=not self._arms_at_work()):
                self.reason = (
                    f"the budget of {self._plan.pace.budget_s:g} s had no time for more than {launch} start-ups"
                )
                return False
            began = self._clock.now_ns()
            self._start_up(launch)
            self._pacing.started_up(began)
        return True

    def _start_up(self, launch: int) -> None:
        """A start of its own for each scenario that is about one, while no other worker is there."""
        for scenario in self._shuffled(self._dedicated(), "load", launch):
            self._say(scenario.id)
            page_cache = "cold" if scenario.mode is Mode.LOAD_COLD else "warm"
            worker, done = self._launch(
                scenario.arm, launch, page_cache=page_cache, dedicated=True, speak_first=scenario.mode.is_load
            )
            if not done.outcome.valid:
                self._lose(scenario, done.outcome)
            if worker is not None:
                try:
                    if done.outcome.valid and not scenario.mode.is_load:
                        self._ask_first(scenario, Desk(arm=scenario.arm, worker=worker, launch=launch))
                finally:
                    worker.close()

    def _ask_first(self, scenario: Scenario, desk: Desk) -> None:
        """What a process is asked for that has spoken nothing yet."""
        try:
            for repetition in first_requests(self._plan, self._asking, scenario, desk):
                self._emit(WarmedUp(repetition=repetition))
        except WorkerLost as lost:
            self._give_up(scenario, Outcome(kind=lost.kind, reason=lost.reason, stderr_tail=lost.stderr_tail))

    def _dedicated(self) -> list[Scenario]:
        return [scenario for scenario in self._alive if scenario.mode.starts_alone]

    def _arms_at_work(self) -> list[Arm]:
        return list(dict.fromkeys(scenario.arm for scenario in self._alive if not scenario.mode.starts_alone))

    def _open_desk(self, arm: Arm, launch: int) -> None:
        """Start an arm's worker; an arm that cannot be loaded costs all its scenarios."""
        self._say(f"loading {arm.id}")
        worker, done = self._launch(arm, launch, page_cache="warm", dedicated=False)
        if worker is not None and done.outcome.valid:
            self._desks[arm] = Desk(arm=arm, worker=worker, launch=launch)
            return
        if worker is not None:
            worker.close()
        for scenario in [each for each in self._alive if each.arm == arm and not each.mode.starts_alone]:
            self._lose(scenario, done.outcome)

    def _reopen(self, arm: Arm) -> None:
        remaining = [scenario for scenario in self._warm_up_order() if scenario.arm == arm]
        self._restarts[arm] = self._restarts.get(arm, 0) + 1
        if not remaining:
            return
        if self._restarts[arm] > RESTARTS:
            reason = f"the arm's worker was lost {self._restarts[arm]} times; it is not started again in this run"
            for scenario in remaining:
                self._give_up(scenario, Outcome(kind=OutcomeKind.CRASHED, reason=reason))
            return
        # A new process is a new launch: its figures must not be taken for those of the lost one.
        self._extra_launches += 1
        self._open_desk(arm, self._plan.pace.launches - 1 + self._extra_launches)
        for scenario in remaining:
            if arm in self._desks:
                self._warm_up(scenario)

    def _give_up(self, scenario: Scenario, outcome: Outcome) -> None:
        """Lose a scenario that nothing happened to: its record says why there is no more of it."""
        utterance = self._plan.utterance(scenario, self._blocks)
        launch = self._plan.pace.launches - 1 + self._extra_launches
        repetition = Repetition(
            scenario_id=scenario.id, launch=launch, block=NO_BLOCK, position=0,
            phase=Phase.WARMUP, variant=utterance.variant, characters=utterance.characters,
            started_at=self._clock.wall(), end_ns=0, outcome=outcome,
        )  # fmt: skip
        self._emit(WarmedUp(repetition=repetition))
        self._lose(scenario, outcome)

    def _launch(
        self, arm: Arm, launch: int, *, page_cache: str, dedicated: bool, speak_first: bool = True
    ) -> tuple[WorkerHandle | None, Launch]:
        """Start a worker and load its arm. The launch is said as an event, whatever came of it."""
        worker = None
        started_at = self._clock.wall()
        try:
            if reason := self._staff.refusals.get(arm.id):
                raise WorkerLost(OutcomeKind.REFUSED, reason)
            worker = self._staff.start(self._staff.place(arm))
            order = load_order(
                arm,
                self._staff.files(arm),
                plan=self._plan,
                launch=launch,
                page_cache=page_cache,
                dedicated=dedicated,
                speak_first=speak_first,
            )
            done = worker.load(order, timeout_s=LOAD_TIMEOUT_S)
        except WorkerLost as lost:
            if worker is not None:
                worker.close()
                worker = None
            done = Launch(
                arm_id=arm.id, launch=launch, started_at=started_at, page_cache=page_cache, dedicated=dedicated,
                outcome=Outcome(kind=lost.kind, reason=lost.reason, stderr_tail=lost.stderr_tail),
            )  # fmt: skip
        except BaseException:
            if worker is not None:
                worker.close()
            raise
        self._emit(Launched(launch=done))
        return worker, done

    def _lose(self, scenario: Scenario, outcome: Outcome) -> None:
        if scenario in self._alive:
            self._alive.remove(scenario)
            self._emit(ScenarioLost(scenario_id=scenario.id, outcome=outcome))

    def _close_desk(self, arm: Arm) -> None:
        desk = self._desks.pop(arm, None)
        if desk is not None:
            desk.worker.close()

    def _close_all(self) -> None:
        for arm in list(self._desks):
            self._close_desk(arm)
        self._canary.close()

    def _shuffled(self, things: list[Thing], what: str, number: int) -> list[Thing]:
        """In an order that the run's seed decides, and nothing that was drawn before."""
        shuffled = list(things)
        random.Random(f"{self._plan.pace.seed}/{what}/{number}").shuffle(shuffled)  # noqa: S311 - an order, no secret
        return shuffled

    def _say(self, doing: str) -> None:
        self._emit(self._pacing.progress(doing))
