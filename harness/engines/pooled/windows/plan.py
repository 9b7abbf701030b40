"""Where the speech of a segment is cut into windows, and how their sound is joined. Pure."""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

FRAMES_PER_S = 40
FRAME = 600
"""Samples of a frame of features, at 24 kHz."""
CONTEXT = 3
"""Frames that are decoded on either side of a window and not played: the decoder's convolutions reach about so far."""
FADE = 240
"""Samples over which two windows are cross-faded, half of them on either side of the cut: 10 ms."""
SOUND_BEFORE = 4
"""Frames of the first token that are decoded: 0.1 s."""
SHORTEST = 40
"""The fewest frames that are left for a last window: a second of little but silence says nothing of the loudness."""
LONGEST = 400
WINDOWS_SHARE = 0.85
"""The real-time factor of windows, without their context, beside that of the shortest segments, which is planned for.

The rest of what a short segment costs is of a fixed size, as a window's context is, which is counted by itself.
"""
SLACKS = (0.75, 0.85, 0.95, 1.0)
"""A window may end anywhere in the last part of what is planned for it, from one of these shares on.

It is the first with which a segment has the fewest windows: each costs its context and a cut.
"""
STRETCH = 1.1
"""The last window may be so many times as long as planned, rather than leave a rest for another one."""
VOICED_HZ = 10.0
_VOICED_COST = 3.0
"""What a cut within a voiced sound costs beside one where the energy is higher by so much, in the model's own unit."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Pace:
    """How windows grow: `first` frames to begin with, then as many as are decoded while those before are played.

    `rtf` is the real-time factor that is planned for, without the windows' context.
    """

    first: int
    rtf: float

    def begin(self) -> int:
        """The frames of the first window: more than asked for where the windows after it could not grow otherwise.

        A window of w frames is decoded with its context, in rtf·(w + 2·CONTEXT), while w frames are played.
        """
        return max(self.first, math.ceil(2 * CONTEXT * self.rtf / max(0.05, 1 - self.rtf)))


def leading_silence(text: "NDArray[np.float32]") -> int:
    """The frames in front that need no decoding, from the encoded text [1, channels, frames].

    Each token's column is repeated for as many frames as it lasts. The first token is no phoneme; the beginning of the
    first sound may lie in its last frames.
    """
    import numpy as np

    other = np.flatnonzero((text[0] != text[0, :, :1]).any(axis=0))
    return max(0, int(other[0]) - SOUND_BEFORE) if len(other) else 0


def window_ends(
    pitch: "NDArray[np.float32]", energy: "NDArray[np.float32]", pace: Pace, *, begin: int = 0
) -> tuple[int, ...]:
    """The frames at which windows end, from the curves with two points for each frame; the last is the speech's end.

    The first window begins at the frame `begin`.

    Cuts lie where little sounds: at the lowest energy of the last part of a window, in a voiceless place if there is
    one, where two windows that differ a little in phase and timbre can be joined unheard.
    """
    frames = pitch.size // 2
    voiced = pitch.reshape(-1)[: 2 * frames].reshape(frames, 2).max(axis=1) > VOICED_HZ
    loud = energy.reshape(-1)[: 2 * frames].reshape(frames, 2).mean(axis=1)
    cost = loud[:-1] + loud[1:] + _VOICED_COST * (voiced[:-1] | voiced[1:])
    return min((tuple(_ends(cost, pace, begin, slack)) for slack in SLACKS), key=len)


def _ends(cost: "NDArray[np.float32]", pace: Pace, begin: int, slack: float) -> Iterator[int]:
    """The ends of windows, each at the lowest `cost` of a cut behind a frame, from the share `slack` of it on."""
    import numpy as np

    frames = len(cost) + 1
    start = begin
    decoded = 0.0
    limit = pace.begin()
    while start < frames:
        left = frames - start
        end = frames
        if left > STRETCH * limit and left >= limit * slack + SHORTEST:
            last = min(start + limit, frames - SHORTEST)
            least = min(start + round(slack * limit), last)
            end = least + int(np.argmin(cost[least - 1 : last]))
        yield end
        decoded += end - start + 2 * CONTEXT if start > begin else 0
        start = end
        limit = max(SHORTEST, min(LONGEST, int((start - begin) / pace.rtf - decoded) - 2 * CONTEXT))


def joined(earlier: "NDArray[np.float32] | None", window: "NDArray[np.float32]") -> "NDArray[np.float32]":
    """`window` with its first `FADE` samples faded in over the same stretch of the window before."""
    import numpy as np

    if earlier is None:
        return window
    rise = (0.5 - 0.5 * np.cos(np.pi * (np.arange(FADE) + 0.5) / FADE)).astype(np.float32)
    return np.concatenate([earlier * (1 - rise) + window[:FADE] * rise, window[FADE:]])
