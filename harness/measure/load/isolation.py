"""Whether an answer under load is the answer that is given alone: not another text's, and not two texts' at once.

A synthesiser may put noise of its own into every answer, so the samples of two good answers differ. What is compared is
the course of the sound, as levels in bands over time; how much two answers given alone differ is the measure.
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
"""Levels below this are as good as silence; it keeps the noise between words out of the comparison."""
SLACK = 0.1
"""How much less alike than two answers given alone an answer may be."""
LENGTH_SLACK = 0.02
FAULT = "differs-from-alone"


@dataclass(frozen=True, slots=True, kw_only=True)
class SoloReference:
    """A text's answer given alone, twice: the second says how much is normal. Mono float32, shape (frames,)."""

    first: "NDArray[np.float32]"
    again: "NDArray[np.float32]"
    sample_rate: int

    def judge(self, answer: "NDArray[np.float32]") -> Outcome:
        """VALID, or what differs, with its figures."""
        normal = similarity(self.first, self.again, self.sample_rate)
        found = max(similarity(self.first, answer, self.sample_rate), similarity(self.again, answer, self.sample_rate))
        if found >= normal - SLACK:
            return VALID
        return Outcome(
            kind=OutcomeKind.INVALID_AUDIO,
            fault=FAULT,
            reason=f"The audio differs from the answer given alone: its course is {found:.2f} alike, where two answers "
            f"given alone are {normal:.2f} alike.",
        )


def similarity(one: "NDArray[np.float32]", other: "NDArray[np.float32]", sample_rate: int) -> float:
    """Correlation of two signals' levels over time and frequency: 1 for the same course, about 0 for unrelated ones.

    Where the lengths differ by more than 2 %, the courses cannot be the same, and it is 0.
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
