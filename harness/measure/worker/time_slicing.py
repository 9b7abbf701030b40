"""Two workers that speak at the same time, in slices: while one works, the other is halted and its clock stands still.

A machine that others use as well is slow for some seconds and fast for some. Of two texts spoken one after the other
each meets moments of its own; in slices of a tenth of a second both meet the same ones, and their ratio hardly
scatters. At any moment one worker works, as always.
"""

import time
from dataclasses import dataclass, field
from typing import NoReturn, Protocol, runtime_checkable

from harness.core.records.repetition import Repetition
from harness.measure.system.thread_states import Snapshot
from harness.measure.worker.handle import WorkerHandle, WorkerLost
from harness.measure.worker.pause import Doing, ProcessPauser
from harness.measure.worker.protocol import SpeakOrder


@runtime_checkable
class Haltable(Protocol):
    """A worker that may be halted while it speaks."""

    @property
    def pauser(self) -> ProcessPauser | None:
        """What halts it; None where it does not know how to stand still."""
        ...

    def begin(self, order: SpeakOrder) -> None:
        """Order a repetition."""
        ...

    def heard(self, order: SpeakOrder, *, within_s: float) -> Repetition | None:
        """The repetition, None where it is not done within that time. WorkerLost."""
        ...

    def give_up(self, order: SpeakOrder, *, after_s: float) -> NoReturn:
        """Kill it. WorkerLost, always."""
        ...


def can_halt(worker: WorkerHandle) -> bool:
    """Whether a worker can take part in slices: one that has a process, on a system and of a revision that can."""
    return isinstance(worker, Haltable) and worker.pauser is not None


def haltable(worker: WorkerHandle) -> Haltable:
    """A worker of which that is known."""
    assert isinstance(worker, Haltable)  # noqa: S101 - for the type checker; `can_halt` was asked before
    return worker


def halter_of(worker: WorkerHandle | Haltable) -> ProcessPauser:
    """What halts a worker of which that is known."""
    assert isinstance(worker, Haltable)  # noqa: S101 - for the type checker; `can_halt` was asked before
    assert worker.pauser is not None  # noqa: S101 - the same
    return worker.pauser


@dataclass(slots=True)
class Speaking:
    """One side of a pair: its worker, what is ordered, and what came of it."""

    worker: Haltable
    order: SpeakOrder
    found: Repetition | WorkerLost | None = None
    halts: list[Snapshot] = field(default_factory=list)
    """What its threads were doing at each of its halts within the timed part."""

    @property
    def pauser(self) -> ProcessPauser:
        """What halts it."""
        return halter_of(self.worker)

    def begin(self, other: "Speaking") -> None:
        """Order it of a worker that stands still, so that it begins with its first slice."""
        self.pauser.halt(instead=other.pauser)
        self.ask()

    def ask(self) -> None:
        """Order it."""
        try:
            self.worker.begin(self.order)
        except WorkerLost as lost:
            self.found = lost

    def work(self, seconds: float) -> None:
        """Let it work so long, or until it has answered."""
        self._note_halt()
        self.pauser.go_on()
        try:
            self.found = self.worker.heard(self.order, within_s=seconds)
        except WorkerLost as lost:
            self.found = lost

    def _note_halt(self) -> None:
        """Look at where it was halted, before it goes on: by now all of its threads stand still."""
        if self.pauser.halted and self.pauser.doing is not Doing.OTHER and (seen := self.pauser.look()):
            self.halts.append(seen)

    def give_up(self, *, after_s: float) -> None:
        """It takes too long."""
        try:
            self.worker.give_up(self.order, after_s=after_s)
        except WorkerLost as lost:
            self.found = lost


def speak_in_slices(
    sides: tuple[Speaking, Speaking], *, slice_s: float, timeout_s: float
) -> tuple[Repetition | WorkerLost, ...]:
    """What came of both, in their order, of which the first begins; `timeout_s` is for both together.

    It begins with half a slice, so that neither is ahead of the other on average. Who is left works on alone.
    """
    until = time.monotonic() + timeout_s
    now, then = sides
    try:
        now.begin(then)
        then.begin(now)
        part_s = slice_s / 2
        while now.found is None or then.found is None:
            if now.found is None:
                left_s = until - time.monotonic()
                if left_s <= 0:
                    now.give_up(after_s=timeout_s)
                else:
                    now.work(left_s if then.found else min(part_s, left_s))
                    now.pauser.halt(instead=then.pauser)
                part_s = slice_s
            now, then = then, now
    finally:
        for side in sides:
            side.pauser.go_on()
    return tuple(side.found for side in sides if side.found is not None)


def speak_at_once(sides: tuple[Speaking, Speaking], *, timeout_s: float) -> tuple[Repetition | WorkerLost, ...]:
    """What came of both, in their order, which both work at all the time: nothing to compare."""
    until = time.monotonic() + timeout_s
    for side in sides:
        side.ask()
    for side in sides:
        if side.found is None:
            side.work(max(0.0, until - time.monotonic()))
        if side.found is None:
            side.give_up(after_s=timeout_s)
    return tuple(side.found for side in sides if side.found is not None)
