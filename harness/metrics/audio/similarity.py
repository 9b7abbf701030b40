"""Similarity of a variant's audio to the original's: same text, voice, speed and seed.

Compare a distance with that of the original from itself under another seed, which this module computes as well.
"""

import hashlib
from collections.abc import Mapping
from functools import lru_cache
from typing import TYPE_CHECKING

from harness.core.records.value import Reading, known, unknown
from harness.metrics.audio.alignment import AlignedSpectra, Alignment, align
from harness.metrics.audio.spectra import (
    FLOOR,
    HOP_S,
    SLICE,
    hop_length,
    levels,
    mel_cepstra,
    power_spectra,
    spoken_frames,
)

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from harness.metrics.audio.spectra import Floats


NO_AUDIO = "there is no audio to compare"
NOT_ASKED = "not computed of this text: it takes as long as the speech itself"
OTHER_SPLIT = "the two split the text differently, so their timing and intonation differ by nature"
DISTANCES = ("lsd", "mcd", "pesq", "stoi")
"""Metrics that compare frame by frame."""
DEVIATIONS = ("mcd_peak", "timbre", "largest_step")
"""Values for the verdict on speech (`harness.analysis.speech_rule`), no metrics: dB, dB, a share of full scale."""


def compare(
    variant: "NDArray[np.floating]",
    original: "NDArray[np.floating]",
    sample_rate: int,
    *,
    perception: bool = True,
    joined: bool = False,
) -> Mapping[str, Reading]:
    """Every audio similarity metric of two finite mono signals with the same sample rate, or why it is unknown.

    The values named in `DEVIATIONS` come with them. Without `perception`, PESQ and STOI are left out. `joined`: the two
    split their text differently, so distances frame by frame are unknown, and those named in `PROSODY` come instead.
    """
    return dict(_compared(_Signal(variant), _Signal(original), sample_rate, perception, joined))


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
def _compared(x: _Signal, y: _Signal, sample_rate: int, perception: bool, joined: bool) -> Mapping[str, Reading]:  # noqa: FBT001 - lru_cache knows the order
    from harness.metrics.audio.perception import pesq, stoi, warp
    from harness.metrics.audio.prosody import PROSODY, compare_prosody

    variant, original = x.samples, y.samples
    if not len(variant) or not len(original):
        names = *DISTANCES, "duration_ratio", *DEVIATIONS, *(PROSODY if joined else ())
        return dict.fromkeys(names, unknown(NO_AUDIO))
    aligned = aligned_spectra(variant, original, sample_rate)
    figures = {
        "duration_ratio": known(len(variant) / len(original)),
        "timbre": timbre_distance(aligned),
        "largest_step": largest_step(variant),
    }
    if joined:
        prosody = compare_prosody(variant, original, sample_rate, aligned)
        return {**dict.fromkeys((*DISTANCES, "mcd_peak"), unknown(OTHER_SPLIT)), **figures, **prosody}
    figures |= {
        "lsd": log_spectral_distance(aligned),
        "mcd": mel_cepstral_distortion(aligned),
        "mcd_peak": peak_distortion(aligned),
    }
    if not perception:
        return {**figures, **dict.fromkeys(("pesq", "stoi"), unknown(NOT_ASKED))}
    fitted = warp(variant, original, path=aligned.path, hop=hop_length(sample_rate))
    return {
        **figures,
        "pesq": pesq(fitted, original, sample_rate),
        "stoi": stoi(fitted, original, sample_rate),
    }


PAUSE_DB = -60.0
"""A frame whose largest bin is below this is a pause. Pairs of pauses are not compared."""
PEAK_FRAMES = 10
"""A missing or other sound takes about 100 ms, ten frames."""

DRIFT_SHARE = 0.10
DRIFT_S = (1.0, 5.0)
"""The allowed drift beyond the ratio of durations: a tenth of the longer signal, within these bounds."""


def aligned_spectra(x: "NDArray[np.floating]", y: "NDArray[np.floating]", sample_rate: int) -> AlignedSpectra:
    """The spectra of two signals, neither empty, along the cheapest path between their mel cepstra c1 … c13."""
    power_x, power_y = power_spectra(x, sample_rate), power_spectra(y, sample_rate)
    cepstra_x, cepstra_y = mel_cepstra(power_x, sample_rate), mel_cepstra(power_y, sample_rate)
    path = _symmetric_path(cepstra_x, cepstra_y)
    rows, columns = path.rows, path.columns
    sounding = (levels(power_x)[rows] >= PAUSE_DB) | (levels(power_y)[columns] >= PAUSE_DB)
    return AlignedSpectra(
        power_x=power_x,
        power_y=power_y,
        cepstra_x=cepstra_x,
        cepstra_y=cepstra_y,
        rows=rows[sounding],
        columns=columns[sounding],
        path=path,
    )


def log_spectral_distance(aligned: AlignedSpectra) -> Reading:
    """Mean over pairs of √(mean over bins of (10 log10(P_x / P_y))²), in dB; powers count from −100 dB on.

    A. H. Gray and J. D. Markel, "Distance measures for speech processing", IEEE ASSP 24 (1976), their L2 norm.
    """
    import numpy as np

    pairs = len(aligned.rows)
    if not pairs:
        return unknown("both are silent")
    total = 0.0
    for begin in range(0, pairs, SLICE):
        rows, columns = aligned.rows[begin : begin + SLICE], aligned.columns[begin : begin + SLICE]
        power_x, power_y = np.maximum(aligned.power_x[rows], FLOOR), np.maximum(aligned.power_y[columns], FLOOR)
        total += float(np.sqrt(np.square(10 * np.log10(power_x / power_y)).mean(axis=1)).sum())
    return known(total / pairs)


def mel_cepstral_distortion(aligned: AlignedSpectra) -> Reading:
    """Mean over pairs of (10 / ln 10) √(2 Σ_m (x_m − y_m)²) over c1 … c13, in dB.

    R. F. Kubichek, "Mel-cepstral distance measure for objective speech quality assessment", IEEE PACRIM 1993.
    """
    if not len(aligned.rows):
        return unknown("both are silent")
    return known(float(_pair_distortions(aligned).mean()))


def peak_distortion(aligned: AlignedSpectra) -> Reading:
    """The largest mel-cepstral distortion (dB) of any ten successive pairs of frames.

    A missing phoneme leaves the mean of a sentence nearly as it was, but not this.
    """
    import numpy as np

    if not len(aligned.rows):
        return unknown("both are silent")
    distances = _pair_distortions(aligned)
    width = min(PEAK_FRAMES, len(distances))
    return known(float(np.convolve(distances, np.full(width, 1 / width), mode="valid").max()))


def timbre_distance(aligned: AlignedSpectra) -> Reading:
    """Mel-cepstral distance (dB) between the mean spectra of both utterances: that of two voices, whatever they say."""
    ours = _mean_cepstrum(aligned.power_x, aligned.cepstra_x)
    theirs = _mean_cepstrum(aligned.power_y, aligned.cepstra_y)
    if ours is None or theirs is None:
        return unknown("one of them is silent")
    return known(float(_cepstral_distance(ours, theirs)))


def largest_step(audio: "NDArray[np.floating]") -> Reading:
    """The largest difference between two successive samples; full scale is from −1 to 1.

    Speech has none near full scale. Samples that overflow an integer jump from one end to the other.
    """
    import numpy as np

    if len(audio) < 2:
        return unknown("fewer than two samples")
    return known(float(np.abs(np.diff(audio)).max()))


def _mean_cepstrum(power: "Floats", cepstra: "Floats") -> "Floats | None":
    """Shape (13,): the mean over the frames with speech; None if there are none."""
    spoken = spoken_frames(power)
    return cepstra[spoken].mean(axis=0) if spoken.any() else None


def _pair_distortions(aligned: AlignedSpectra) -> "Floats":
    """Shape (pairs,): the mel-cepstral distance of each pair of frames, in dB."""
    return _cepstral_distance(aligned.cepstra_x[aligned.rows], aligned.cepstra_y[aligned.columns])


def _cepstral_distance(x: "Floats", y: "Floats") -> "Floats":
    """(10 / ln 10) √(2 Σ_m (x_m − y_m)²) over the last axis, in dB."""
    import numpy as np

    return np.asarray(10 / np.log(10) * np.sqrt(2 * np.square(x - y).sum(axis=-1)))


def _symmetric_path(x: "Floats", y: "Floats") -> Alignment:
    """The same path whichever comes first: steps that cost the same would else be taken differently."""
    radius = _radius(max(len(x), len(y)))
    if (len(x), x.tobytes()) <= (len(y), y.tobytes()):
        return align(x, y, radius=radius)
    mirrored = align(y, x, radius=radius)
    return Alignment(rows=mirrored.columns, columns=mirrored.rows, cost=mirrored.cost)


def _radius(frames: int) -> int:
    shortest, longest = DRIFT_S
    return round(min(max(DRIFT_SHARE * frames, shortest / HOP_S), longest / HOP_S))
