"""mp3, Opus and FLAC: decoded by libsndfile once they are whole, but counted as they come.

libsndfile wants to seek, so it can only decode a whole body. When each frame could have been heard is still exact for
mp3 (frames are counted by their headers) and for Opus (pages carry the position of their last sample). FLAC is not
counted: all of its audio counts as come with the last byte. An mp3's count runs ahead of what is heard by its encoder's
delay, about 50 ms, which decoders cut off at the beginning.
"""

import struct
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Protocol

from harness.engines.containers import check_format, is_text
from harness.engines.faults import EndpointFault, Fault, excerpt

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

# ISO/IEC 11172-3 and 13818-3, table of the header's bit rate index: Layer III, kbit/s; MPEG-1, then MPEG-2 and 2.5.
_BIT_RATES = (
    (0, 32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320),
    (0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160),
)
_SAMPLE_RATES = {3: (44_100, 48_000, 32_000), 2: (22_050, 24_000, 16_000), 0: (11_025, 12_000, 8_000)}
"""The header's version bits → Hz by its rate index."""
_OPUS_RATE = 48_000
"""Opus counts positions at this rate, whatever it was fed (RFC 7845, section 4)."""


class Counter(Protocol):
    """Counts what can be heard of a body so far."""

    def feed(self, data: bytes) -> None:
        """More of the body."""
        ...

    @property
    def seconds(self) -> float:
        """How much audio the body so far holds, in seconds."""
        ...


class Mp3Counter:
    """Walks the frames of an MPEG audio Layer III stream. A frame counts when it has come whole."""

    def __init__(self) -> None:
        self._waiting = b""
        self._skip = 0
        self._first = True
        self.seconds = 0.0

    def feed(self, data: bytes) -> None:
        """Count the frames that `data` completes."""
        self._waiting += data
        at = 0
        while len(self._waiting) >= at + 10:
            if self._waiting[at : at + 3] == b"ID3":
                a, b, c, d = self._waiting[at + 6 : at + 10]
                length, seconds = 10 + (a << 21 | b << 14 | c << 7 | d), 0.0
            else:
                length, seconds = mp3_frame(self._waiting[at : at + 4])
            if not length:
                at += 1
                continue
            if len(self._waiting) < at + length:
                break
            body = self._waiting[at : at + min(length, 64)]
            # The first frame may hold an encoder's table instead of audio.
            self.seconds += 0.0 if self._first and (b"Xing" in body or b"Info" in body) else seconds
            self._first = self._first and not seconds
            at += length
        self._waiting = self._waiting[at:]


def mp3_frame(header: bytes) -> tuple[int, float]:
    """Bytes and seconds of the Layer III frame that begins with these 4 bytes; 0 bytes where they are no header."""
    bits = int.from_bytes(header, "big")
    version, layer = bits >> 19 & 3, bits >> 17 & 3
    rate_index, sampling_index, padding = bits >> 12 & 15, bits >> 10 & 3, bits >> 9 & 1
    if bits >> 21 != 0x7FF or version == 1 or layer != 1 or rate_index in (0, 15) or sampling_index == 3:
        return 0, 0.0
    first = version == 3
    samples = 1152 if first else 576
    rate = _SAMPLE_RATES[version][sampling_index]
    bit_rate = _BIT_RATES[0 if first else 1][rate_index] * 1000
    return samples // 8 * bit_rate // rate + padding, samples / rate


class OpusCounter:
    """Reads the positions of an Ogg Opus stream's pages (RFC 3533, section 6; RFC 7845, section 4)."""

    def __init__(self) -> None:
        self._waiting = b""
        self._pre_skip: int | None = None
        self.seconds = 0.0

    def feed(self, data: bytes) -> None:
        """Count the pages that `data` completes."""
        self._waiting += data
        while len(self._waiting) >= 27 and self._waiting[:4] == b"OggS":
            lacing_end = 27 + self._waiting[26]
            page_end = lacing_end + sum(self._waiting[27:lacing_end])
            if len(self._waiting) < max(lacing_end, page_end):
                return
            payload = self._waiting[lacing_end:page_end]
            (position,) = struct.unpack_from("<q", self._waiting, 6)
            if payload[:8] == b"OpusHead":
                (self._pre_skip,) = struct.unpack_from("<H", payload, 10)
            elif self._pre_skip is not None and position > self._pre_skip:
                self.seconds = (position - self._pre_skip) / _OPUS_RATE
            self._waiting = self._waiting[page_end:]


class NoCounter:
    """Nothing can be heard before the end."""

    seconds = 0.0

    def feed(self, data: bytes) -> None:
        """Not looked at."""


_COUNTERS: Mapping[str, Callable[[], Counter]] = {"mp3": Mp3Counter, "opus": OpusCounter}


class CompressedDecoder:
    """Collects a body, and decodes it at its end."""

    def __init__(self, container: str, *, sample_rate: int) -> None:
        self._container = container
        self._sample_rate = sample_rate
        self._body = bytearray()
        self._counter = _COUNTERS.get(container, NoCounter)()

    @property
    def playable(self) -> int:
        """By the container's own counts, in frames of the expected sample rate."""
        return int(self._counter.seconds * self._sample_rate)

    def feed(self, data: bytes) -> "NDArray[np.float32]":
        """Nothing yet."""
        import numpy as np

        self._body += data
        self._counter.feed(data)
        return np.empty(0, dtype=np.float32)

    def finish(self) -> "NDArray[np.float32]":
        """All of it. EndpointFault where it cannot be decoded or is not as announced."""
        import io

        import soundfile

        body = bytes(self._body)
        if not body or is_text(body[:4096]):
            raise EndpointFault(Fault.NOT_AUDIO, f"the body is not audio but {excerpt(body)}")
        try:
            audio, rate = soundfile.read(io.BytesIO(body), dtype="float32", always_2d=True)
        except soundfile.LibsndfileError as error:
            raise EndpointFault(
                Fault.NOT_AUDIO,
                f"the body is no {self._container} that libsndfile {soundfile.__libsndfile_version__} can decode "
                f"({error.error_string.rstrip('. ')}); it begins with {excerpt(body)}",
            ) from error
        check_format(
            rate=rate, channels=audio.shape[1], expected_rate=self._sample_rate, source=f"the {self._container} body"
        )
        mono: NDArray[np.float32] = audio[:, 0]
        return mono
