"""Start-ups that are measured as such: a round of them for each launch, before any worker stays.

Between blocks they would let time pass in which the machine changes. As with launches, two rounds are made whatever the
budget.
"""

from typing import TYPE_CHECKING

from harness.clock import Clock
from harness.measure.asking import Asking
from harness.measure.desks import Desk, Desks
from harness.measure.events import Listener, WarmedUp
from harness.measure.first_requests import first_requests
from harness.measure.handle import WorkerLost
from harness.measure.pacing import Pacing
from harness.measure.roster import Roster
from harness.plan.matrix import Plan
from harness.records.scenario import Mode, Scenario

if TYPE_CHECKING:
    from harness.measure.messages import PageCache


class StartUps:
    """All rounds of one run."""

    def __init__(
        self, plan: Plan, *, roster: Roster, desks: Desks, asking: Asking, clock: Clock, emit: Listener
    ) -> None:
        self._plan = plan
        self._roster = roster
        self._desks = desks
        self._asking = asking
        self._clock = clock
        self._emit = emit

    def play(self, pacing: Pacing) -> str:
        """Play them; why there were not as many rounds as launches, "" where there were."""
        pace = self._plan.pace
        for launch in range(pace.launches if self._roster.start_ups else 0):
            if launch >= self._plan.pace.rhythm.needed_launches and not pacing.fits_start_ups(
                alone=not self._roster.in_blocks
            ):
                return f"the budget of {pace.budget_s:g} s had no time for more than {launch} start-ups"
            began = self._clock.now_ns()
            for scenario in self._plan.shuffled(self._roster.start_ups, "load", launch):
                self._emit(pacing.progress(scenario.id))
                self._start_up(scenario, launch)
            pacing.started_up(began)
        return ""

    def _start_up(self, scenario: Scenario, launch: int) -> None:
        """A start of its own, while no other worker is there."""
        page_cache: PageCache = "cold" if scenario.mode is Mode.LOAD_COLD else "warm"
        worker, done = self._desks.start(
            scenario.arm, launch, page_cache=page_cache, dedicated=True, speak_first=scenario.mode.is_load
        )
        if not done.outcome.valid:
            self._roster.lose(scenario, done.outcome)
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
            self._roster.give_up(scenario, lost.outcome, launch=self._plan.pace.launches - 1)
