"""One worker is looked at while it speaks: by a worker whose course is written down, and by a real one."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NoReturn, cast

import pytest

from harness.core.records.repetition import OutcomeKind, Phase, Repetition
from harness.measure.system.thread_states import LOCKED, SLEEP, TIMED_LOCK, WORKING, Snapshot
from harness.measure.worker.handle import ProcessHandle
from harness.measure.worker.observed_synthesis import synthesise_observed
from harness.measure.worker.pause import SUPPORTED, ProcessPauser, WorkerActivity
from harness.measure.worker.place import HERE
from harness.measure.worker.protocol import SynthesisOrder
from harness.measure.worker.time_slicing import SlicedSynthesis, as_pausable
from harness.measure.worker.worker_lost import WorkerLost
from tests.measure.requests_sent import PATIENCE_S, load_order, speak_order

SPOKEN = Repetition(
    scenario_id="a", launch=0, block=0, position=0, phase=Phase.WARMUP, variant=0, characters=1, started_at=0, end_ns=1
)
Course = Sequence[tuple[WorkerActivity, Snapshot]]


@dataclass
class Written:
    """A worker, and its halter: at each look it is at the next place of its course, and answers after the last."""

    course: Course
    all_threads: list[bool] = field(default_factory=list)
    place: int = -1
    paused: bool = False

    @property
    def pauser(self) -> ProcessPauser:
        return cast("ProcessPauser", self)

    @property
    def doing(self) -> WorkerActivity:
        return self.course[min(self.place, len(self.course) - 1)][0]

    def begin(self, order: SynthesisOrder) -> None:
        del order

    def resume(self) -> None:
        assert not self.paused

    def poll(self, order: SynthesisOrder, *, within_s: float) -> Repetition | None:
        del order
        assert within_s > 0
        self.place += 1
        return SPOKEN if self.place >= len(self.course) else None

    def observe(self, *, all_threads: bool) -> Snapshot:
        self.all_threads.append(all_threads)
        return self.course[min(self.place, len(self.course) - 1)][1]

    def give_up(self, order: SynthesisOrder, *, after_s: float) -> NoReturn:
        del order
        raise WorkerLost(OutcomeKind.TIMEOUT, f"after {after_s}")


def watch(course: Course) -> tuple[Written, SlicedSynthesis, list[str]]:
    worker = Written(course)
    side = SlicedSynthesis(worker=worker, order=speak_order())
    observations = synthesise_observed(side, timeout_s=PATIENCE_S, observe_every_s=0.001)
    return worker, side, [state.doing for state in observations.states()]


def test_only_the_timed_part_counts() -> None:
    working, sleeping = Snapshot(main=WORKING), Snapshot(main=SLEEP)
    course = [
        (WorkerActivity.OTHER, sleeping),
        (WorkerActivity.SYNTHESIS, working),
        (WorkerActivity.SYNTHESIS, sleeping),
        (WorkerActivity.OWN_WAIT, working),
        (WorkerActivity.OTHER, sleeping),
    ]
    worker, side, states = watch(course)
    assert side.result is SPOKEN
    assert states[:3] == ["", "sleeps", ""]
    # Before it began there was nothing to see; once it had ended all of its threads were.
    assert worker.all_threads[:4] == [False, False, False, True]


def test_threads_that_run_on_after_the_end_do_no_work() -> None:
    """Its pool looks for work while it waits for a lock with a time limit, and while it comes to rest."""
    waiting = Snapshot(main=TIMED_LOCK, others={2: WORKING, 3: LOCKED})
    resting = Snapshot(main=SLEEP, others={2: WORKING, 3: LOCKED})
    course = [*[(WorkerActivity.SYNTHESIS, Snapshot(main=WORKING))] * 19, (WorkerActivity.SYNTHESIS, waiting)]
    assert watch(course)[2][-1] == ""
    assert watch([*course, (WorkerActivity.OTHER, resting)])[2][-1] == "waits for a lock with a time limit"


def test_who_does_not_answer_is_lost() -> None:
    side = SlicedSynthesis(
        worker=Written([(WorkerActivity.SYNTHESIS, Snapshot(main=WORKING))] * 2), order=speak_order()
    )
    synthesise_observed(side, timeout_s=0.0)
    assert isinstance(side.result, WorkerLost)
    assert side.result.kind is OutcomeKind.TIMEOUT


@pytest.mark.skipif(not SUPPORTED, reason="only Linux kills a halted worker whose conductor has ended")
def test_the_scripted_engines_waits_are_its_work() -> None:
    """It waits on a clock that stands still with it, as a planted delay does: that is no reason against halts."""
    worker = ProcessHandle(HERE)
    try:
        worker.load(load_order(pace="2", slowdown=1.0), timeout_s=PATIENCE_S)
        side = SlicedSynthesis(worker=as_pausable(worker), order=speak_order())
        observations = synthesise_observed(side, timeout_s=PATIENCE_S)
    finally:
        worker.close()
    assert isinstance(side.result, Repetition)
    states = observations.states()
    assert states
    # Between two waits it may be seen for a moment at whatever else it does.
    assert sum(state.waits for state in states) <= len(states) * 0.2
