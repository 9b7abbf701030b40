"""The log-mel spectrogram that the P.808 model of DNSMOS was trained on. NumPy only.

Frames of 321 samples, 160 apart, at 16 kHz: power spectrum under a periodic Hann window, 120 triangular mel bands of
equal area (Slaney's scale: linear below 1 kHz, logarithmic above), decibels below the loudest, floored at −80 dB.
"""

from functools import cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

RATE = 16_000
_FRAME = 321
_HOP = 160
_BANDS = 120
_LEAST_POWER = 1e-10
_FLOOR_DB = 80.0
_LINEAR_HZ = 1_000.0
_HZ_PER_MEL = 200.0 / 3.0
_STEP = 27.0
"""Mels for each factor of 6.4 in frequency above `_LINEAR_HZ`."""


def log_mel(audio: "NDArray[np.float32]") -> "NDArray[np.float32]":
    """The spectrogram of mono audio at 16 kHz, shape (frames, bands): 1 is the loudest, −1 is 80 dB below it."""
    import numpy as np

    padded = np.pad(audio.astype(np.float64), _FRAME // 2)
    frames = np.lib.stride_tricks.sliding_window_view(padded, _FRAME)[::_HOP]
    window = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(_FRAME) / _FRAME)
    power = np.abs(np.fft.rfft(frames * window, axis=1)) ** 2
    mel = power @ _bands().T
    decibels = 10 * np.log10(np.maximum(mel, _LEAST_POWER)) - 10 * np.log10(max(float(mel.max()), _LEAST_POWER))
    floored: NDArray[np.float32] = ((np.maximum(decibels, decibels.max() - _FLOOR_DB) + 40) / 40).astype(np.float32)
    return floored


@cache
def _bands() -> "NDArray[np.float64]":
    """The triangular bands, shape (bands, frequencies)."""
    import numpy as np

    top = _LINEAR_HZ / _HZ_PER_MEL + _STEP * np.log(RATE / 2 / _LINEAR_HZ) / np.log(6.4)
    mels = np.linspace(0.0, top, _BANDS + 2)
    linear = _LINEAR_HZ / _HZ_PER_MEL
    edges = np.where(mels < linear, mels * _HZ_PER_MEL, _LINEAR_HZ * np.exp((mels - linear) / _STEP * np.log(6.4)))
    frequencies = np.fft.rfftfreq(_FRAME, 1 / RATE)
    rising = (frequencies - edges[:-2, None]) / (edges[1:-1] - edges[:-2])[:, None]
    falling = (edges[2:, None] - frequencies) / (edges[2:] - edges[1:-1])[:, None]
    bands: NDArray[np.float64] = np.maximum(0.0, np.minimum(rising, falling))
    return bands * (2.0 / (edges[2:] - edges[:-2]))[:, None]
