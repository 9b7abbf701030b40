"""Encodes audio to the bytes of a body, chunk by chunk. Audio is float32 (frames,), mono, 24 kHz, full scale 1.0."""

from typing import TYPE_CHECKING, Any, Protocol

from harness.engines.kokoro.engine import SAMPLE_RATE
from harness.server.mock.sound import wav_header

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

MOST_FRAMES_PER_WRITE = SAMPLE_RATE
"""In frames. libsndfile's Ogg writer keeps the data of one write on its stack."""
_MP3_RATES = (0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160)
"""MPEG-2 Layer III, kbit/s by the header's index (ISO/IEC 13818-3); 24 kHz is an MPEG-2 rate."""
_FORMS = {"mp3": ("MP3", "MPEG_LAYER_III"), "opus": ("OGG", "OPUS"), "flac": ("FLAC", "PCM_16")}


class Encoder(Protocol):
    """Encodes one body."""

    def feed(self, audio: "NDArray[np.float32]") -> bytes:
        """Encode `audio` and return the bytes that can be sent, perhaps none yet."""
        ...

    def finish(self) -> bytes:
        """Return the remaining bytes."""
        ...


class PcmEncoder:
    """Signed 16-bit little endian, optionally after a WAV header of unknown sizes."""

    def __init__(self, *, header: bool) -> None:
        self._waiting = _header(None) if header else b""

    def feed(self, audio: "NDArray[np.float32]") -> bytes:
        """The encoded frames. The header precedes the first frames and is not sent before them."""
        head, self._waiting = self._waiting, b""
        return head + to_pcm(audio)

    def finish(self) -> bytes:
        return b""


class WholeWavEncoder:
    """A WAV whose header has the sizes, so nothing can be sent before the end."""

    def __init__(self) -> None:
        self._body = bytearray()

    def feed(self, audio: "NDArray[np.float32]") -> bytes:
        self._body += to_pcm(audio)
        return b""

    def finish(self) -> bytes:
        return _header(len(self._body)) + bytes(self._body)


class CompressedEncoder:
    """mp3, Opus or FLAC by libsndfile. With `stream` written bytes are sent at once and cannot be corrected later.

    libsndfile writes FLAC's length and mp3's first frame, which only holds the length, at the end, so a stream lacks
    them. The bit rate of an mp3 is constant, so that players still know its duration.
    """

    def __init__(self, container: str, *, stream: bool) -> None:
        import soundfile

        form, subtype = _FORMS[container]
        # 80 kbit/s. soundfile sets the bit rate mode only together with a compression level.
        constant = {"bitrate_mode": "CONSTANT", "compression_level": 0.5} if container == "mp3" else {}
        self._stream = stream
        self._drop_first = stream and container == "mp3"
        self._tape = _OutputBuffer()
        self._file: Any = soundfile.SoundFile(
            self._tape, "w", samplerate=SAMPLE_RATE, channels=1, format=form, subtype=subtype, **constant
        )

    def feed(self, audio: "NDArray[np.float32]") -> bytes:
        """The complete pages or frames."""
        for first in range(0, len(audio), MOST_FRAMES_PER_WRITE):
            self._file.write(audio[first : first + MOST_FRAMES_PER_WRITE])
        return self._taken() if self._stream else b""

    def finish(self) -> bytes:
        self._file.close()
        return self._taken()

    def _taken(self) -> bytes:
        data = self._tape.take()
        if self._drop_first and data:
            self._drop_first = False
            # A frame of Layer III lasts 24 ms at 24 kHz: 3 bytes for each kbit/s, and one where it is padded.
            return data[3 * _MP3_RATES[data[2] >> 4] + (data[2] >> 1 & 1) :]
        return data


def make_encoder(container: str, *, stream: bool) -> Encoder:
    """The encoder of an audio format. Without streaming the headers contain sizes and lengths."""
    if container in _FORMS:
        return CompressedEncoder(container, stream=stream)
    if container == "wav" and not stream:
        return WholeWavEncoder()
    return PcmEncoder(header=container == "wav")


def to_pcm(audio: "NDArray[np.float32]") -> bytes:
    """Signed 16-bit little endian; values beyond full scale are clipped."""
    import numpy as np

    return np.round(np.clip(audio, -1.0, 1.0) * 32767).astype("<i2").tobytes()


def _header(data_bytes: int | None) -> bytes:
    return wav_header(sample_rate=SAMPLE_RATE, channels=1, data_bytes=data_bytes)


class _OutputBuffer:
    """A file in memory that drops the bytes that `take` returned. Overwriting dropped bytes has no effect."""

    def __init__(self) -> None:
        self._kept = bytearray()
        self._taken = 0
        self._at = 0

    def take(self) -> bytes:
        """Return and drop all bytes."""
        taken = bytes(self._kept)
        self._taken += len(taken)
        self._kept.clear()
        return taken

    def write(self, data: bytes) -> int:
        start = self._at - self._taken
        visible = bytes(data)[max(0, -start) :]
        start = max(0, start)
        self._kept[start : start + len(visible)] = visible
        self._at += len(data)
        return len(data)

    def seek(self, offset: int, whence: int = 0) -> int:
        base = (0, self._at, self._taken + len(self._kept))[whence]
        self._at = base + offset
        return self._at

    def tell(self) -> int:
        return self._at

    def read(self, size: int = -1) -> bytes:
        """Read bytes, as libsndfile does to correct a header. Dropped bytes read as nothing."""
        start = self._at - self._taken
        if start < 0:
            return b""
        found = bytes(self._kept[start:] if size < 0 else self._kept[start : start + size])
        self._at += len(found)
        return found

    def flush(self) -> None:
        """Do nothing: there is no buffer."""
