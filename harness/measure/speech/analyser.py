"""Analyses the audio that a run kept: every speech metric of each recording, or why it is unknown."""

import contextlib
import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from harness.core.files import write_atomically
from harness.core.record_files import read_record
from harness.core.records.speech import SpeechReading
from harness.core.records.value import Reading, unknown
from harness.measure.speech.process import ORDER_TIMEOUT_S, START_TIMEOUT_S, JudgeLost, JudgeProcess
from harness.measure.speech.protocol import Judgement, JudgeOrder
from harness.measure.speech.runtime import JudgeRuntime
from harness.metrics.audio.silence import silences
from harness.metrics.definitions.speech import SPEECH

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


class JudgementCache:
    """One file for each judgement, under the root of the cache. An unreadable or unwritable one counts as missing."""

    def __init__(self, root: Path, *, judge: str) -> None:
        self._folder = root / "speech"
        self._judge = judge

    def find(self, audio_sha256: str, text: str, *, words: bool) -> Judgement | None:
        """The stored judgement; None if there is none."""
        return read_record(self._file(audio_sha256, text, words=words), Judgement)

    def keep(self, audio_sha256: str, text: str, judgement: Judgement, *, words: bool) -> None:
        """Store a judgement, which must have no error."""
        with contextlib.suppress(OSError):
            path = self._file(audio_sha256, text, words=words)
            write_atomically(path, msgspec.json.encode(judgement), durable=False)

    def _file(self, audio_sha256: str, text: str, *, words: bool) -> Path:
        key = "\n".join((self._judge, audio_sha256, str(words), text))
        digest = hashlib.sha256(key.encode("utf-8", "surrogatepass")).hexdigest()
        return self._folder / digest[:2] / f"{digest}.json"


MOST_LOSSES = 3
"""After this many lost processes the other readings stay unknown, with the reason of the last loss."""
ENGLISH_ONLY = "the recogniser knows English only"
PHONEMES = "phonemes were given, not a text"
ENDED = "the run was ended before this audio was judged"
NOT_FINITE = "the audio holds values that are not finite"


@dataclass(frozen=True, slots=True, kw_only=True)
class KeptAudio:
    """A recording that a run kept, with its text. `path` is a file in NumPy's format, mono float32."""

    scenario_id: str
    launch: int
    path: str
    sample_rate: int
    text: str
    language: str
    """The tag of the spoken language."""
    is_phonemes: bool = False

    @property
    def without_words(self) -> str:
        """Why its words cannot be counted; "" if they can."""
        if self.is_phonemes:
            return PHONEMES
        return "" if self.language.partition("-")[0] == "en" else ENGLISH_ONLY


@dataclass(slots=True, kw_only=True)
class SpeechAnalyser:
    """Judges audio with a runtime. Without one (`reason` says why), it only measures the silences.

    `root` is the folder of the cache. No further audio is judged once `stop` returns True. `cpu_s` is the processor
    time of the judging process since its tools were loaded, and `seconds` the length of the audio that it judged.
    """

    root: Path
    report: Callable[[str], None]
    runtime: JudgeRuntime | None
    reason: str = ""
    stop: Callable[[], bool] = bool
    start_timeout_s: float = START_TIMEOUT_S
    order_timeout_s: float = ORDER_TIMEOUT_S
    cpu_s: float = 0.0
    seconds: float = 0.0
    _process: JudgeProcess | None = None
    _losses: int = 0
    _reported: bool = False
    _words: bool = False
    _cache: JudgementCache | None = None

    def analyse(self, recordings: Sequence[KeptAudio]) -> tuple[SpeechReading, ...]:
        """A reading for each recording whose file exists, in order."""
        self._words = any(not each.without_words for each in recordings)
        if self.runtime is not None:
            self._cache = JudgementCache(self.root, judge=self.runtime.judge)
        try:
            found = [self._reading(each) for each in recordings]
        finally:
            self._end()
        return tuple(each for each in found if each is not None)

    def _reading(self, recording: KeptAudio) -> SpeechReading | None:
        import numpy as np

        try:
            audio: NDArray[np.float32] = np.load(recording.path).reshape(-1)
        except (OSError, ValueError):
            return None  # not written: the engine failed, or the disk was full
        digest = _digest(audio, recording.sample_rate)
        quiet: dict[str, Reading] = {}
        if not len(audio) or not np.isfinite(audio).all():
            judgement = Judgement(error=NOT_FINITE if len(audio) else "there is no audio")
        else:
            quiet = silences(audio, recording.sample_rate)
            judgement = self._judgement(recording, digest, seconds=len(audio) / recording.sample_rate)
        return SpeechReading(
            scenario_id=recording.scenario_id,
            launch=recording.launch,
            text=recording.text,
            language=recording.language,
            audio_sha256=digest,
            seconds=len(audio) / recording.sample_rate,
            readings=_complete({**judgement.readings, **quiet}, recording, judgement.error),
            transcript=judgement.transcript,
            words=judgement.words,
            characters=judgement.characters,
            judge=self.runtime.judge if self.runtime else "",
        )

    def _judgement(self, recording: KeptAudio, digest: str, *, seconds: float) -> Judgement:
        if self.runtime is None or self._cache is None:
            return Judgement(error=self.reason)
        words = not recording.without_words
        remembered = self._cache.find(digest, recording.text, words=words)
        if remembered is not None:
            return remembered
        if self._losses >= MOST_LOSSES:
            return Judgement(error=self.reason)
        if self.stop():
            return Judgement(error=ENDED)
        order = JudgeOrder(
            audio_path=recording.path, sample_rate=recording.sample_rate, text=recording.text, words=words
        )
        try:
            judgement = self._started().judge(order, timeout_s=self.order_timeout_s)
        except JudgeLost as lost:
            self._losses += 1
            self._end()
            self.reason = str(lost)
            return Judgement(error=self.reason)
        if any(each.known for name, each in judgement.readings.items() if name != "loudness"):
            self.cpu_s += judgement.cpu_s
            self.seconds += seconds
        if not judgement.error:
            self._cache.keep(digest, recording.text, judgement, words=words)
        return judgement

    def _started(self) -> JudgeProcess:
        assert self.runtime is not None  # noqa: S101 - for the type checker
        if not self._reported:
            self.report("judging the audio: its words and its quality")
            self._reported = True
        if self._process is None:
            try:
                self._process = JudgeProcess(
                    self.runtime.python, words=self._words, start_timeout_s=self.start_timeout_s
                )
            except JudgeLost:
                self._losses = MOST_LOSSES  # another attempt would fail as well
                raise
        return self._process

    def _end(self) -> None:
        if self._process is not None:
            self._process.close()
            self._process = None


def _complete(found: dict[str, Reading], recording: KeptAudio, error: str) -> dict[str, Reading]:
    """Every speech metric; an unknown one has the reason."""
    words = recording.without_words
    return {
        each.name: found.get(each.name)
        or unknown(words if words and each.name in ("wer", "cer") else error or "not judged")
        for each in SPEECH
    }


def _digest(audio: "NDArray[np.float32]", sample_rate: int) -> str:
    """SHA-256 of the samples (float32, little endian) and the sample rate."""
    import numpy as np

    found = hashlib.sha256(np.ascontiguousarray(audio, dtype="<f4").data)
    found.update(f"\n{sample_rate}".encode())
    return found.hexdigest()
