"""Runs workers in alternating slices: while one works, the others are paused and their clocks stop.

The speed of a shared machine varies over seconds. Two syntheses that run one after the other meet different conditions.
In slices of a tenth of a second all meet the same conditions, and their ratios hardly scatter. Only one worker works
at any moment.
"""

import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NoReturn, Protocol, runtime_checkable

from harness.core.records.repetition import Repetition
from harness.measure.system.thread_states import Snapshot
from harness.measure.worker.handle import WorkerHandle
from harness.measure.worker.pause import ProcessPauser, WorkerActivity
from harness.measure.worker.protocol import SynthesisOrder
from harness.measure.worker.worker_lost import WorkerLost


@runtime_checkable
class PausableWorker(Protocol):
    """A worker that may be paused during a synthesis."""

    @property
    def pauser(self) -> ProcessPauser | None:
        """Pauses the worker; None if the worker's revision does not support pauses."""
        ...

    def begin(self, order: SynthesisOrder) -> None:
        """Send an order for a repetition."""
        ...

    def poll(self, order: SynthesisOrder, *, within_s: float) -> Repetition | None:
        """The repetition, or None if it is not done within `within_s` seconds. Raises WorkerLost."""
        ...

    def give_up(self, order: SynthesisOrder, *, after_s: float) -> NoReturn:
        """Kill the worker. Always raises WorkerLost."""
        ...


def can_pause(worker: WorkerHandle) -> bool:
    """Whether a worker can run in slices. It needs its own process, and a system and revision that support pauses."""
    return isinstance(worker, PausableWorker) and worker.pauser is not None


def as_pausable(worker: WorkerHandle) -> PausableWorker:
    """Narrow the type of a worker for which `can_pause` is true."""
    assert isinstance(worker, PausableWorker)  # noqa: S101 - for the type checker; `can_pause` was asked before
    return worker


def pauser_of(worker: WorkerHandle | PausableWorker) -> ProcessPauser:
    """The pauser of a worker for which `can_pause` is true."""
    assert isinstance(worker, PausableWorker)  # noqa: S101 - for the type checker; `can_pause` was asked before
    assert worker.pauser is not None  # noqa: S101 - the same
    return worker.pauser


@dataclass(slots=True)
class SlicedSynthesis:
    """One of the arms that run in slices: its worker, its order and its result."""

    worker: PausableWorker
    order: SynthesisOrder
    result: Repetition | WorkerLost | None = None
    pauses: list[Snapshot] = field(default_factory=list)
    """The states of its threads at each pause within the timed part."""

    @property
    def pauser(self) -> ProcessPauser:
        return pauser_of(self.worker)

    def begin(self, others: "Sequence[SlicedSynthesis]") -> None:
        """Pause the worker, then send its order, so that work begins with the first slice."""
        self.pause(others)
        self.send_order()

    def pause(self, others: "Sequence[SlicedSynthesis]") -> None:
        self.pauser.pause(instead=[each.pauser for each in others])

    def send_order(self) -> None:
        """Send the order. A lost worker becomes the result."""
        try:
            self.worker.begin(self.order)
        except WorkerLost as lost:
            self.result = lost

    def work(self, seconds: float) -> None:
        """Let the worker run for `seconds`, or until it has answered."""
        self._record_pause()
        self.pauser.resume()
        try:
            self.result = self.worker.poll(self.order, within_s=seconds)
        except WorkerLost as lost:
            self.result = lost

    def _record_pause(self) -> None:
        """Record the thread states before the worker resumes. By now all its threads have stopped."""
        if self.pauser.paused and self.pauser.doing is not WorkerActivity.OTHER and (seen := self.pauser.observe()):
            self.pauses.append(seen)

    def give_up(self, *, after_s: float) -> None:
        """Kill the worker after its time-out. WorkerLost becomes the result."""
        try:
            self.worker.give_up(self.order, after_s=after_s)
        except WorkerLost as lost:
            self.result = lost


def synthesise_in_slices(
    sides: Sequence[SlicedSynthesis], *, slice_s: float, timeout_s: float
) -> tuple[Repetition | WorkerLost, ...]:
    """Run the sides in slices, in their order, and return their results in order.

    `timeout_s` covers all together. The first slice of all is shorter, so that on average no side is ahead: half of two
    sides, two thirds of three. It is not shorter still, because a server that has just received its request has not
    begun to work. When a side has finished, the others continue without it.
    """
    until = time.monotonic() + timeout_s
    others = {id(side): [each for each in sides if each is not side] for side in sides}
    try:
        for side in sides:
            side.begin(others[id(side)])
        first = True
        while any(side.result is None for side in sides):
            for place, side in enumerate(sides):
                if side.result is not None:
                    continue
                left_s = until - time.monotonic()
                if left_s <= 0:
                    side.give_up(after_s=timeout_s)
                    continue
                alone = all(each.result is not None for each in others[id(side)])
                part_s = slice_s * min(1.0, (len(sides) - 1 + place) / len(sides)) if first else slice_s
                side.work(left_s if alone else min(part_s, left_s))
                side.pause(others[id(side)])
            first = False
    finally:
        for side in sides:
            side.pauser.resume()
    return tuple(side.result for side in sides if side.result is not None)


def synthesise_in_parallel(
    sides: Sequence[SlicedSynthesis], *, timeout_s: float
) -> tuple[Repetition | WorkerLost, ...]:
    """Run the sides at the same time and return their results in order. Their timings must not be compared."""
    until = time.monotonic() + timeout_s
    for side in sides:
        side.send_order()
    for side in sides:
        if side.result is None:
            side.work(max(0.0, until - time.monotonic()))
        if side.result is None:
            side.give_up(after_s=timeout_s)
    return tuple(side.result for side in sides if side.result is not None)
