"""Observes the threads of one worker during a synthesis without halts, to find out whether it waits."""

import time
from dataclasses import dataclass, field

from harness.measure.system.thread_states import Snapshot, State, states_of
from harness.measure.worker.pause import Doing
from harness.measure.worker.time_slicing import Speaking

LOOK_EVERY_S = 0.002


@dataclass(slots=True)
class ThreadObservations:
    """The observations of one repetition: within its timed part, and from there until its answer."""

    during: list[Snapshot] = field(default_factory=list)
    after: list[Snapshot] = field(default_factory=list)

    def states(self) -> list[State]:
        """What the process did in the timed part."""
        return states_of(self.during, self.after)


def synthesise_observed(side: Speaking, *, timeout_s: float, look_every_s: float = LOOK_EVERY_S) -> ThreadObservations:
    """Let one side synthesise alone; the result is in `side.found`."""
    until = time.monotonic() + timeout_s
    looks = ThreadObservations()
    side.ask()
    while side.found is None:
        left_s = until - time.monotonic()
        if left_s <= 0:
            side.give_up(after_s=timeout_s)
            break
        side.work(min(look_every_s, left_s))
        doing = side.pauser.doing
        # Observations before the timed part do not count.
        if doing is Doing.OTHER and not looks.during:
            continue
        if seen := side.pauser.look(at_all=doing is Doing.OTHER):
            (looks.after if doing is Doing.OTHER else looks.during).append(seen)
    return looks
