"""Observes the threads of one worker during a synthesis without pauses, to find out whether it waits."""

import time
from dataclasses import dataclass, field

from harness.measure.system.thread_states import Snapshot, State, states_of
from harness.measure.worker.pause import WorkerActivity
from harness.measure.worker.time_slicing import SlicedSynthesis

OBSERVE_EVERY_S = 0.002


@dataclass(slots=True)
class ThreadObservations:
    """The observations of one repetition: within its timed part, and from there until its answer."""

    during: list[Snapshot] = field(default_factory=list)
    after: list[Snapshot] = field(default_factory=list)

    def states(self) -> list[State]:
        """The activity of the process in the timed part."""
        return states_of(self.during, self.after)


def synthesise_observed(
    side: SlicedSynthesis, *, timeout_s: float, observe_every_s: float = OBSERVE_EVERY_S
) -> ThreadObservations:
    """Let one side synthesise alone; the result is in `side.result`."""
    until = time.monotonic() + timeout_s
    observations = ThreadObservations()
    side.send_order()
    while side.result is None:
        left_s = until - time.monotonic()
        if left_s <= 0:
            side.give_up(after_s=timeout_s)
            break
        side.work(min(observe_every_s, left_s))
        doing = side.pauser.doing
        # Observations before the timed part do not count.
        if doing is WorkerActivity.OTHER and not observations.during:
            continue
        if seen := side.pauser.observe(all_threads=doing is WorkerActivity.OTHER):
            (observations.after if doing is WorkerActivity.OTHER else observations.during).append(seen)
    return observations
