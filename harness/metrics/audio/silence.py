"""Silence before and after speech, by the rule for the first audible moment. Standard library and NumPy only."""

from typing import TYPE_CHECKING

from harness.core.records.value import Reading, known, unknown
from harness.metrics.audio.onset import INAUDIBLE, onset_frame

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


def silences(audio: "NDArray[np.float32]", sample_rate: int) -> dict[str, Reading]:
    """`leading_silence` and `trailing_silence` of finite mono audio, in s; unknown where nothing is audible."""
    first, last = onset_frame(audio, sample_rate), onset_frame(audio[::-1], sample_rate)
    if first is None or last is None:
        nothing = unknown(INAUDIBLE)
        return {"leading_silence": nothing, "trailing_silence": nothing}
    return {"leading_silence": known(first / sample_rate), "trailing_silence": known(last / sample_rate)}
