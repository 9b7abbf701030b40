"""The sound of a mock server: each text has its own tone, so that texts can be distinguished."""

import hashlib
import io
import struct
from functools import lru_cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np
    from numpy.typing import NDArray

SECONDS_PER_CHARACTER = 0.07
AMPLITUDE = 0.2


def natural_seconds(text: str, speed: float) -> float:
    """Seconds of speech for the text at this speed, at `SECONDS_PER_CHARACTER` for each character."""
    return len(text) * SECONDS_PER_CHARACTER / speed


def pitch(text: str) -> int:
    """The text's tone, in Hz."""
    return 200 + 10 * (hashlib.sha256(text.encode()).digest()[0] % 100)


def tone(texts: "Sequence[str]", *, first: int, frames: int, sample_rate: int) -> "NDArray[np.float32]":
    """The mixed tones of `texts`, float32 of shape (frames,), from frame `first` on. Chunks join without a gap."""
    import numpy as np

    period = _period(tuple(texts), sample_rate)
    return np.resize(np.roll(period, -(first % len(period))), frames)


@lru_cache(maxsize=1024)
def _period(texts: tuple[str, ...], sample_rate: int) -> "NDArray[np.float32]":
    """One period of a tone: at most a second, because pitches are multiples of 10 Hz.

    It is cached, because a server of 200 streams has no time to recompute every sine.
    """
    import numpy as np

    frames = sample_rate // 10 if sample_rate % 10 == 0 else sample_rate
    at = np.arange(frames, dtype=np.float64) / sample_rate
    mixed = sum((np.sin(2 * np.pi * pitch(text) * at) for text in texts), np.zeros(frames))
    return (AMPLITUDE / max(1, len(texts)) * mixed).astype(np.float32)


def to_pcm(audio: "NDArray[np.float32]", channels: int) -> bytes:
    """Signed 16-bit little endian, the same on every channel."""
    import numpy as np

    return np.repeat(np.round(audio * 32767).astype("<i2"), channels).tobytes()


def wav_header(*, sample_rate: int, channels: int, data_bytes: int | None) -> bytes:
    """44 bytes; sizes of 0xFFFFFFFF mark an unknown length, as in streaming servers."""
    riff, data = (0xFFFFFFFF, 0xFFFFFFFF) if data_bytes is None else ((36 + data_bytes) & 0xFFFFFFFF, data_bytes)
    form = struct.pack("<IHHIIHH", 16, 1, channels, sample_rate, 2 * channels * sample_rate, 2 * channels, 16)
    return b"RIFF" + struct.pack("<I", riff) + b"WAVEfmt " + form + b"data" + struct.pack("<I", data)


def compress(audio: "NDArray[np.float32]", *, container: str, sample_rate: int, channels: int) -> bytes:
    """mp3, opus or flac, by libsndfile."""
    import numpy as np
    import soundfile

    form, subtype = {"mp3": ("MP3", None), "opus": ("OGG", "OPUS"), "flac": ("FLAC", None)}[container]
    buffer = io.BytesIO()
    soundfile.write(buffer, np.repeat(audio[:, None], channels, axis=1), sample_rate, format=form, subtype=subtype)
    return buffer.getvalue()


CONTENT_TYPES = {
    "pcm": "audio/L16",
    "wav": "audio/wav",
    "mp3": "audio/mpeg",
    "opus": "audio/ogg",
    "flac": "audio/flac",
}


def content_type(container: str, *, sample_rate: int, channels: int) -> str:
    """The right media type; PCM needs its parameters."""
    kind = CONTENT_TYPES[container]
    return f"{kind};rate={sample_rate};channels={channels}" if container == "pcm" else kind
