"""A cache of judgements: the same audio and text are judged only once by the same tools."""

import contextlib
import hashlib
from pathlib import Path

import msgspec

from harness.core.files import write_atomically
from harness.measure.speech.protocol import Judgement


class JudgementCache:
    """One file for each judgement, under the root of the cache. An unreadable or unwritable one counts as missing."""

    def __init__(self, root: Path, *, judge: str) -> None:
        self._folder = root / "speech"
        self._judge = judge

    def find(self, audio_sha256: str, text: str, *, words: bool) -> Judgement | None:
        """The stored judgement; None if there is none."""
        try:
            content = self._file(audio_sha256, text, words=words).read_bytes()
            return msgspec.json.decode(content, type=Judgement)
        except (OSError, msgspec.DecodeError):
            return None

    def keep(self, audio_sha256: str, text: str, judgement: Judgement, *, words: bool) -> None:
        """Store a judgement, which must have no error."""
        with contextlib.suppress(OSError):
            path = self._file(audio_sha256, text, words=words)
            write_atomically(path, msgspec.json.encode(judgement), durable=False)

    def _file(self, audio_sha256: str, text: str, *, words: bool) -> Path:
        key = "\n".join((self._judge, audio_sha256, str(words), text))
        digest = hashlib.sha256(key.encode("utf-8", "surrogatepass")).hexdigest()
        return self._folder / digest[:2] / f"{digest}.json"
