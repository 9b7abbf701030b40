"""One worker is looked at while it speaks: by a worker whose course is written down, and by a real one."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NoReturn, cast

import pytest

from harness.core.records.repetition import OutcomeKind, Phase, Repetition
from harness.measure.system.thread_states import LOCKED, SLEEP, TIMED_LOCK, WORKING, Snapshot
from harness.measure.worker.handle import HERE, ProcessHandle, WorkerLost
from harness.measure.worker.observed_synthesis import synthesise_observed
from harness.measure.worker.pause import SUPPORTED, Doing, ProcessPauser
from harness.measure.worker.protocol import SpeakOrder
from harness.measure.worker.time_slicing import Speaking, haltable
from tests.measure.requests_sent import PATIENCE_S, load_order, speak_order

SPOKEN = Repetition(
    scenario_id="a", launch=0, block=0, position=0, phase=Phase.WARMUP, variant=0, characters=1, started_at=0, end_ns=1
)
Course = Sequence[tuple[Doing, Snapshot]]


@dataclass
class Written:
    """A worker, and its halter: at each look it is at the next place of its course, and answers after the last."""

    course: Course
    at_all: list[bool] = field(default_factory=list)
    place: int = -1
    halted: bool = False

    @property
    def pauser(self) -> ProcessPauser:
        return cast("ProcessPauser", self)

    @property
    def doing(self) -> Doing:
        return self.course[min(self.place, len(self.course) - 1)][0]

    def begin(self, order: SpeakOrder) -> None:
        del order

    def go_on(self) -> None:
        assert not self.halted

    def heard(self, order: SpeakOrder, *, within_s: float) -> Repetition | None:
        del order
        assert within_s > 0
        self.place += 1
        return SPOKEN if self.place >= len(self.course) else None

    def look(self, *, at_all: bool) -> Snapshot:
        self.at_all.append(at_all)
        return self.course[min(self.place, len(self.course) - 1)][1]

    def give_up(self, order: SpeakOrder, *, after_s: float) -> NoReturn:
        del order
        raise WorkerLost(OutcomeKind.TIMEOUT, f"after {after_s}")


def watch(course: Course) -> tuple[Written, Speaking, list[str]]:
    worker = Written(course)
    side = Speaking(worker=worker, order=speak_order())
    looks = synthesise_observed(side, timeout_s=PATIENCE_S, look_every_s=0.001)
    return worker, side, [state.doing for state in looks.states()]


def test_only_the_timed_part_counts() -> None:
    working, sleeping = Snapshot(main=WORKING), Snapshot(main=SLEEP)
    course = [
        (Doing.OTHER, sleeping),
        (Doing.SYNTHESIS, working),
        (Doing.SYNTHESIS, sleeping),
        (Doing.OWN_WAIT, working),
        (Doing.OTHER, sleeping),
    ]
    worker, side, states = watch(course)
    assert side.found is SPOKEN
    assert states[:3] == ["", "sleeps", ""]
    # Before it began there was nothing to see; once it had ended all of its threads were.
    assert worker.at_all[:4] == [False, False, False, True]


def test_threads_that_run_on_after_the_end_do_no_work() -> None:
    """Its pool looks for work while it waits for a lock with a time limit, and while it comes to rest."""
    waiting = Snapshot(main=TIMED_LOCK, others={2: WORKING, 3: LOCKED})
    resting = Snapshot(main=SLEEP, others={2: WORKING, 3: LOCKED})
    course = [*[(Doing.SYNTHESIS, Snapshot(main=WORKING))] * 19, (Doing.SYNTHESIS, waiting)]
    assert watch(course)[2][-1] == ""
    assert watch([*course, (Doing.OTHER, resting)])[2][-1] == "waits for a lock with a time limit"


def test_who_does_not_answer_is_lost() -> None:
    side = Speaking(worker=Written([(Doing.SYNTHESIS, Snapshot(main=WORKING))] * 2), order=speak_order())
    synthesise_observed(side, timeout_s=0.0)
    assert isinstance(side.found, WorkerLost)
    assert side.found.kind is OutcomeKind.TIMEOUT


@pytest.mark.skipif(not SUPPORTED, reason="only Linux kills a halted worker whose conductor has ended")
def test_the_scripted_engines_waits_are_its_work() -> None:
    """It waits on a clock that stands still with it, as a planted delay does: that is no reason against halts."""
    worker = ProcessHandle(HERE)
    try:
        worker.load(load_order(pace="2", slowdown=1.0), timeout_s=PATIENCE_S)
        side = Speaking(worker=haltable(worker), order=speak_order())
        looks = synthesise_observed(side, timeout_s=PATIENCE_S)
    finally:
        worker.close()
    assert isinstance(side.found, Repetition)
    states = looks.states()
    assert states
    # Between two waits it may be seen for a moment at whatever else it does.
    assert sum(state.waits for state in states) <= len(states) * 0.2
