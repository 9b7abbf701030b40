"""Runs load tests in order from light to heavy. Each load is one block with a time window."""

from collections.abc import Callable, Sequence
from functools import partial

from harness.core.clock import Clock
from harness.core.records.repetition import Block, Phase, Repetition
from harness.core.records.scenario import Scenario, Traffic
from harness.measure.conductor.conductor import Conductor
from harness.measure.conductor.events import EventHandler, Progress
from harness.measure.conductor.worker_factory import WorkerFactory
from harness.measure.worker.handle import Overdue
from harness.measure.worker.worker_lost import WorkerLost
from harness.plan.matrix import Plan

STARTING_S = 1.0
"""Seconds a client needs to start a load and to evaluate its responses. After a load's end it may work this long."""

IsSustained = Callable[[Scenario, Block, Sequence[Repetition]], bool]
"""Decides from the repetitions of a block whether the server sustained the load."""


def try_every_load(scenario: Scenario, block: Block, repetitions: Sequence[Repetition]) -> bool:
    """Accept every load, so that no heavier load is skipped."""
    del scenario, block, repetitions
    return True


class LoadConductor(Conductor):
    """Runs scenarios with traffic. If a server does not sustain a load, heavier loads on that server are skipped."""

    def __init__(
        self,
        plan: Plan,
        *,
        worker_factory: WorkerFactory,
        clock: Clock,
        emit: EventHandler,
        holds: IsSustained = try_every_load,
    ) -> None:
        super().__init__(plan, worker_factory=worker_factory, clock=clock, emit=emit)
        self._holds = holds
        self._done_planned_s = 0.0
        """The planned upper bound, in s, of the loads that have ended."""
        self._remaining = [each for each in plan.scenarios if each.traffic is not None]
        """Loads left in this round; the current one comes first."""
        self._rounds_left = plan.run_limits.blocks - 1

    def _run_launch(self, launch: int) -> bool:
        for arm in dict.fromkeys(scenario.arm for scenario in self._active_scenarios.in_blocks):
            self._starts.start(arm, launch)
        for number in range(self._plan.run_limits.blocks):
            self._rounds_left = self._plan.run_limits.blocks - number - 1
            self._remaining = sorted(self._active_scenarios.alive, key=_load_order)
            while self._remaining:
                scenario = self._remaining[0]
                if scenario in self._active_scenarios:
                    self._run_load(scenario)
                self._remaining.remove(scenario)
        self._worker_pool.close_all()
        return True

    def _warm_up(self, *scenarios: Scenario, observed: bool = False) -> Sequence[Repetition]:
        """Do nothing: a load has its own warm-up before its window."""
        del scenarios, observed
        return ()

    def _run_load(self, scenario: Scenario) -> None:
        """Run one load after a canary reading."""
        traffic, active = scenario.traffic, self._worker_pool[scenario.arm]
        assert traffic is not None  # noqa: S101 - for the type checker; only loads are planned here
        self._emit_progress("canary")
        canary = self._canary.read()
        self._emit_progress(scenario.id)
        began = self._clock.now_ns()
        seconds, interrupt = traffic.seconds, None
        overdue = Overdue(after_s=traffic.total_s + STARTING_S, call=partial(self._emit_draining, scenario, traffic))
        try:
            answer = self._dispatcher.concurrent(
                scenario, active, block=self._blocks, phase=Phase.MEASURED, overdue=overdue
            )
        except KeyboardInterrupt as error:
            cut = active.worker.cut_short()
            seconds = min(seconds, (self._clock.now_ns() - began) / 1e9 - traffic.warm_up_s)
            if cut is None or seconds <= 0:
                raise
            answer, interrupt = cut, error
        except WorkerLost as lost:
            self._active_scenarios.lose_unmeasured(scenario, lost.outcome, launch=self._last_launch)
            self._worker_pool.close(scenario.arm)
            self._reopen(scenario.arm)
            return
        block = Block(
            block=self._blocks,
            launch=active.launch,
            order=(scenario.id,),
            started_at=answer.began_at + traffic.warm_up_s,
            wall_ns=round(seconds * 1e9),
            canary=canary,
            load=answer.note,
        )
        self._budget.block_done(self._clock.now_ns() - began)
        self._done_planned_s += traffic.longest_s
        self._keep_block(block, answer.repetitions, query_servers=interrupt is None)
        if interrupt is not None:
            raise interrupt
        if not self._holds(scenario, block, answer.repetitions):
            self._skip(scenario)

    def _emit_progress(self, doing: str) -> None:
        """Report the current activity and an upper bound on the remaining time, including the current load."""
        self._emit(self._progress(doing))

    def _emit_draining(self, scenario: Scenario, traffic: Traffic) -> None:
        """Report that a load has ended and that its last answers are still pending."""
        self._emit(self._progress(f"{scenario.id}: waiting for its last answers", passed_s=traffic.total_s))

    def _progress(self, doing: str, *, passed_s: float = 0.0) -> Progress:
        alive = [each for each in self._active_scenarios.alive if each.traffic is not None]
        left = [each for each in self._remaining if each in self._active_scenarios] + alive * self._rounds_left
        left_s = sum(each.traffic.longest_s for each in left if each.traffic is not None) - passed_s
        done_s = self._done_planned_s + passed_s
        share = done_s / (done_s + left_s) if done_s + left_s > 0 else 1.0
        return Progress(doing=doing, share=share, remaining_s=left_s, budget_left_s=left_s, at_most=True)

    def _skip(self, failed: Scenario) -> None:
        heavier = [
            each
            for each in self._active_scenarios.alive
            if each.arm == failed.arm and _load_order(each) > _load_order(failed)
        ]
        for each in heavier:
            self._active_scenarios.skip(each)
        if heavier and failed.traffic is not None:
            names = ", ".join(each.traffic.name for each in heavier if each.traffic)
            self.reason = f"{names}: not tried, since {failed.traffic.name} did not meet every target"


def _load_order(scenario: Scenario) -> tuple[str, str, float]:
    """Sort key: loads of one kind in order from light to heavy."""
    traffic = scenario.traffic
    return (traffic.arrivals.value, scenario.text_class, traffic.level) if traffic else ("", "", 0.0)
