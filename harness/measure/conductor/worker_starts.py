"""Starts the workers of a launch. An arm that cannot be loaded loses its scenarios."""

from collections.abc import Callable, Sequence

from harness.core.records.repetition import Outcome
from harness.core.records.scenario import Arm
from harness.measure.conductor.active_scenarios import ActiveScenarios
from harness.measure.conductor.workers import WorkerPool
from harness.measure.worker.slicing_checks import Slicing


class WorkerStarts:
    """The worker starts of one run. `announce` is called with what is being done."""

    def __init__(
        self,
        worker_pool: WorkerPool,
        active_scenarios: ActiveScenarios,
        slicing: Slicing,
        *,
        announce: Callable[[str], None],
    ) -> None:
        self._worker_pool = worker_pool
        self._active_scenarios = active_scenarios
        self._slicing = slicing
        self._announce = announce

    def start_all(self, arms: Sequence[Arm], launch: int) -> None:
        """Start the arms' workers, one after the other.

        A duel in slices has many launches. Only its first launch measures loading. In later launches both arms load in
        parallel, without a first inference.
        """
        if launch and self._slicing.slice_s:
            self._announce(f"loading {' and '.join(arm.id for arm in arms)}")
            for arm, outcome in self._worker_pool.open_at_once(arms, launch).items():
                self._handle_load(arm, outcome)
            return
        for arm in arms:
            self.start(arm, launch)

    def start(self, arm: Arm, launch: int) -> None:
        self._announce(f"loading {arm.id}")
        self._handle_load(arm, self._worker_pool.open(arm, launch))

    def _handle_load(self, arm: Arm, outcome: Outcome) -> None:
        if not outcome.valid:
            for scenario in self._active_scenarios.of_arm(arm):
                self._active_scenarios.lose(scenario, outcome)
