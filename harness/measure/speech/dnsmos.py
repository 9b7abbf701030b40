"""DNSMOS: predicted opinion scores of speech, by the ONNX files of the package speechmos. Runs in the judging process.

Both models take windows of 9.01 s at 16 kHz; shorter audio is repeated until it fills them. The scores are means over
the windows. Those of P.808 are 1 s apart, as its authors choose them. A window of P.835 costs 30 times as much, so
there are only as many as cover the audio once.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from harness.measure.speech.mel import RATE, log_mel

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

WINDOW_S = 9.01
_WINDOW = int(WINDOW_S * RATE)
_HOP = 160
_OVERALL = (-0.06766283, 1.11546468, 0.04602535)
_SIGNAL = (-0.08397278, 1.22083953, 0.0052439)
"""Coefficients, highest power first, that map the P.835 model's raw scores to opinion scores."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Scores:
    """Mean opinion scores, 1 (bad) to 5 (excellent)."""

    overall: float
    signal: float
    p808: float


class Dnsmos:
    """The two models, loaded with one thread each."""

    def __init__(self, folder: Path) -> None:
        """`folder` holds the ONNX files."""
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        self._p835, self._p808 = (
            onnxruntime.InferenceSession(str(folder / name), options, providers=["CPUExecutionProvider"])
            for name in ("sig_bak_ovr.onnx", "model_v8.onnx")
        )

    def score(self, audio: "NDArray[np.float32]") -> Scores:
        """The scores of finite mono audio at 16 kHz, which must not be empty."""
        import numpy as np

        audio, frames = audio.clip(-1.0, 1.0), len(audio)
        if len(audio) < _WINDOW:
            # Doubled until it is long enough, as the authors do: the number of windows depends on it.
            audio = np.tile(audio, 1 << int(np.ceil(np.log2(_WINDOW / len(audio)))))
        close = range(0, len(audio) - _WINDOW + 1, RATE)
        p808 = np.mean(
            [self._p808.run(None, {"input_1": log_mel(audio[at : at + _WINDOW - _HOP])[None]})[0][0] for at in close]
        )
        rows = [self._p835.run(None, {"input_1": audio[None, at : at + _WINDOW]})[0][0] for at in _covering(frames)]
        return Scores(
            overall=float(np.mean([_mapped(float(row[2]), _OVERALL) for row in rows])),
            signal=float(np.mean([_mapped(float(row[0]), _SIGNAL) for row in rows])),
            p808=float(p808),
        )


def _covering(frames: int) -> list[int]:
    """The starts of the fewest windows, evenly apart, that cover so many frames."""
    count = max(1, -(-frames // _WINDOW))
    return [number * (frames - _WINDOW) // (count - 1) for number in range(count)] if count > 1 else [0]


def _mapped(raw: float, coefficients: tuple[float, float, float]) -> float:
    square, linear, constant = coefficients
    return square * raw * raw + linear * raw + constant
