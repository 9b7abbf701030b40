"""Runs two workers in alternating slices: while one works, the other is paused and its clock stops.

The speed of a shared machine varies over seconds. Two syntheses that run one after the other meet different conditions.
In slices of a tenth of a second both meet the same conditions, and their ratio hardly scatters. Only one worker works
at any moment.
"""

import time
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
    """One side of a pair: its worker, its order and its result."""

    worker: PausableWorker
    order: SynthesisOrder
    result: Repetition | WorkerLost | None = None
    pauses: list[Snapshot] = field(default_factory=list)
    """The states of its threads at each pause within the timed part."""

    @property
    def pauser(self) -> ProcessPauser:
        """The worker's pauser."""
        return pauser_of(self.worker)

    def begin(self, other: "SlicedSynthesis") -> None:
        """Pause the worker, then send its order, so that work begins with the first slice."""
        self.pauser.pause(instead=other.pauser)
        self.send_order()

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
    sides: tuple[SlicedSynthesis, SlicedSynthesis], *, slice_s: float, timeout_s: float
) -> tuple[Repetition | WorkerLost, ...]:
    """Run both sides in slices, starting with the first, and return their results in order.

    `timeout_s` covers both together. The first slice is half as long, so that neither side is ahead on average. When
    one side has finished, the other continues alone.
    """
    until = time.monotonic() + timeout_s
    now, then = sides
    try:
        now.begin(then)
        then.begin(now)
        part_s = slice_s / 2
        while now.result is None or then.result is None:
            if now.result is None:
                left_s = until - time.monotonic()
                if left_s <= 0:
                    now.give_up(after_s=timeout_s)
                else:
                    now.work(left_s if then.result else min(part_s, left_s))
                    now.pauser.pause(instead=then.pauser)
                part_s = slice_s
            now, then = then, now
    finally:
        for side in sides:
            side.pauser.resume()
    return tuple(side.result for side in sides if side.result is not None)


def synthesise_in_parallel(
    sides: tuple[SlicedSynthesis, SlicedSynthesis], *, timeout_s: float
) -> tuple[Repetition | WorkerLost, ...]:
    """Run both sides at the same time and return their results in order. Their timings must not be compared."""
    until = time.monotonic() + timeout_s
    for side in sides:
        side.send_order()
    for side in sides:
        if side.result is None:
            side.work(max(0.0, until - time.monotonic()))
        if side.result is None:
            side.give_up(after_s=timeout_s)
    return tuple(side.result for side in sides if side.result is not None)
