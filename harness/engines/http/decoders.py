"""Decoders of PCM and WAV bodies, which return audio as its bytes arrive. Mono only: other audio is a fault.

Decoded audio is float32, shape (frames,), full scale 1.0.
"""

import contextlib
import json
import re
import struct
from typing import TYPE_CHECKING

from harness.engines.http.errors import EndpointFault, Fault, cut_short, excerpt
from harness.engines.http.formats import HEADER_LIMIT, KEPT, Decoder, check_format, container_of, is_text

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

TAIL = 1_024
"""Bytes at the end of a body that are searched for an error message."""
BODY_LIMIT = 1 << 26
"""The default for the largest body that is accepted, in bytes."""
_WAV_HEADER = re.compile(rb"RIFF.{4}WAVE", re.DOTALL)
_WAV_HEADER_BYTES = 12


class HeaderSearch:
    """Searches a body for a second WAV header, which may be split between two reads."""

    def __init__(self) -> None:
        self._tail = b""
        self._searched = 0

    def search(self, data: bytes) -> int | None:
        """The offset in the body of a header that `data` completes, except for one at the very beginning."""
        window = self._tail + data
        begins = self._searched - len(self._tail)
        self._searched += len(data)
        self._tail = window[-(_WAV_HEADER_BYTES - 1) :]
        # The plain search is fast: a regular expression over every byte would take longer than the decoding.
        if b"WAVE" not in window:
            return None
        return next((begins + found.start() for found in _WAV_HEADER.finditer(window) if begins + found.start()), None)


class Tail:
    """The last bytes of a body, where a server that fails half-way may send an error message after the audio."""

    def __init__(self) -> None:
        self._kept = b""

    def keep(self, data: bytes) -> None:
        self._kept = (self._kept + data[-TAIL:])[-TAIL:]

    def check(self) -> None:
        """EndpointFault if the body ends with a JSON object, whose bytes would be played as noise."""
        at = -1
        while (at := self._kept.find(b'{"', at + 1)) >= 0:
            with contextlib.suppress(ValueError):
                json.loads(self._kept[at:])
                raise EndpointFault(
                    Fault.NOT_AUDIO, f"the audio ends with text, which is none: {excerpt(self._kept[at:])}"
                )


class PcmDecoder:
    """Signed 16-bit little endian, without a header."""

    def __init__(self) -> None:
        self._rest = b""
        self._head = b""
        self._headers = HeaderSearch()
        self._tail = Tail()
        self.playable: int = 0

    def feed(self, data: bytes) -> "NDArray[np.float32]":
        """The frames that `data` completes. EndpointFault if the body is something other than PCM."""
        self._tail.keep(data)
        if len(self._head) < KEPT:
            self._head += data[: KEPT - len(self._head)]
            self._check_head()
        if (place := self._headers.search(data)) is not None:
            raise EndpointFault(
                Fault.FORMAT, f"asked for pcm, but a WAV header stands at byte {place:,}: a header is not audio"
            )
        audio, self._rest = _frames(self._rest + data)
        self.playable += len(audio)
        return audio

    def finish(self, *, in_order: bool = True) -> "NDArray[np.float32]":
        """No audio is left. EndpointFault if the body is text, or ends within a frame."""
        del in_order
        if is_text(self._head):
            raise EndpointFault(Fault.NOT_AUDIO, f"the body is not audio but text: {excerpt(self._head)}")
        self._tail.check()
        if self._rest:
            raise _half_a_frame(self.playable)
        return _no_audio()

    def _check_head(self) -> None:
        """EndpointFault if the server ignores the format and sends another container."""
        found = container_of(self._head)
        if found == "wav":
            raise EndpointFault(Fault.FORMAT, "asked for pcm, but the body is a WAV file: its header is not audio")
        if found:
            raise EndpointFault(Fault.FORMAT, f"asked for pcm, but the body is {found}")


class WavDecoder:
    """RIFF WAVE with 16-bit PCM.

    The header of a streamed WAV is written before its size is known, and servers fill in arbitrary values. So if a body
    that is known to be complete is shorter than the size, the size is a placeholder. Only further chunks may follow a
    complete data chunk; other bytes are a fault, because they may be speech.

    `limit` is the largest accepted body (bytes). If only the closed connection ends a body that is shorter than the
    size, it is cut short, unless the size exceeds `limit` and so is a placeholder.
    """

    def __init__(self, sample_rate: int, *, limit: int = BODY_LIMIT) -> None:
        self._expected_rate = sample_rate
        self._limit = limit
        self._headers = HeaderSearch()
        self._tail = Tail()
        self._waiting = b""
        self._came = 0
        self._audio_at = 0
        """The offset of the audio in the body, in bytes."""
        self._left: int | None = None
        """Bytes of audio still to come by the header; None if it does not say."""
        self._in_data = False
        self._size = 0
        self._skip = 0
        """Bytes still to come of a chunk after the audio."""
        self.playable: int = 0

    def feed(self, data: bytes) -> "NDArray[np.float32]":
        """The frames of the data chunk that `data` completes. EndpointFault for an unexpected header or chunk."""
        self._tail.keep(data)
        second = self._headers.search(data)
        self._came += len(data)
        self._waiting += data
        found = self._in_data or self._find_data()
        if second is not None:
            raise EndpointFault(Fault.FORMAT, self._second_header(second))
        if not found:
            return _no_audio()
        mine = self._waiting if self._left is None else self._waiting[: self._left]
        audio, rest = _frames(mine)
        self.playable += len(audio)
        if self._left is None:
            self._waiting = rest
            return audio
        self._left -= 2 * len(audio)
        self._waiting = self._waiting[2 * len(audio) :]
        if self._left <= len(rest):
            if rest:
                raise EndpointFault(
                    Fault.FORMAT, f"the WAV header counts {self._size:,} bytes of audio, which is half a frame too much"
                )
            self._skip_chunks()
        return audio

    def finish(self, *, in_order: bool = True) -> "NDArray[np.float32]":
        """No audio is left. EndpointFault if there is no data chunk, or the body ends within a frame or too early."""
        if not self._in_data:
            raise EndpointFault(Fault.TRUNCATED, f"the WAV ends within its header, after {len(self._waiting)} bytes")
        self._tail.check()
        if self._left == 0:
            # A chunk of odd length is padded, but not every writer pads the last one.
            if self._waiting or self._skip > 1:
                raise self._not_chunks()
            return _no_audio()
        if self._left and not in_order and self._size <= self._limit:
            raise cut_short(f"the WAV header counts {self._size:,} bytes of audio", f"{self._size - self._left:,}")
        if self._waiting:
            raise _half_a_frame(self.playable)
        return _no_audio()

    def _find_data(self) -> bool:
        """Read the chunks before the audio; False if more bytes are needed. EndpointFault for an unusable header."""
        head = self._waiting
        if head[:4] != b"RIFF"[: len(head)] or (len(head) >= 12 and head[8:12] != b"WAVE"):
            raise EndpointFault(Fault.NOT_AUDIO, f"the body is not a WAV: it begins with {excerpt(head)}")
        at, known = 12, False
        while len(head) >= at + 8:
            name, size = struct.unpack_from("<4sI", head, at)
            at += 8
            if name == b"data":
                if not known:
                    raise EndpointFault(Fault.NOT_AUDIO, "the WAV has no fmt chunk before its audio")
                self._in_data = True
                self._size, self._left = size, size or None
                self._waiting = head[at:]
                self._audio_at = self._came - len(self._waiting)
                return True
            if name == b"fmt " and len(head) >= at + 16:
                self._check_format(head[at : at + 16])
                known = True
            at += size + size % 2
            if at > HEADER_LIMIT:
                raise EndpointFault(Fault.NOT_AUDIO, f"the WAV has no audio within its first {HEADER_LIMIT} bytes")
        return False

    def _skip_chunks(self) -> None:
        """Skip the chunks after the audio, which are metadata. EndpointFault if the bytes are no chunks."""
        while self._waiting:
            passed = min(self._skip, len(self._waiting))
            self._skip -= passed
            self._waiting = self._waiting[passed:]
            if self._skip or len(self._waiting) < 8:
                return
            name, size = struct.unpack_from("<4sI", self._waiting)
            if name == b"data" or not all(0x20 <= byte < 0x7F for byte in name):
                raise self._not_chunks()
            self._skip = size + size % 2
            self._waiting = self._waiting[8:]

    def _second_header(self, place: int) -> str:
        where = f"a second WAV header stands at byte {place:,}"
        if not self._in_data:
            return f"{where}, before any audio"
        seconds = (place - self._audio_at) / 2 / self._expected_rate
        return (
            f"{where}, after {seconds:.2f} s of audio: each piece of the stream is a WAV of "
            "its own, and a player stops at the second or plays its header as noise"
        )

    def _not_chunks(self) -> EndpointFault:
        return EndpointFault(
            Fault.FORMAT,
            f"the WAV header counts {self._size:,} bytes of audio, but more follow that are no whole chunk: "
            f"{excerpt(self._waiting) if self._waiting else f'{self._skip:,} bytes of one are missing'}",
        )

    def _check_format(self, fields: bytes) -> None:
        """EndpointFault unless the audio is 16-bit PCM, also in the extensible form, mono and of the expected rate."""
        form, channels, rate, _, _, bits = struct.unpack("<HHIIHH", fields)
        if form not in (1, 0xFFFE) or bits != 16:
            raise EndpointFault(Fault.FORMAT, f"the WAV holds form {form} of {bits} bits, not 16-bit PCM")
        check_format(rate=rate, channels=channels, expected_rate=self._expected_rate, source="the WAV header")


def make_decoder(container: str, *, sample_rate: int, limit: int = BODY_LIMIT) -> Decoder:
    """The decoder for a format of `Dialect.formats`.

    `sample_rate` (Hz) is that of the expected audio, `limit` the largest accepted body (bytes).
    """
    if container == "pcm":
        return PcmDecoder()
    if container == "wav":
        return WavDecoder(sample_rate, limit=limit)
    from harness.engines.http.compressed_decoders import CompressedDecoder

    return CompressedDecoder(container, sample_rate=sample_rate)


def _half_a_frame(frames: int) -> EndpointFault:
    return EndpointFault(Fault.TRUNCATED, f"the body ends in the middle of a frame, after {frames} frames")


def _frames(data: bytes) -> "tuple[NDArray[np.float32], bytes]":
    """Whole 16-bit frames, and the odd last byte."""
    import numpy as np

    whole = len(data) & ~1
    if not whole:
        return _no_audio(), data
    return np.frombuffer(data[:whole], dtype="<i2").astype(np.float32) / np.float32(32768), data[whole:]


def _no_audio() -> "NDArray[np.float32]":
    import numpy as np

    return np.empty(0, dtype=np.float32)
