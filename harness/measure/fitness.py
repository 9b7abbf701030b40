"""Whether both arms of a duel can be halted in the middle of their work without a figure changing by it.

A halt stops what a process computes and the clocks that we give it. It does not stop what the process waits for, nor
clocks that it reads by itself: a sleep, an answer over a socket or a disk passes while nobody counts, and a loop that
ends at a moment by the wall clock ends too soon. So each side is looked at while it speaks without halts, in the
warm-up of the first launch, and at every halt from there on. Where more than a hundredth of its time is of that kind,
or where it cannot be told, both sides speak one after the other, and the reason goes to the blocks and to the table.

A wait that a halt hides, and a loop that it lengthens by the time of the halt, change a figure by about their own share
at most. So `MOST` bounds the error of a figure in slices.
"""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field

from harness.measure.thread_states import Activity, State
from harness.plan.matrix import Rhythm

MOST = 0.01
"""The share of a synthesis that may pass in waits, and the share that may pass in loops that read a clock."""

MOST_CLOCKS = MOST / 2
"""The share of halts that may find it reading a clock: of a loop that does so, half of the time goes to the loop."""

FEWEST_FOUND, FEWEST_AT_HALTS = 3, 5
"""Fewer looks that found something are chance, however few looks there were; halts are judged again and again."""

ENOUGH_LOOKS = 300
"""Of a wait of 3 % nine of them are expected to see something, and of none of 1 % more than `MOST`."""

FEWEST_LOOKS = 20
"""With fewer it cannot be told whether an engine waits."""

UNABLE = "this system, or a side's revision of the harness, does not halt workers"

CANNOT_TELL = "whether {arm} waits for anything cannot be told: {why}"
UNTOLD = "this system, or its revision of the harness, does not say"
TOO_SHORT = "its texts take too little time"


@dataclass(slots=True)
class Evidence:
    """What was seen of one arm while it spoke."""

    looks: int = 0
    """How often it was looked at without a halt, in the warm-up."""
    waits: Counter[str] = field(default_factory=Counter)
    """What it waited for → in how many of these looks."""
    halts: int = 0
    halted_waits: Counter[str] = field(default_factory=Counter)
    """What it waited for → at how many halts."""
    halted_clocks: int = 0
    """At how many halts it read a clock."""
    worked_ns: int = 0
    looped_ns: int = 0
    """How much of that it was in loops that read a clock of Python's."""

    def looked(self, states: Iterable[State]) -> None:
        """It was looked at while it spoke without halts."""
        for state in states:
            self.looks += 1
            if state.waits:
                self.waits[state.doing] += 1

    def halted(self, states: Iterable[State]) -> None:
        """It was halted in these states."""
        for state in states:
            self.halts += 1
            if state.waits:
                self.halted_waits[state.doing] += 1
            self.halted_clocks += state.activity is Activity.CLOCK

    def spoke(self, *, worked_ns: int, looped_ns: int) -> None:
        """A synthesis took so long, and so long of it was in loops that read a clock."""
        self.worked_ns += worked_ns
        self.looped_ns += looped_ns

    def reason(self, arm: str) -> str:
        """Why the arm cannot be halted, "" where nothing speaks against it."""
        if self.looped_ns > MOST * self.worked_ns:
            share = self.looped_ns / self.worked_ns
            return f"{arm} reads a clock in a loop for about {_percent(share)} of its time, {_CLOCK}"
        for waits, looks, fewest in (
            (self.waits, self.looks, FEWEST_FOUND),
            (self.halted_waits, self.halts, FEWEST_AT_HALTS),
        ):
            found = waits.total()
            if found >= fewest and found > MOST * looks:
                (doing, _), *_ = waits.most_common(1)
                return f"{arm} {doing} for about {_percent(found / looks)} of its time, {_WAIT}"
        if self.halted_clocks >= FEWEST_AT_HALTS and self.halted_clocks > MOST_CLOCKS * self.halts:
            share = self.halted_clocks / self.halts
            return f"{arm} was reading a clock at {_percent(share)} of its halts, {_CLOCK}"
        return ""


_CLOCK = "which would run on while it is halted"
_WAIT = "which would go by while it is halted"


def _percent(share: float) -> str:
    return f"{min(1.0, share) * 100:.0f} %"


class Slicing:
    """Whether the pairs of a run are spoken in slices, and why not; `slice_s` is how long a turn is, 0 for none."""

    def __init__(self, rhythm: Rhythm) -> None:
        self._slice_s = rhythm.slice_s
        self.reason = rhythm.whole
        """Why the sides speak one after the other although slices are asked for; "" where they do not."""
        self._seen: dict[str, Evidence] = {}

    @property
    def slice_s(self) -> float:
        """How long each of two arms works at most before it is the other's turn, in s."""
        return 0.0 if self.reason else self._slice_s

    def of(self, arm: str) -> Evidence:
        """What was seen of an arm."""
        return self._seen.setdefault(arm, Evidence())

    def refuse(self, reason: str) -> None:
        """No slices from here on; the first reason is told."""
        if self.slice_s:
            self.reason = reason

    def settle(self) -> None:
        """Look at the evidence so far."""
        for arm, seen in self._seen.items():
            self.refuse_if(seen.reason(arm))

    def settle_first(self, arms: Iterable[str]) -> None:
        """The same after the warm-up, which must have seen enough of each arm."""
        for arm in arms:
            if self.of(arm).looks < FEWEST_LOOKS:
                self.refuse(CANNOT_TELL.format(arm=arm, why=TOO_SHORT))
        self.settle()

    def refuse_if(self, reason: str) -> None:
        """Refuse where there is a reason."""
        if reason:
            self.refuse(reason)
