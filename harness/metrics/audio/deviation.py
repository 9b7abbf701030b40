"""Where and how one utterance deviates from another that speaks the same text: what a mean over frames hides.

These values serve the verdict on speech (`harness/analysis/speech_rule.py`). They are no metrics of their own.
"""

from typing import TYPE_CHECKING

from harness.core.records.value import Reading, known, unknown
from harness.metrics.audio.spectra import levels

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from harness.metrics.audio.similarity import AlignedSpectra
    from harness.metrics.audio.spectra import Floats

SILENT_DB = -90.0
PEAK_FRAMES = 10
"""A missing or other sound takes about 100 ms, ten frames."""
SPOKEN_DB = -40.0
"""Frames whose largest bin lies above this, relative to the loudest frame, are speech."""


def peak_distortion(aligned: "AlignedSpectra") -> Reading:
    """The largest mel-cepstral distortion (dB) of any ten successive pairs of frames.

    A missing phoneme leaves the mean of a sentence nearly as it was, but not this.
    """
    import numpy as np

    if not len(aligned.rows):
        return unknown("both are silent")
    squared = np.square(aligned.cepstra_x[aligned.rows] - aligned.cepstra_y[aligned.columns]).sum(axis=1)
    distances = 10 / np.log(10) * np.sqrt(2 * squared)
    width = min(PEAK_FRAMES, len(distances))
    return known(float(np.convolve(distances, np.full(width, 1 / width), mode="valid").max()))


def timbre_distance(aligned: "AlignedSpectra") -> Reading:
    """Mel-cepstral distance (dB) between the mean spectra of both utterances: that of two voices, whatever they say."""
    import numpy as np

    ours = _mean_cepstrum(aligned.power_x, aligned.cepstra_x)
    theirs = _mean_cepstrum(aligned.power_y, aligned.cepstra_y)
    if ours is None or theirs is None:
        return unknown("one of them is silent")
    return known(float(10 / np.log(10) * np.sqrt(2 * np.square(ours - theirs).sum())))


def largest_step(audio: "NDArray[np.floating]") -> Reading:
    """The largest difference between two successive samples; full scale is from −1 to 1.

    Speech has none near full scale. Samples that overflow an integer jump from one end to the other.
    """
    import numpy as np

    if len(audio) < 2:
        return unknown("fewer than two samples")
    return known(float(np.abs(np.diff(audio)).max()))


def _mean_cepstrum(power: "Floats", cepstra: "Floats") -> "Floats | None":
    loudness = levels(power)
    spoken = (loudness >= loudness.max() + SPOKEN_DB) & (loudness > SILENT_DB)
    return cepstra[spoken].mean(axis=0) if spoken.any() else None
