"""From the bytes of a body to audio, piece by piece as they come. Mono only: what else comes is a fault that says so.

Decoded audio is float32, shape (frames,), full scale 1.0.
"""

import struct
from typing import TYPE_CHECKING, Protocol

from harness.engines.faults import EndpointFault, Fault, excerpt

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

UNKNOWN_SIZES = frozenset({0, 0xFFFFFFFF, 0x7FFFFFFF})
"""What a WAV header says where its writer could not know the size: bytes are counted instead."""
HEADER_LIMIT = 1 << 16
"""A WAV whose audio begins later than this is not one that anybody streams."""
KEPT = 4_096
"""Bytes of a body that are kept, for its nature and for messages."""


class Decoder(Protocol):
    """Decodes one body."""

    @property
    def playable(self) -> int:
        """How many frames a listener who has all of the body so far could hear."""
        ...

    def feed(self, data: bytes) -> "NDArray[np.float32]":
        """The audio that `data` completes; empty where it completes none, or where decoding waits for the end."""
        ...

    def finish(self) -> "NDArray[np.float32]":
        """The body has ended: the audio that was still waiting. EndpointFault where the end came too early."""
        ...


class PcmDecoder:
    """Signed 16-bit little endian, without a header."""

    def __init__(self) -> None:
        self._rest = b""
        self._head = b""
        self.playable = 0

    def feed(self, data: bytes) -> "NDArray[np.float32]":
        """Whole frames; an odd byte waits for its other half."""
        if len(self._head) < KEPT:
            self._head += data[: KEPT - len(self._head)]
            if self._head[:4] == b"RIFF" and self._head[8:12] == b"WAVE":
                raise EndpointFault(Fault.FORMAT, "asked for pcm, but the body is a WAV file: its header is not audio")
        audio, self._rest = _frames(self._rest + data)
        self.playable += len(audio)
        return audio

    def finish(self) -> "NDArray[np.float32]":
        """A body that is text after all, or that ends within a frame, is a fault."""
        if is_text(self._head):
            raise EndpointFault(Fault.NOT_AUDIO, f"the body is not audio but text: {excerpt(self._head)}")
        if self._rest:
            raise EndpointFault(
                Fault.TRUNCATED, f"the body ends in the middle of a frame, after {self.playable} frames"
            )
        return _no_audio()


class WavDecoder:
    """RIFF WAVE with 16-bit PCM, also with sizes of 0xFFFFFFFF as streaming servers send it."""

    def __init__(self, sample_rate: int) -> None:
        self._expected_rate = sample_rate
        self._waiting = b""
        self._left: int | None = None
        self._in_data = False
        self._size = 0
        self.playable = 0

    def feed(self, data: bytes) -> "NDArray[np.float32]":
        """Whole frames of the data chunk; headers and other chunks are no audio."""
        self._waiting += data
        if not self._in_data and not self._find_data():
            return _no_audio()
        if self._left is None:
            audio, self._waiting = _frames(self._waiting)
        else:
            # What follows the data chunk is metadata.
            audio, rest = _frames(self._waiting[: self._left])
            self._left -= 2 * len(audio)
            self._waiting = rest if self._left > len(rest) else b""
        self.playable += len(audio)
        return audio

    def finish(self) -> "NDArray[np.float32]":
        """A body without a data chunk, or with less of it than its header says, is a fault."""
        if not self._in_data:
            if is_text(self._waiting) or (self._waiting and not b"RIFF".startswith(self._waiting[:4])):
                raise _not_wav(self._waiting)
            raise EndpointFault(Fault.TRUNCATED, f"the WAV ends within its header, after {len(self._waiting)} bytes")
        if self._left:
            raise EndpointFault(
                Fault.TRUNCATED, f"the WAV header says {self._size} bytes of audio, but {self._size - self._left} came"
            )
        if self._left is None and self._waiting:
            raise EndpointFault(
                Fault.TRUNCATED, f"the body ends in the middle of a frame, after {self.playable} frames"
            )
        return _no_audio()

    def _find_data(self) -> bool:
        """Walk the chunks up to the audio; False where more bytes are needed."""
        head = self._waiting
        if head[:4] != b"RIFF"[: len(head)] or (len(head) >= 12 and head[8:12] != b"WAVE"):
            raise _not_wav(head)
        at, known = 12, False
        while len(head) >= at + 8:
            name, size = struct.unpack_from("<4sI", head, at)
            at += 8
            if name == b"data":
                if not known:
                    raise EndpointFault(Fault.NOT_AUDIO, "the WAV has no fmt chunk before its audio")
                self._in_data = True
                self._size, self._left = size, None if size in UNKNOWN_SIZES else size
                self._waiting = head[at:]
                return True
            if name == b"fmt " and len(head) >= at + 16:
                self._check_format(head[at : at + 16])
                known = True
            at += size + size % 2
            if at > HEADER_LIMIT:
                raise EndpointFault(Fault.NOT_AUDIO, f"the WAV has no audio within its first {HEADER_LIMIT} bytes")
        return False

    def _check_format(self, fields: bytes) -> None:
        """PCM (also in the extensible form) of 16 bits; the announced rate and channel count."""
        form, channels, rate, _, _, bits = struct.unpack("<HHIIHH", fields)
        if form not in (1, 0xFFFE) or bits != 16:
            raise EndpointFault(Fault.FORMAT, f"the WAV holds form {form} of {bits} bits, not 16-bit PCM")
        check_format(rate=rate, channels=channels, expected_rate=self._expected_rate, source="the WAV header")


def make_decoder(container: str, *, sample_rate: int) -> Decoder:
    """The decoder for a format of `Dialect.formats`; `sample_rate` (Hz) is what the audio has to have."""
    if container == "pcm":
        return PcmDecoder()
    if container == "wav":
        return WavDecoder(sample_rate)
    from harness.engines.compressed import CompressedDecoder

    return CompressedDecoder(container, sample_rate=sample_rate)


def check_format(*, rate: int, channels: int, expected_rate: int, source: str) -> None:
    """EndpointFault that says both, where the audio is not what was announced: mono at `expected_rate` (Hz)."""
    if rate != expected_rate or channels != 1:
        plural = "" if channels == 1 else "s"
        raise EndpointFault(
            Fault.FORMAT,
            f"{source} says {rate} Hz, {channels} channel{plural}, expected were {expected_rate} Hz, 1 channel",
        )


def is_text(head: bytes) -> bool:
    """Whether a body that begins so is an error message: JSON or markup, in printable characters alone."""
    begins = head.lstrip()[:1]
    if begins not in (b"{", b"[", b"<"):
        return False
    try:
        text = head.decode()
    except UnicodeDecodeError as error:
        # Cut in the middle of a character.
        if error.start < len(head) - 4:
            return False
        text = head[: error.start].decode()
    return all(char.isprintable() or char.isspace() for char in text)


def _not_wav(body: bytes) -> EndpointFault:
    return EndpointFault(Fault.NOT_AUDIO, f"the body is not a WAV: it begins with {excerpt(body)}")


def _frames(data: bytes) -> "tuple[NDArray[np.float32], bytes]":
    """Whole 16-bit frames, and the odd byte left over."""
    import numpy as np

    whole = len(data) & ~1
    if not whole:
        return _no_audio(), data
    return np.frombuffer(data[:whole], dtype="<i2").astype(np.float32) / np.float32(32768), data[whole:]


def _no_audio() -> "NDArray[np.float32]":
    import numpy as np

    return np.empty(0, dtype=np.float32)
