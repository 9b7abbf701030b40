"""The first audible moment of a signal. Runs in workers: standard library and NumPy only."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

WINDOW_S = 0.010
HOP_S = 0.001
THRESHOLD_DBFS = -40.0
"""The RMS threshold; 0 dBFS is an RMS of 1.0."""
AUDIBLE_S = 0.050
"""A shorter loud stretch is a click, not the beginning of speech."""


def onset_frame(audio: "NDArray[np.float32]", sample_rate: int) -> int | None:
    """The first audible frame of finite mono `audio`, shape (frames,); None where nothing is audible.

    Audible is the first stretch of at least 50 ms that is covered by consecutive 10 ms windows, 1 ms apart, each with
    an RMS above −40 dBFS. The onset is that stretch's first frame whose magnitude exceeds the same level: the window's
    own first frame lies up to 10 ms earlier, which may still be in a silent chunk that arrived long before.
    """
    import numpy as np

    window = max(1, round(WINDOW_S * sample_rate))
    hop = max(1, round(HOP_S * sample_rate))
    threshold = 10 ** (THRESHOLD_DBFS / 20)
    if len(audio) < window:
        return None
    energy = np.concatenate(([0.0], np.cumsum(np.square(audio, dtype=np.float64))))
    starts = np.arange(0, len(audio) - window + 1, hop)
    loud = energy[starts + window] - energy[starts] > window * threshold**2
    needed = max(1, -(-(round(AUDIBLE_S * sample_rate) - window) // hop) + 1)
    first = _first_run(loud, needed)
    if first is None:
        return None
    start = int(starts[first])
    # An RMS above the level implies a frame above it; if rounding at the very level leaves none, argmax gives `start`.
    return start + int(np.argmax(np.abs(audio[start : start + window]) > threshold))


def _first_run(loud: "NDArray[np.bool_]", needed: int) -> int | None:
    """The index at which the first `needed` consecutive true values begin, or None."""
    import numpy as np

    edges = np.diff(np.concatenate(([False], loud, [False])).astype(np.int8))
    begins, ends = np.flatnonzero(edges == 1), np.flatnonzero(edges == -1)
    long_enough = np.flatnonzero(ends - begins >= needed)
    return int(begins[long_enough[0]]) if len(long_enough) else None
