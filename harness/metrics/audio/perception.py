"""PESQ and STOI; they need the extra `similarity`. Both need signals of equal length, so one is fitted first."""

import importlib
import math
import warnings
from types import ModuleType
from typing import TYPE_CHECKING, TypeAlias

from harness.core.records.value import Reading, known, unknown
from harness.metrics.audio.alignment import Alignment
from harness.metrics.audio.resampling import resampled

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Signal: TypeAlias = NDArray[np.floating]

PESQ_RATE = 16_000
PESQ_LONGEST_S = 30.0
"""P.862's reference code stores utterances in tables of fixed size, which longer speech may overrun."""
SILENT = "silence has neither quality nor intelligibility"
SEARCH_SHARE = 1.0
"""How far (in hops) a segment may be moved to match the phase of the original."""


def not_installed() -> Reading:
    """The unknown reading for a missing optional package."""
    return unknown("not installed: pip install 'kokoro-bench[similarity]'")


def pesq(variant: "Signal", original: "Signal", sample_rate: int) -> Reading:
    """Wide-band PESQ (ITU-T P.862.2) of two mono signals of equal length, resampled to 16 kHz: a MOS-LQO."""
    import numpy as np

    package = _optional("pesq")
    if package is None:
        return not_installed()
    if not original.any() or not variant.any():
        return unknown(SILENT)
    if len(original) > PESQ_LONGEST_S * sample_rate:
        seconds = len(original) / sample_rate
        return unknown(f"PESQ takes at most {PESQ_LONGEST_S:g} s of speech, and this is {seconds:.1f} s")
    reference, degraded = (
        resampled(np.asarray(each, dtype=np.float64), sample_rate, PESQ_RATE) for each in (original, variant)
    )
    try:
        score = float(package.pesq(PESQ_RATE, reference, degraded, "wb"))
    except package.PesqError as error:
        return unknown(f"PESQ: {' '.join(str(_message(error)).split())}")
    return known(score) if math.isfinite(score) else unknown("PESQ gave no number")


def stoi(variant: "Signal", original: "Signal", sample_rate: int) -> Reading:
    """Short-time objective intelligibility of two mono signals of equal length.

    C. H. Taal et al., "An algorithm for intelligibility prediction of time–frequency weighted noisy speech", IEEE
    TASLP 19 (2011).
    """
    package = _optional("pystoi")
    if package is None:
        return not_installed()
    if not original.any() or not variant.any():
        return unknown(SILENT)
    with warnings.catch_warnings():
        # For too little speech the package warns and returns 1e-5, which looks like a valid value.
        warnings.simplefilter("error", RuntimeWarning)
        try:
            score = float(package.stoi(original, variant, sample_rate, extended=False))
        except RuntimeWarning as warning:
            return unknown(f"STOI: {' '.join(str(warning).split('.')[0].split())}")
    return known(score) if math.isfinite(score) else unknown("STOI gave no number")


def warp(variant: "Signal", original: "Signal", *, path: Alignment, hop: int) -> "NDArray[np.float64]":
    """`variant` warped to the pace and length of `original` along `path`, by overlap-add.

    The method is waveform similarity (W. Verhelst and M. Roelands, WSOLA, ICASSP 1993), with one change: a segment is
    matched with the original and not with the output so far. It moves within a hop to either side, to the maximum of
    the normalised cross-correlation. Identical signals stay unchanged. `path` has the original as its columns, in
    frames of `hop`.
    """
    import numpy as np

    length, search = 2 * hop, round(SEARCH_SHARE * hop)
    window = np.hanning(length + 1)[:length]
    frames = -(-len(original) // hop) + 1
    margin = length + search
    target = np.pad(np.asarray(original, dtype=np.float64), (hop, length))
    source = np.pad(np.asarray(variant, dtype=np.float64), (hop + margin, length + margin))
    out, weight = np.zeros(len(target) + length), np.zeros(len(target) + length)
    partners = _partners(path, frames)
    for frame in range(frames):
        at = frame * hop
        wanted = target[at : at + length]
        if len(wanted) < length:
            break
        begin = min(partners[frame] * hop + margin, len(source) - length - search)
        piece = _best_fit(source[begin - search : begin + length + search], wanted, search=search)
        out[at : at + length] += window * piece
        weight[at : at + length] += window
    fitted = out / np.where(weight > 1e-9, weight, 1.0)
    return np.asarray(fitted[hop : hop + len(original)])


def _partners(path: Alignment, frames: int) -> "NDArray[np.intp]":
    """For each frame of the original, the variant's frame: the middle one on the path, extrapolated beyond its end."""
    import numpy as np

    first = np.searchsorted(path.columns, np.arange(frames), side="left")
    last = np.searchsorted(path.columns, np.arange(frames), side="right") - 1
    middle = np.clip((np.minimum(first, last) + last) // 2, 0, len(path.rows) - 1)
    beyond = np.maximum(0, np.arange(frames) - path.columns[-1])
    return np.asarray(path.rows[middle] + beyond)


def _best_fit(stretch: "NDArray[np.float64]", wanted: "NDArray[np.float64]", *, search: int) -> "NDArray[np.float64]":
    """The segment of `stretch` most similar to `wanted`; the middle one if no other is better."""
    import numpy as np

    length = len(wanted)
    energy = np.sqrt(np.correlate(np.square(stretch), np.ones(length)))
    product = np.correlate(stretch, wanted)
    correlation = np.divide(product, energy, out=np.zeros(len(product)), where=energy > 1e-9)
    best = int(np.argmax(correlation))
    # Ignore improvements within rounding error: silence and steady tones stay where the path puts them.
    begin = best if correlation[best] > correlation[search] * (1 + 1e-9) + 1e-12 else search
    return stretch[begin : begin + length]


def _optional(name: str) -> ModuleType | None:
    try:
        return importlib.import_module(name)
    except ImportError:
        return None


def _message(error: BaseException) -> object:
    """The package gives its messages as bytes."""
    message = error.args[0] if error.args else type(error).__name__
    return message.decode(errors="replace") if isinstance(message, bytes) else message
