"""The conductor of loads: one after the other from light to heavy, each a block of its own with a window of time."""

from collections.abc import Callable, Sequence

from harness.clock import Clock
from harness.measure.conductor import Conductor
from harness.measure.events import Listener
from harness.measure.handle import WorkerLost
from harness.measure.staff import Staff
from harness.plan.matrix import Plan
from harness.records.repetition import Block, Phase, Repetition
from harness.records.scenario import Scenario

Holds = Callable[[Scenario, Block, Sequence[Repetition]], bool]
"""Whether a load was borne, by what was observed of it."""


def try_all(scenario: Scenario, block: Block, repetitions: Sequence[Repetition]) -> bool:
    """No load is a reason to leave out a heavier one."""
    del scenario, block, repetitions
    return True


class LoadConductor(Conductor):
    """Plays scenarios with traffic. Where a load was not borne, heavier ones on that server are not tried."""

    def __init__(self, plan: Plan, *, staff: Staff, clock: Clock, emit: Listener, holds: Holds = try_all) -> None:
        super().__init__(plan, staff=staff, clock=clock, emit=emit)
        self._holds = holds

    def _play_launch(self, launch: int) -> bool:
        for arm in dict.fromkeys(scenario.arm for scenario in self._roster.in_blocks):
            self._open_desk(arm, launch)
        for _ in range(self._plan.pace.blocks):
            for scenario in sorted(self._roster.alive, key=_weight):
                if scenario in self._roster:
                    self._play_load(scenario)
        self._desks.close_all()
        return True

    def _warm_up(self, *scenarios: Scenario, watched: bool = False) -> Sequence[Repetition]:
        """A load warms up by itself, before its window."""
        del scenarios, watched
        return ()

    def _play_load(self, scenario: Scenario) -> None:
        """One load, its canary before it."""
        traffic, desk = scenario.traffic, self._desks[scenario.arm]
        assert traffic is not None  # noqa: S101 - for the type checker; only loads are planned here
        self._say("canary")
        canary = self._canary.read()
        self._say(scenario.id)
        began = self._clock.now_ns()
        seconds, interrupt = traffic.seconds, None
        try:
            crowd = self._asking.crowd(scenario, desk, block=self._blocks, phase=Phase.MEASURED)
        except KeyboardInterrupt as error:
            cut = desk.worker.cut_short()
            seconds = min(seconds, (self._clock.now_ns() - began) / 1e9 - traffic.warm_up_s)
            if cut is None or seconds <= 0:
                raise
            crowd, interrupt = cut, error
        except WorkerLost as lost:
            self._give_up(scenario, lost.outcome)
            self._desks.close(scenario.arm)
            self._reopen(scenario.arm)
            return
        block = Block(
            block=self._blocks,
            launch=desk.launch,
            order=(scenario.id,),
            started_at=crowd.began_at + traffic.warm_up_s,
            wall_ns=round(seconds * 1e9),
            canary=canary,
            load=crowd.note,
        )
        self._pacing.played(self._clock.now_ns() - began)
        self._keep_block(block, crowd.repetitions, ask=interrupt is None)
        if interrupt is not None:
            raise interrupt
        if not self._holds(scenario, block, crowd.repetitions):
            self._leave_out(scenario)

    def _leave_out(self, borne_not: Scenario) -> None:
        heavier = [
            each for each in self._roster.alive if each.arm == borne_not.arm and _weight(each) > _weight(borne_not)
        ]
        for each in heavier:
            self._roster.leave_out(each)
        if heavier and borne_not.traffic is not None:
            names = ", ".join(each.traffic.name for each in heavier if each.traffic)
            self.reason = f"{names}: not tried, since {borne_not.traffic.name} did not meet every target"


def _weight(scenario: Scenario) -> tuple[str, str, float]:
    """Loads of a kind from light to heavy."""
    traffic = scenario.traffic
    return (traffic.arrivals.value, scenario.text_class, traffic.level) if traffic else ("", "", 0.0)
