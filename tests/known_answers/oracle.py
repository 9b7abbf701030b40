"""What follows from writes of audio by a player that starts with the first and stops when it runs dry: written anew.

Writes are (ns, frames), in their order; those without frames play no part.
"""

from collections.abc import Sequence
from itertools import pairwise
from math import isclose

from tests.known_answers.witness import NS, RATE

Writes = Sequence[tuple[int, int]]


def sounding(writes: Writes) -> list[tuple[float, float]]:
    """When each piece begins to sound and when it has ended, in seconds on the writes' clock."""
    played: list[tuple[float, float]] = []
    for at_ns, frames in writes:
        if frames:
            begins = max(at_ns / NS, played[-1][1] if played else 0.0)
            played.append((begins, begins + frames / RATE))
    return played


def stall_s(writes: Writes) -> float:
    """Seconds of silence between pieces."""
    return sum(later[0] - earlier[1] for earlier, later in pairwise(sounding(writes)))


def stops(writes: Writes) -> int:
    """How often it ran dry."""
    return sum(later[0] > earlier[1] for earlier, later in pairwise(sounding(writes)))


def heard_out_s(writes: Writes) -> float:
    """When all of it has been heard, in seconds on the writes' clock."""
    return sounding(writes)[-1][1]


def onset_s(writes: Writes, *, silence: int) -> float:
    """When the first frame after so many frames of `silence` sounds, in seconds on the writes' clock."""
    before = 0
    for (begins, _), frames in zip(sounding(writes), (frames for _, frames in writes if frames), strict=True):
        if before + frames > silence:
            return begins + (silence - before) / RATE
        before += frames
    raise AssertionError("there is no sound")


def close(one: float, other: float) -> bool:
    """Whether two figures are one, but for the rounding of floats."""
    return isclose(one, other, rel_tol=1e-9)
