"""Similarity of a variant's audio to the original's: same text, voice, speed and seed.

Compare a distance with that of the original from itself under another seed, which this module computes as well.
"""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

from harness.core.records.value import Reading, known, unknown
from harness.metrics.audio.alignment import Alignment, align
from harness.metrics.audio.deviation import largest_step, peak_distortion, timbre_distance
from harness.metrics.audio.spectra import FLOOR, HOP_S, SLICE, hop_length, levels, mel_cepstra, power_spectra

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from harness.metrics.audio.spectra import Floats

NO_AUDIO = "there is no audio to compare"
NOT_ASKED = "not computed of this text: it takes as long as the speech itself"
SILENT_DB = -60.0
"""A frame whose largest bin is below this is a pause. Pairs of pauses are not compared."""

DEVIATIONS = ("mcd_peak", "timbre", "largest_step")
"""Values for the verdict on speech (`deviation`): dB, dB, and a share of full scale."""

DRIFT_SHARE = 0.10
DRIFT_S = (1.0, 5.0)
"""The allowed drift beyond the ratio of durations: a tenth of the longer signal, within these bounds."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AlignedSpectra:
    """Two utterances and their aligned frames, without the pairs in which both pause.

    Powers have the shape (frames, bins), cepstra (frames, 13), each with its own number of frames; `rows` and
    `columns`, shape (pairs,), are the frames of x and of y.
    """

    power_x: "Floats"
    power_y: "Floats"
    cepstra_x: "Floats"
    cepstra_y: "Floats"
    rows: "NDArray[np.intp]"
    columns: "NDArray[np.intp]"


def compare(
    variant: "NDArray[np.floating]", original: "NDArray[np.floating]", sample_rate: int, *, perception: bool = True
) -> Mapping[str, Reading]:
    """Every audio similarity metric of two finite mono signals with the same sample rate, or why it is unknown.

    The values named in `DEVIATIONS` come with them; they are no metrics.

    Without `perception`, PESQ and STOI are left out.
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
    path, aligned = _aligned(variant, original, sample_rate)
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
    fitted = warp(variant, original, path=path, hop=hop_length(sample_rate))
    return {
        **figures,
        "pesq": pesq(fitted, original, sample_rate),
        "stoi": stoi(fitted, original, sample_rate),
    }


def aligned_spectra(x: "NDArray[np.floating]", y: "NDArray[np.floating]", sample_rate: int) -> AlignedSpectra:
    """The spectra of two signals, neither empty, along the cheapest path between their mel cepstra c1 … c13."""
    return _aligned(x, y, sample_rate)[1]


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
    import numpy as np

    if not len(aligned.rows):
        return unknown("both are silent")
    squared = np.square(aligned.cepstra_x[aligned.rows] - aligned.cepstra_y[aligned.columns]).sum(axis=1)
    return known(float(10 / np.log(10) * np.sqrt(2 * squared).mean()))


def _aligned(
    x: "NDArray[np.floating]", y: "NDArray[np.floating]", sample_rate: int
) -> tuple[Alignment, AlignedSpectra]:
    power_x, power_y = power_spectra(x, sample_rate), power_spectra(y, sample_rate)
    cepstra_x, cepstra_y = mel_cepstra(power_x, sample_rate), mel_cepstra(power_y, sample_rate)
    path = _symmetric_path(cepstra_x, cepstra_y)
    rows, columns = path.rows, path.columns
    sounding = (levels(power_x)[rows] >= SILENT_DB) | (levels(power_y)[columns] >= SILENT_DB)
    return path, AlignedSpectra(
        power_x=power_x,
        power_y=power_y,
        cepstra_x=cepstra_x,
        cepstra_y=cepstra_y,
        rows=rows[sounding],
        columns=columns[sounding],
    )


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
