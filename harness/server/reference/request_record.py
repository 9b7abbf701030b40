"""What a listener gets of one answer, stamped as it is handed to the network: the server's own repetition.

It is kept in the harness's records and judged by the harness's own functions, so that both mean the same by a figure.
"""

import hashlib
import math
from typing import TYPE_CHECKING

from harness.core.records.repetition import AudioFeatures, ChunkMark, Phase, Repetition
from harness.core.records.scenario import Band
from harness.engines.pooled.synthesizer import SAMPLE_RATE
from harness.metrics.audio.features import FULL_SCALE
from harness.metrics.audio.onset import AUDIBLE_S, THRESHOLD_DBFS, onset_frame
from harness.metrics.validity import check

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from harness.core.clock import Clock

ANY_LENGTH = Band(low=0.0, high=math.inf)
SEARCHED_S = 10.0
"""Of an answer's beginning is kept until it is known where it can be heard; after so much silence nobody looks on."""


class RequestRecorder:
    """Grows with an answer, and holds no audio once its onset is known. Times count from `arrived_ns`."""

    def __init__(self, *, arrived_ns: int, clock: "Clock") -> None:
        self._clock = clock
        self._arrived_ns = arrived_ns
        self._marks: list[ChunkMark] = []
        self._first_byte_ns: int | None = None
        self._digest = hashlib.sha256()
        self._frames = 0
        self._power = 0.0
        self._peak = 0.0
        self._clipped = 0
        self._finite = True
        self._beginning: list[NDArray[np.float32]] = []
        self._onset: int | None = None

    def made(self, audio: "NDArray[np.float32]") -> None:
        """More audio, in order, before it is sent."""
        import numpy as np

        if not len(audio):
            return
        magnitude = np.abs(audio)
        self._digest.update(np.ascontiguousarray(audio, dtype="<f4").data)
        self._finite = self._finite and bool(np.isfinite(magnitude).all())
        self._power += float(np.square(audio, dtype=np.float64).sum())
        self._peak = max(self._peak, float(magnitude.max()))
        self._clipped += int(np.count_nonzero(magnitude >= FULL_SCALE))
        if self._onset is None and self._finite and self._frames < SEARCHED_S * SAMPLE_RATE:
            self._beginning.append(audio)
            self._onset = onset_frame(np.concatenate(self._beginning), SAMPLE_RATE)
            if self._onset is not None:
                self._beginning.clear()
        self._frames += len(audio)

    def sent(self, frames: int) -> None:
        """Bytes have gone out, and so many frames with them."""
        at_ns = self._now_ns()
        if self._first_byte_ns is None:
            self._first_byte_ns = at_ns
        if frames:
            self._marks.append(ChunkMark(at_ns=at_ns, frames=frames))

    def repetition(self, *, characters: int) -> Repetition:
        """The record; the audio is judged by all but its length."""
        audio = self._features()
        return Repetition(
            scenario_id="served",
            launch=0,
            block=0,
            position=0,
            phase=Phase.MEASURED,
            variant=0,
            characters=characters,
            started_at=self._clock.wall(),
            end_ns=self._now_ns(),
            chunks=tuple(self._marks),
            first_byte_ns=self._first_byte_ns,
            audio=audio,
            outcome=check(audio, band=ANY_LENGTH, characters=characters, expected_sample_rate=SAMPLE_RATE),
        )

    def _features(self) -> AudioFeatures:
        heard = self._frames > 0 and self._finite
        mean_power = self._power / self._frames if heard else 0.0
        missing = f"nothing is louder than {THRESHOLD_DBFS:g} dBFS for {AUDIBLE_S * 1000:g} ms in the first "
        return AudioFeatures(
            sample_rate=SAMPLE_RATE,
            frames=self._frames,
            sha256=self._digest.hexdigest(),
            finite=self._finite,
            peak=self._peak if heard else None,
            rms_dbfs=10 * math.log10(mean_power) if mean_power else None,
            clipped_share=self._clipped / self._frames if heard else None,
            onset_frame=self._onset,
            onset_reason="" if self._onset is not None else f"{missing}{SEARCHED_S:g} s",
        )

    def _now_ns(self) -> int:
        return self._clock.now_ns() - self._arrived_ns
