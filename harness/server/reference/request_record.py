"""Records one answer with stamps of its sends: the server's own repetition.

It uses the records and checks of the harness, so that values of server and harness have the same definitions.
"""

import hashlib
import math
from typing import TYPE_CHECKING

from harness.core.records.repetition import AudioFeatures, ChunkMark, Phase, Repetition
from harness.core.records.scenario import Band
from harness.engines.kokoro.engine import SAMPLE_RATE
from harness.metrics.audio.features import FULL_SCALE
from harness.metrics.audio.onset import AUDIBLE_S, THRESHOLD_DBFS, onset_frame
from harness.metrics.validity import check

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from harness.core.clock import Clock

ANY_LENGTH = Band(low=0.0, high=math.inf)
ONSET_SEARCH_S = 10.0
"""Seconds of audio in which the onset is searched. The beginning is kept until the onset is found."""


class RequestRecorder:
    """Records an answer while it is sent. It holds no audio after the onset. Times count from `arrived_ns`."""

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
        """Add audio, in order, before it is sent."""
        import numpy as np

        if not len(audio):
            return
        magnitude = np.abs(audio)
        self._digest.update(np.ascontiguousarray(audio, dtype="<f4").data)
        self._finite = self._finite and bool(np.isfinite(magnitude).all())
        self._power += float(np.square(audio, dtype=np.float64).sum())
        self._peak = max(self._peak, float(magnitude.max()))
        self._clipped += int(np.count_nonzero(magnitude >= FULL_SCALE))
        if self._onset is None and self._finite and self._frames < ONSET_SEARCH_S * SAMPLE_RATE:
            self._beginning.append(audio)
            self._onset = onset_frame(np.concatenate(self._beginning), SAMPLE_RATE)
            if self._onset is not None:
                self._beginning.clear()
        self._frames += len(audio)

    def sent(self, frames: int) -> None:
        """Record that bytes with `frames` frames were sent now."""
        at_ns = self._now_ns()
        if self._first_byte_ns is None:
            self._first_byte_ns = at_ns
        if frames:
            self._marks.append(ChunkMark(at_ns=at_ns, frames=frames))

    def repetition(self, *, characters: int) -> Repetition:
        """Build the record. The audio is validated except for its length."""
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
        measurable = self._frames > 0 and self._finite
        mean_power = self._power / self._frames if measurable else 0.0
        missing = f"nothing is louder than {THRESHOLD_DBFS:g} dBFS for {AUDIBLE_S * 1000:g} ms in the first "
        return AudioFeatures(
            sample_rate=SAMPLE_RATE,
            frames=self._frames,
            sha256=self._digest.hexdigest(),
            finite=self._finite,
            peak=self._peak if measurable else None,
            rms_dbfs=10 * math.log10(mean_power) if mean_power else None,
            clipped_share=self._clipped / self._frames if measurable else None,
            onset_frame=self._onset,
            onset_reason="" if self._onset is not None else f"{missing}{ONSET_SEARCH_S:g} s",
        )

    def _now_ns(self) -> int:
        return self._clock.now_ns() - self._arrived_ns
