"""Similarity of a variant's audio to the original's: same text, voice, speed and seed.

Compare a distance with that of the original from itself under another seed, which this module computes as well.
"""

import hashlib
from collections.abc import Mapping
from functools import lru_cache
from typing import TYPE_CHECKING

from harness.core.records.value import Reading, known, unknown
from harness.metrics.audio.distances import (
    aligned_spectra,
    largest_step,
    log_spectral_distance,
    mel_cepstral_distortion,
    peak_distortion,
    timbre_distance,
)
from harness.metrics.audio.spectra import hop_length

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

NO_AUDIO = "there is no audio to compare"
NOT_ASKED = "not computed of this text: it takes as long as the speech itself"
DEVIATIONS = ("mcd_peak", "timbre", "largest_step")
"""Values for the verdict on speech (`harness.analysis.speech_rule`), no metrics: dB, dB, a share of full scale."""


def compare(
    variant: "NDArray[np.floating]", original: "NDArray[np.floating]", sample_rate: int, *, perception: bool = True
) -> Mapping[str, Reading]:
    """Every audio similarity metric of two finite mono signals with the same sample rate, or why it is unknown.

    The values named in `DEVIATIONS` come with them. Without `perception`, PESQ and STOI are left out.
    """
    return dict(_compared(_Signal(variant), _Signal(original), sample_rate, perception))


class _Signal:
    """Samples that compare by their bytes, for the cache."""

    def __init__(self, samples: "NDArray[np.floating]") -> None:
        self.samples = samples
        self._digest = (samples.dtype, hashlib.sha256(samples.tobytes()).digest())

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Signal) and self._digest == other._digest

    def __hash__(self) -> int:
        return hash(self._digest[1])


# An engine that gives the same samples in every launch gives the same pairs, and one takes as long as its speech.
@lru_cache(maxsize=8)
def _compared(x: _Signal, y: _Signal, sample_rate: int, perception: bool) -> Mapping[str, Reading]:  # noqa: FBT001 - lru_cache knows the order
    from harness.metrics.audio.perception import pesq, stoi, warp

    variant, original = x.samples, y.samples
    if not len(variant) or not len(original):
        return dict.fromkeys(("lsd", "mcd", "duration_ratio", "pesq", "stoi", *DEVIATIONS), unknown(NO_AUDIO))
    aligned = aligned_spectra(variant, original, sample_rate)
    figures = {
        "lsd": log_spectral_distance(aligned),
        "mcd": mel_cepstral_distortion(aligned),
        "duration_ratio": known(len(variant) / len(original)),
        "mcd_peak": peak_distortion(aligned),
        "timbre": timbre_distance(aligned),
        "largest_step": largest_step(variant),
    }
    if not perception:
        return {**figures, **dict.fromkeys(("pesq", "stoi"), unknown(NOT_ASKED))}
    fitted = warp(variant, original, path=aligned.path, hop=hop_length(sample_rate))
    return {
        **figures,
        "pesq": pesq(fitted, original, sample_rate),
        "stoi": stoi(fitted, original, sample_rate),
    }
