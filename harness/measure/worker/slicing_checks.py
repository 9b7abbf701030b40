"""Decides whether both arms of a duel can be paused in the middle of their work without changing their values.

A pause stops what a process computes and the clocks that the harness gives it. It does not stop what the process waits
for (a sleep, a socket, a disk) nor the clocks that the process reads by itself. So each side is observed without pauses
in the warm-up of the first launch, and again at every pause. If more than `MOST` of an arm's time is of that kind, or
if the conductor cannot determine it, the sides run one after the other. The reason is stored in the blocks and printed.

A wait that a pause hides, or a loop that a pause distorts, changes a value by its own share at most. So `MOST` also
bounds the error of a value measured in slices.
"""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field

from harness.core.records.repetition import Repetition
from harness.measure.system.thread_states import Activity, State
from harness.plan.matrix import LaunchPolicy

MOST = 0.01
"""The share of a synthesis that may pass in waits, and the share that may pass in loops that read a clock."""

MOST_CLOCKS = MOST / 2
"""The share of pauses that may find it reading a clock. A loop that reads a clock spends about half of its time in the
reading itself."""

FEWEST_FOUND, FEWEST_AT_PAUSES, FEWEST_CLOCKS = 3, 5, 8
"""Fewer observations than these are taken for chance. Pauses need more, because they are
tested after every block. Clocks need most: one in a thousand pauses interrupts some reading in an ordinary engine."""

ENOUGH_OBSERVATIONS = 300
"""Observations of an arm in the warm-up: a wait of 3 % is expected in nine of them."""

FEWEST_OBSERVATIONS = 20
"""With fewer observations the conductor cannot determine whether an engine waits."""

CANNOT_PAUSE = "this system, or a side's revision of the harness, does not pause workers"

CANNOT_DETERMINE = "whether {arm} waits for anything cannot be determined: {why}"
STATES_UNAVAILABLE = "this system, or its revision of the harness, does not report it"
TOO_SHORT = "its texts take too little time"


@dataclass(slots=True)
class Evidence:
    """The observations of one arm while it synthesised."""

    observations: int = 0
    """Observations without a pause, in the warm-up."""
    waits: Counter[str] = field(default_factory=Counter)
    """Object of a wait → number of these observations."""
    pauses: int = 0
    paused_waits: Counter[str] = field(default_factory=Counter)
    """Object of a wait → number of pauses."""
    paused_clocks: int = 0
    """Pauses that found it reading a clock."""
    worked_ns: int = 0
    looped_ns: int = 0
    """The part of `worked_ns` in loops that read one of Python's clocks."""

    def add_observations(self, states: Iterable[State]) -> None:
        """Count observations of a synthesis without pauses."""
        for state in states:
            self.observations += 1
            if state.waits:
                self.waits[state.doing] += 1

    def add_pauses(self, states: Iterable[State]) -> None:
        for state in states:
            self.pauses += 1
            if state.waits:
                self.paused_waits[state.doing] += 1
            self.paused_clocks += state.activity is Activity.CLOCK

    def add_synthesis(self, found: Repetition, *, looped_ns: int) -> None:
        """Count a synthesis, and how much of its time was spent in loops that read a clock, in ns."""
        # CPU time, because a loop that has to share the CPU gets no more of it than the work does.
        self.worked_ns += min(found.end_ns, found.cpu_ns or found.end_ns)
        self.looped_ns += looped_ns

    def reason(self, arm: str) -> str:
        """Why the arm cannot be paused; "" if it can."""
        if self.looped_ns > MOST * self.worked_ns:
            share = self.looped_ns / self.worked_ns
            return f"{arm} reads a clock in a loop for about {_percent(share)} of its time, {_CLOCK}"
        for waits, observations, fewest in (
            (self.waits, self.observations, FEWEST_FOUND),
            (self.paused_waits, self.pauses, FEWEST_AT_PAUSES),
        ):
            found = waits.total()
            if found >= fewest and found > MOST * observations:
                (doing, _), *_ = waits.most_common(1)
                return f"{arm} {doing} for about {_percent(found / observations)} of its time, {_WAIT}"
        if self.paused_clocks >= FEWEST_CLOCKS and self.paused_clocks > MOST_CLOCKS * self.pauses:
            share = self.paused_clocks / self.pauses
            return f"{arm} was reading a clock at {_percent(share)} of its pauses, {_CLOCK}"
        return ""


_CLOCK = "which would run on while it is paused"
_WAIT = "which would pass while it is paused"


def _percent(share: float) -> str:
    return f"{min(1.0, share) * 100:.0f} %"


class Slicing:
    """Whether the pairs of a run are measured in slices, and if not, why not."""

    def __init__(self, launch_policy: LaunchPolicy) -> None:
        self._slice_s = launch_policy.slice_s
        self.reason = launch_policy.whole
        """Why the sides run one after the other although slices were requested; "" if they run in slices."""
        self._seen: dict[str, Evidence] = {}

    @property
    def slice_s(self) -> float:
        """The longest time that one of two arms works before the other continues, in s; 0 without slices."""
        return 0.0 if self.reason else self._slice_s

    def of(self, arm: str) -> Evidence:
        return self._seen.setdefault(arm, Evidence())

    def refuse(self, reason: str) -> None:
        """Use no slices from here on; the first reason is kept."""
        if self.slice_s:
            self.reason = reason

    def settle(self) -> None:
        """Refuse if the observations so far speak against an arm."""
        for arm, seen in self._seen.items():
            if reason := seen.reason(arm):
                self.refuse(reason)

    def settle_first(self, arms: Iterable[str]) -> None:
        """The same after the warm-up, which must have observed enough of each arm."""
        for arm in arms:
            if self.of(arm).observations < FEWEST_OBSERVATIONS:
                self.refuse(CANNOT_DETERMINE.format(arm=arm, why=TOO_SHORT))
        self.settle()
