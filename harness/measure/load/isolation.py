"""Checks that an answer under load matches the solo answer to the same text, and is no other text or mixture of texts.

A synthesiser may add noise to every answer, so the samples of two good answers differ. The check compares levels in
frequency bands over time. The similarity of two solo answers sets the limit.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from harness.core.records.repetition import VALID, Outcome, OutcomeKind

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

WINDOW_S = 0.02
BANDS = 48
FLOOR_DB = -60.0
"""Levels below this count as silence, which excludes the noise between words."""
SLACK = 0.1
"""How much lower than that of two solo answers the similarity may be."""
LENGTH_SLACK = 0.02
FAULT = "differs-from-alone"


@dataclass(frozen=True, slots=True, kw_only=True)
class SoloReference:
    """Two solo answers to a text, mono float32 of shape (frames,). Their similarity is the normal one."""

    first: "NDArray[np.float32]"
    again: "NDArray[np.float32]"
    sample_rate: int

    def judge(self, answer: "NDArray[np.float32]") -> Outcome:
        """Compare an answer with the solo answers: VALID, or an outcome with both similarities."""
        normal = similarity(self.first, self.again, self.sample_rate)
        found = max(similarity(self.first, answer, self.sample_rate), similarity(self.again, answer, self.sample_rate))
        if found >= normal - SLACK:
            return VALID
        return Outcome(
            kind=OutcomeKind.INVALID_AUDIO,
            fault=FAULT,
            reason=f"The audio differs from the solo answer: the similarity is {found:.2f}, that of two solo answers "
            f"is {normal:.2f}.",
        )


def similarity(one: "NDArray[np.float32]", other: "NDArray[np.float32]", sample_rate: int) -> float:
    """Correlation of two signals' levels over time and frequency: 1 for the same course, about 0 for unrelated ones.

    It is 0 if the lengths differ by more than 2 %.
    """
    import numpy as np

    longer, shorter = max(len(one), len(other)), min(len(one), len(other))
    if not shorter or longer - shorter > LENGTH_SLACK * longer:
        return 0.0
    a, b = (_levels(signal[:shorter], sample_rate).ravel() for signal in (one, other))
    a, b = a - a.mean(), b - b.mean()
    scale = float(np.sqrt((a * a).sum() * (b * b).sum()))
    return float((a * b).sum()) / scale if scale else float(np.array_equal(a, b))


def _levels(signal: "NDArray[np.float32]", sample_rate: int) -> "NDArray[np.float64]":
    """Levels in dB above the floor, which lies below the loudest; shape (windows, bands), evenly wide up to 6 kHz."""
    import numpy as np

    size = max(2 * BANDS, round(WINDOW_S * sample_rate))
    windows = max(1, len(signal) // size)
    padded = np.zeros(windows * size)
    padded[: min(len(signal), len(padded))] = signal[: len(padded)]
    power = np.abs(np.fft.rfft(padded.reshape(windows, size) * np.hanning(size), axis=1)) ** 2
    upper = max(BANDS, int(6_000 * size / sample_rate))
    edges = np.linspace(0, min(upper, power.shape[1] - 1), BANDS + 1).astype(int)
    bands = np.add.reduceat(power, edges[:-1], axis=1)
    loudest = bands.max()
    if not loudest:
        return np.zeros_like(bands)
    level: NDArray[np.float64] = np.maximum(10 * np.log10(bands / loudest + 1e-30), FLOOR_DB) - FLOOR_DB
    return level
