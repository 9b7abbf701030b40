"""A voice of harmonics, for tests of what compares speech."""

import numpy as np
from numpy.typing import NDArray

RATE = 24_000


def voiced(
    seconds: float, *, hz: float = 120.0, level: float = 0.2, tilt: float = 1.0, depth: float = 0.15, pace: float = 1.0
) -> NDArray[np.float64]:
    """Harmonics of a pitch that moves by `depth`, in syllables; the larger the tilt, the darker the voice."""
    time = np.arange(round(seconds * RATE)) / RATE
    phase = 2 * np.pi * np.cumsum(hz * (1 + depth * np.sin(2 * np.pi * 0.7 * time))) / RATE
    harmonics = np.arange(1, 20)
    # The formants of successive syllables differ, so that they align.
    place = 4 + 3 * np.sin(2 * np.pi * 1.9 * pace * time)
    bumps = 1 + 4 * np.exp(-((harmonics[:, None] - place) ** 2) / 4)
    sound = (bumps * np.sin(harmonics[:, None] * phase) / harmonics[:, None] ** tilt).sum(axis=0)
    envelope = 0.6 + 0.4 * np.sin(2 * np.pi * 4 * pace * time)
    return np.asarray(level * sound * envelope / np.abs(sound).max())
