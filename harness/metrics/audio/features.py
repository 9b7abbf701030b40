"""The features that are stored of a repetition's audio. Runs in workers: standard library and NumPy only."""

import hashlib
import math
from typing import TYPE_CHECKING

from harness.core.records.repetition import AudioFeatures
from harness.metrics.audio.onset import INAUDIBLE, onset_frame

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np
    from numpy.typing import NDArray

FULL_SCALE = 1 - 2**-15
"""The largest 16-bit sample as a float: the decoded value of a clipped sample."""

MOST_KNOWN = 256
"""Features that are kept. A deterministic engine gives the same samples for the same text again and again."""
_known: dict[tuple[str, int, int], AudioFeatures] = {}
"""Features by the digest of the samples, the sample rate and the number of channels."""


def extract(chunks: "Sequence[NDArray[np.float32]]", sample_rate: int, channels: int = 1) -> AudioFeatures:
    """The features of the chunks joined: each of shape (frames, channels), or flat with the channels interleaved.

    The digest is SHA-256 over the float32 samples, little endian, so it does not depend on how the audio was cut. With
    several channels a frame counts by the RMS of its samples for the onset, and by its loudest sample for clipping.
    """
    import numpy as np

    joined = np.concatenate(
        [
            np.asarray(chunk, dtype=np.float32).reshape(-1, channels)
            for chunk in chunks or [np.empty(0, dtype=np.float32)]
        ]
    )
    digest = hashlib.sha256(np.ascontiguousarray(joined, dtype="<f4").data).hexdigest()
    known = _known.get((digest, sample_rate, channels))
    if known is None:
        known = _of_samples(joined, sample_rate, digest=digest, channels=channels)
        if len(_known) >= MOST_KNOWN:
            _known.clear()
        _known[digest, sample_rate, channels] = known
    return known


def _of_samples(joined: "NDArray[np.float32]", sample_rate: int, *, digest: str, channels: int) -> AudioFeatures:
    import numpy as np

    frames = len(joined)
    finite = bool(np.isfinite(joined).all())
    if not frames or not finite:
        return AudioFeatures(
            sample_rate=sample_rate, frames=frames, sha256=digest, finite=finite, peak=None, rms_dbfs=None,
            clipped_share=None, onset_frame=None, channels=channels,
            onset_reason="the audio holds values that are not finite" if frames else "there is no audio",
        )  # fmt: skip
    power = np.square(joined, dtype=np.float64)
    mean_power = float(power.mean())
    magnitude = np.abs(joined).max(axis=1)
    mono = joined[:, 0] if channels == 1 else np.sqrt(power.mean(axis=1)).astype(np.float32)
    onset = onset_frame(mono, sample_rate)
    return AudioFeatures(
        sample_rate=sample_rate,
        frames=frames,
        sha256=digest,
        finite=True,
        peak=float(magnitude.max()),
        rms_dbfs=10 * math.log10(mean_power) if mean_power else None,
        clipped_share=float(np.mean(magnitude >= FULL_SCALE)),
        onset_frame=onset,
        onset_reason="" if onset is not None else INAUDIBLE,
        channels=channels,
    )
