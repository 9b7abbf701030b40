"""The conductor of loads: one after the other from light to heavy, each a block of its own with a window of time."""

from collections.abc import Callable, Sequence
from functools import partial

from harness.core.clock import Clock
from harness.core.records.repetition import Block, Phase, Repetition
from harness.core.records.scenario import Scenario, Traffic
from harness.measure.conductor.conductor import Conductor
from harness.measure.conductor.events import EventHandler, Progress
from harness.measure.conductor.worker_factory import WorkerFactory
from harness.measure.worker.handle import Overdue, WorkerLost
from harness.plan.matrix import Plan

STARTING_S = 1.0
"""For a client to begin a load, and to judge what came: so long after a load's end it may still be at work."""

Holds = Callable[[Scenario, Block, Sequence[Repetition]], bool]
"""Whether a load was borne, by what was observed of it."""


def try_all(scenario: Scenario, block: Block, repetitions: Sequence[Repetition]) -> bool:
    """No load is a reason to leave out a heavier one."""
    del scenario, block, repetitions
    return True


class LoadConductor(Conductor):
    """Plays scenarios with traffic. Where a load was not borne, heavier ones on that server are not tried."""

    def __init__(
        self, plan: Plan, *, worker_factory: WorkerFactory, clock: Clock, emit: EventHandler, holds: Holds = try_all
    ) -> None:
        super().__init__(plan, worker_factory=worker_factory, clock=clock, emit=emit)
        self._holds = holds
        self._played_s = 0.0
        """Seconds that the loads played so far were planned to take at most."""
        self._waiting = [each for each in plan.scenarios if each.traffic is not None]
        """Loads of this round, the one under way first."""
        self._rounds_left = plan.run_limits.blocks - 1

    def _play_launch(self, launch: int) -> bool:
        for arm in dict.fromkeys(scenario.arm for scenario in self._active_scenarios.in_blocks):
            self._start_worker(arm, launch)
        for number in range(self._plan.run_limits.blocks):
            self._rounds_left = self._plan.run_limits.blocks - number - 1
            self._waiting = sorted(self._active_scenarios.alive, key=_weight)
            while self._waiting:
                scenario = self._waiting[0]
                if scenario in self._active_scenarios:
                    self._play_load(scenario)
                self._waiting.remove(scenario)
        self._worker_pool.close_all()
        return True

    def _warm_up(self, *scenarios: Scenario, watched: bool = False) -> Sequence[Repetition]:
        """A load warms up by itself, before its window."""
        del scenarios, watched
        return ()

    def _play_load(self, scenario: Scenario) -> None:
        """One load, its canary before it."""
        traffic, active = scenario.traffic, self._worker_pool[scenario.arm]
        assert traffic is not None  # noqa: S101 - for the type checker; only loads are planned here
        self._say("canary")
        canary = self._canary.read()
        self._say(scenario.id)
        began = self._clock.now_ns()
        seconds, interrupt = traffic.seconds, None
        overdue = Overdue(after_s=traffic.total_s + STARTING_S, tell=partial(self._say_draining, scenario, traffic))
        try:
            crowd = self._dispatcher.crowd(scenario, active, block=self._blocks, phase=Phase.MEASURED, overdue=overdue)
        except KeyboardInterrupt as error:
            cut = active.worker.cut_short()
            seconds = min(seconds, (self._clock.now_ns() - began) / 1e9 - traffic.warm_up_s)
            if cut is None or seconds <= 0:
                raise
            crowd, interrupt = cut, error
        except WorkerLost as lost:
            self._active_scenarios.give_up(scenario, lost.outcome, launch=self._last_launch)
            self._worker_pool.close(scenario.arm)
            self._reopen(scenario.arm)
            return
        block = Block(
            block=self._blocks,
            launch=active.launch,
            order=(scenario.id,),
            started_at=crowd.began_at + traffic.warm_up_s,
            wall_ns=round(seconds * 1e9),
            canary=canary,
            load=crowd.note,
        )
        self._pacing.played(self._clock.now_ns() - began)
        self._played_s += traffic.longest_s
        self._keep_block(block, crowd.repetitions, ask=interrupt is None)
        if interrupt is not None:
            raise interrupt
        if not self._holds(scenario, block, crowd.repetitions):
            self._leave_out(scenario)

    def _say(self, doing: str) -> None:
        """Say what is done, and how long all loads that are left take at most, this one and its answers included."""
        self._emit(self._progress(doing))

    def _say_draining(self, scenario: Scenario, traffic: Traffic) -> None:
        """Say that a load is over, and that its last answers are waited for."""
        self._emit(self._progress(f"{scenario.id}: waiting for its last answers", passed_s=traffic.total_s))

    def _progress(self, doing: str, *, passed_s: float = 0.0) -> Progress:
        """`passed_s` of the load under way lie behind."""
        alive = [each for each in self._active_scenarios.alive if each.traffic is not None]
        left = [each for each in self._waiting if each in self._active_scenarios] + alive * self._rounds_left
        left_s = sum(each.traffic.longest_s for each in left if each.traffic is not None) - passed_s
        done_s = self._played_s + passed_s
        share = done_s / (done_s + left_s) if done_s + left_s > 0 else 1.0
        return Progress(doing=doing, share=share, remaining_s=left_s, budget_left_s=left_s, at_most=True)

    def _leave_out(self, borne_not: Scenario) -> None:
        heavier = [
            each
            for each in self._active_scenarios.alive
            if each.arm == borne_not.arm and _weight(each) > _weight(borne_not)
        ]
        for each in heavier:
            self._active_scenarios.leave_out(each)
        if heavier and borne_not.traffic is not None:
            names = ", ".join(each.traffic.name for each in heavier if each.traffic)
            self.reason = f"{names}: not tried, since {borne_not.traffic.name} did not meet every target"


def _weight(scenario: Scenario) -> tuple[str, str, float]:
    """Loads of a kind from light to heavy."""
    traffic = scenario.traffic
    return (traffic.arrivals.value, scenario.text_class, traffic.level) if traffic else ("", "", 0.0)
