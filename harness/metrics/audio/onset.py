"""The first audible moment of a signal. Runs in workers: standard library and NumPy only."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

WINDOW_S = 0.010
HOP_S = 0.001
THRESHOLD_DBFS = -40.0
"""The RMS threshold; 0 dBFS is an RMS of 1.0."""
CONTINUED_DBFS = -50.0
"""The RMS above which a sound that has begun continues: the breath after the burst of a plosive is this quiet."""
AUDIBLE_S = 0.050
"""A shorter loud stretch is a click, not the beginning of speech."""
INAUDIBLE = f"nothing is louder than {THRESHOLD_DBFS:g} dBFS for {AUDIBLE_S * 1000:g} ms"
"""The reason of what is unknown of audio without an onset."""


def onset_frame(audio: "NDArray[np.float32]", sample_rate: int) -> int | None:
    """The first audible frame of finite mono `audio`, shape (frames,); None where nothing is audible.

    Audible is the first 10 ms window with an RMS above −40 dBFS from which on at least 50 ms are covered by windows,
    1 ms apart, each with an RMS above −50 dBFS. The onset is that window's first frame whose magnitude exceeds
    −40 dBFS: the window's own first frame lies up to 10 ms earlier, which may still be in a silent chunk that arrived
    long before.
    """
    import numpy as np

    window = max(1, round(WINDOW_S * sample_rate))
    hop = max(1, round(HOP_S * sample_rate))
    threshold, continued = 10 ** (THRESHOLD_DBFS / 20), 10 ** (CONTINUED_DBFS / 20)
    if len(audio) < window:
        return None
    energy = np.concatenate(([0.0], np.cumsum(np.square(audio, dtype=np.float64))))
    starts = np.arange(0, len(audio) - window + 1, hop)
    power = (energy[starts + window] - energy[starts]) / window
    needed = max(1, -(-(round(AUDIBLE_S * sample_rate) - window) // hop) + 1)
    lasting = _lasting(power > continued**2, needed)
    begins = np.flatnonzero((power[: len(lasting)] > threshold**2) & lasting)
    if not len(begins):
        return None
    start = int(starts[begins[0]])
    # An RMS above the level implies a frame above it; if rounding at the very level leaves none, argmax gives `start`.
    return start + int(np.argmax(np.abs(audio[start : start + window]) > threshold))


def _lasting(sounding: "NDArray[np.bool_]", needed: int) -> "NDArray[np.bool_]":
    """For each index, whether `needed` consecutive true values begin there; empty where there are fewer values."""
    import numpy as np

    count = np.concatenate(([0], np.cumsum(sounding)))
    lasting: NDArray[np.bool_] = count[needed:] - count[:-needed] == needed
    return lasting
