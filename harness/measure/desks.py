"""The workers of a run: started, loaded with their arms, and ended. Nobody else starts one."""

from collections.abc import Iterator
from dataclasses import dataclass

from harness.clock import Clock
from harness.measure.events import Launched, Listener
from harness.measure.handle import WorkerHandle, WorkerLost
from harness.measure.orders import load_order
from harness.measure.staff import LOAD_TIMEOUT_S, Staff
from harness.plan.matrix import Plan
from harness.records.repetition import Launch, Outcome, OutcomeKind
from harness.records.scenario import Arm


@dataclass(slots=True)
class Desk:
    """An arm at work: its worker, and which launch it belongs to."""

    arm: Arm
    worker: WorkerHandle
    launch: int


class Desks:
    """The arms at work, each at one desk."""

    def __init__(self, plan: Plan, *, staff: Staff, clock: Clock, emit: Listener) -> None:
        self._plan = plan
        self._staff = staff
        self._clock = clock
        self._emit = emit
        self._open: dict[Arm, Desk] = {}

    def __getitem__(self, arm: Arm) -> Desk:
        return self._open[arm]

    def __contains__(self, arm: Arm) -> bool:
        return arm in self._open

    def __iter__(self) -> Iterator[Desk]:
        return iter(self._open.values())

    def open(self, arm: Arm, launch: int, *, speak_first: bool = True) -> Outcome:
        """Start an arm's worker and seat it. Where it cannot be loaded there is no desk, and the outcome says why."""
        worker, done = self.start(arm, launch, speak_first=speak_first)
        if worker is not None and done.outcome.valid:
            self._open[arm] = Desk(arm=arm, worker=worker, launch=launch)
        elif worker is not None:
            worker.close()
        return done.outcome

    def close(self, arm: Arm) -> None:
        """End an arm's worker, where it has one."""
        desk = self._open.pop(arm, None)
        if desk is not None:
            desk.worker.close()

    def close_all(self) -> None:
        """End all that are left."""
        for arm in list(self._open):
            self.close(arm)

    def start(
        self, arm: Arm, launch: int, *, page_cache: str = "warm", dedicated: bool = False, speak_first: bool = True
    ) -> tuple[WorkerHandle | None, Launch]:
        """Start a worker and load its arm, at no desk. The launch is said as an event, whatever came of it."""
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
                outcome=lost.outcome,
            )  # fmt: skip
        except BaseException:
            if worker is not None:
                worker.close()
            raise
        self._emit(Launched(launch=done))
        return worker, done
