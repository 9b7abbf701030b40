"""Short-time spectra of mono audio: power, mel bands, mel cepstra. All arrays are float64, one row per 10 ms frame."""

from functools import lru_cache
from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Floats: TypeAlias = NDArray[np.float64]

WINDOW_S = 0.025
HOP_S = 0.010
MEL_BANDS = 40
LOWEST_HZ = 50.0
CEPSTRA = 13
SLICE = 1_000
"""Frames that are worked on at once: minutes of speech need not fit into memory several times over."""
FLOOR = 1e-10
"""Power that counts as nothing: −100 dB in one bin is about the threshold of hearing where full scale is loud, and lies
above what 16-bit samples add by rounding (−127 dB), so that neither makes a distance."""

SPOKEN_DB = -40.0
"""Frames whose largest bin lies above this, relative to the loudest frame, are speech."""
SPEECH_FLOOR_DB = -90.0
"""No frame below this is speech, however quiet the loudest one is."""


def hop_length(sample_rate: int) -> int:
    """Samples from one frame to the next."""
    return max(1, round(HOP_S * sample_rate))


def power_spectra(audio: "NDArray[np.floating]", sample_rate: int) -> "Floats":
    """Shape (frames, bins): squared magnitude under a Hann window of 25 ms; a sine of amplitude 1 peaks at 1/4.

    The end is padded with zeros to a whole frame. Bins are at most 20 Hz apart, so that every mel band holds several.
    """
    import numpy as np

    length, hop = max(2, round(WINDOW_S * sample_rate)), hop_length(sample_rate)
    frames = 1 + -(-max(0, len(audio) - length) // hop)
    padded = np.zeros(length + (frames - 1) * hop)
    padded[: len(audio)] = audio
    window = np.hanning(length + 1)[:length]
    cut = np.lib.stride_tricks.sliding_window_view(padded, length)[::hop]
    transform = 1 << (2 * length - 1).bit_length()  # a power of two, at least twice the window
    power = np.empty((frames, transform // 2 + 1))
    for begin in range(0, frames, SLICE):
        part = slice(begin, begin + SLICE)
        spectrum = np.fft.rfft(cut[part] * window, n=transform, axis=1)
        # Not the square of np.abs, which takes as long as the transform for the root.
        power[part] = np.square(spectrum.real) + np.square(spectrum.imag)
    power /= window.sum() ** 2
    return power


def mel_powers(power: "Floats", sample_rate: int) -> "Floats":
    """Shape (frames, 40): mean power in triangular bands, evenly spaced on the mel scale from 50 Hz to Nyquist.

    mel = 2595 log10(1 + f / 700): D. O'Shaughnessy, Speech Communication, 1987.
    """
    import numpy as np

    return np.asarray(power @ _mel_bank(power.shape[1], sample_rate).T)


def mel_levels(bands: "Floats") -> "Floats":
    """The powers of mel bands in dB, for pictures: not below −100 dB."""
    import numpy as np

    return np.asarray(10 * np.log10(np.maximum(bands, FLOOR)))


def mel_cepstra(power: "Floats", sample_rate: int) -> "Floats":
    """Shape (frames, 13): the `band_cepstra` of the mel bands of power spectra."""
    return band_cepstra(mel_powers(power, sample_rate))


def band_cepstra(bands: "Floats") -> "Floats":
    """Shape (frames, 13): c1 … c13 of the mel bands' natural-log amplitude L, without c0.

    c_m = (2 / K) Σ_k L_k cos(π m (k + ½) / K), hence L_k = c0 / 2 + Σ_m c_m cos(π m (k + ½) / K): the normalisation in
    which the usual formula of mel-cepstral distortion is the root mean square over the bands, in dB.
    """
    import numpy as np

    log_amplitude = 0.5 * np.log(np.maximum(bands, FLOOR))
    return np.asarray(log_amplitude @ _cosines().T)


def levels(power: "Floats") -> "Floats":
    """Shape (frames,): the largest bin of each frame, in dB."""
    import numpy as np

    return np.asarray(10 * np.log10(np.maximum(power.max(axis=1), FLOOR)))


def spoken_frames(power: "Floats") -> "NDArray[np.bool_]":
    """Shape (frames,): whether a frame is speech."""
    import numpy as np

    loudness = levels(power)
    return np.asarray((loudness >= loudness.max() + SPOKEN_DB) & (loudness > SPEECH_FLOOR_DB))


@lru_cache(maxsize=8)
def _mel_bank(bins: int, sample_rate: int) -> "Floats":
    """Shape (40, bins); each row adds up to 1."""
    import numpy as np

    frequencies = np.linspace(0, sample_rate / 2, bins)
    low, high = (2595 * np.log10(1 + hz / 700) for hz in (LOWEST_HZ, sample_rate / 2))
    corners = 700 * (10 ** (np.linspace(low, high, MEL_BANDS + 2) / 2595) - 1)
    rising = (frequencies - corners[:-2, None]) / np.diff(corners)[:-1, None]
    falling = (corners[2:, None] - frequencies) / np.diff(corners)[1:, None]
    bank = np.clip(np.minimum(rising, falling), 0, None)
    return np.asarray(bank / bank.sum(axis=1, keepdims=True))


@lru_cache(maxsize=1)
def _cosines() -> "Floats":
    """Shape (13, 40)."""
    import numpy as np

    bands = np.arange(MEL_BANDS) + 0.5
    return np.asarray(2 / MEL_BANDS * np.cos(np.pi / MEL_BANDS * np.arange(1, CEPSTRA + 1)[:, None] * bands))
