"""From the bytes of a body to audio, piece by piece as they come. Mono only: what else comes is a fault that says so.

Decoded audio is float32, shape (frames,), full scale 1.0.
"""

import contextlib
import json
import re
import struct
from typing import TYPE_CHECKING

from harness.engines.http.errors import EndpointFault, Fault, excerpt
from harness.engines.http.formats import HEADER_LIMIT, KEPT, Decoder, check_format, container_of, is_text

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

TAIL = 1_024
"""Bytes of a body's end that are looked at for an error."""
BODY_LIMIT = 1 << 26
"""The default for the largest body that is accepted, in bytes."""
_WAV_HEADER = re.compile(rb"RIFF.{4}WAVE", re.DOTALL)
_WAV_HEADER_BYTES = 12


class HeaderSearch:
    """Looks for a WAV header in the midst of a body, also where it is cut between two pieces."""

    def __init__(self) -> None:
        self._tail = b""
        self._searched = 0

    def look(self, data: bytes) -> int | None:
        """The place in the body, in bytes, of a header that `data` completes; one at the very beginning is none."""
        window = self._tail + data
        begins = self._searched - len(self._tail)
        self._searched += len(data)
        self._tail = window[-(_WAV_HEADER_BYTES - 1) :]
        # A plain search first: a regular expression on every byte would cost more than decoding them.
        if b"WAVE" not in window:
            return None
        return next((begins + found.start() for found in _WAV_HEADER.finditer(window) if begins + found.start()), None)


class Tail:
    """The last bytes of a body, in which a server that fails half-way may have sent an error behind the audio."""

    def __init__(self) -> None:
        self._kept = b""

    def keep(self, data: bytes) -> None:
        """More of the body."""
        self._kept = (self._kept + data[-TAIL:])[-TAIL:]

    def check(self) -> None:
        """EndpointFault where the body ends with a JSON object: its bytes would be played as noise."""
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
        """Whole frames; an odd byte waits for its other half."""
        self._tail.keep(data)
        if len(self._head) < KEPT:
            self._head += data[: KEPT - len(self._head)]
            self._check_head()
        if (place := self._headers.look(data)) is not None:
            raise EndpointFault(
                Fault.FORMAT, f"asked for pcm, but a WAV header stands at byte {place:,}: a header is not audio"
            )
        audio, self._rest = _frames(self._rest + data)
        self.playable += len(audio)
        return audio

    def finish(self, *, in_order: bool = True) -> "NDArray[np.float32]":
        """A body that is text after all, or that ends within a frame, is a fault."""
        del in_order
        if is_text(self._head):
            raise EndpointFault(Fault.NOT_AUDIO, f"the body is not audio but text: {excerpt(self._head)}")
        self._tail.check()
        if self._rest:
            raise _half_a_frame(self.playable)
        return _no_audio()

    def _check_head(self) -> None:
        """A server that ignores the format sends audio, but none that is PCM."""
        found = container_of(self._head)
        if found == "wav":
            raise EndpointFault(Fault.FORMAT, "asked for pcm, but the body is a WAV file: its header is not audio")
        if found:
            raise EndpointFault(Fault.FORMAT, f"asked for pcm, but the body is {found}")


class WavDecoder:
    """RIFF WAVE with 16-bit PCM.

    The header of a streamed WAV is written before its size is known, and servers fill in whatever they like. So a size
    beyond a body that ended in order is a placeholder, whatever its value. What follows a data chunk that came whole
    must be further chunks; all else is a fault, since bytes that are passed over may be speech.

    `limit` is the largest body that is taken (bytes): where only the closed connection ends a body, a size up to it
    may be true, and then the body is cut short; a size beyond it cannot be.
    """

    def __init__(self, sample_rate: int, *, limit: int = BODY_LIMIT) -> None:
        self._expected_rate = sample_rate
        self._limit = limit
        self._headers = HeaderSearch()
        self._tail = Tail()
        self._waiting = b""
        self._came = 0
        self._audio_at = 0
        """Where in the body the audio begins, in bytes."""
        self._left: int | None = None
        """Bytes of audio that the header says are still to come; None where it says nothing."""
        self._in_data = False
        self._size = 0
        self._skip = 0
        """Bytes to come of a chunk behind the audio."""
        self.playable: int = 0

    def feed(self, data: bytes) -> "NDArray[np.float32]":
        """Whole frames of the data chunk; headers and other chunks are no audio."""
        self._tail.keep(data)
        second = self._headers.look(data)
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
            self._walk_behind()
        return audio

    def finish(self, *, in_order: bool = True) -> "NDArray[np.float32]":
        """A body without a data chunk is a fault, and one that ends within a frame, or too early (see the class)."""
        if not self._in_data:
            raise EndpointFault(Fault.TRUNCATED, f"the WAV ends within its header, after {len(self._waiting)} bytes")
        self._tail.check()
        if self._left == 0:
            # A chunk of odd length is padded, but not every writer pads the last one.
            if self._waiting or self._skip > 1:
                raise self._not_chunks()
            return _no_audio()
        if self._left and not in_order and self._size <= self._limit:
            raise EndpointFault(
                Fault.TRUNCATED,
                f"the WAV header counts {self._size:,} bytes of audio, {self._size - self._left:,} came, and nothing "
                "but the closed connection says that this was all",
            )
        if self._waiting:
            raise _half_a_frame(self.playable)
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

    def _walk_behind(self) -> None:
        """Pass over the chunks behind the audio: metadata, that no player plays. EndpointFault where they are none."""
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
        """PCM (also in the extensible form) of 16 bits; the announced rate and channel count."""
        form, channels, rate, _, _, bits = struct.unpack("<HHIIHH", fields)
        if form not in (1, 0xFFFE) or bits != 16:
            raise EndpointFault(Fault.FORMAT, f"the WAV holds form {form} of {bits} bits, not 16-bit PCM")
        check_format(rate=rate, channels=channels, expected_rate=self._expected_rate, source="the WAV header")


def make_decoder(container: str, *, sample_rate: int, limit: int = BODY_LIMIT) -> Decoder:
    """The decoder for a format of `Dialect.formats`.

    `sample_rate` (Hz) is what the audio has to have, `limit` the largest body that is taken (bytes).
    """
    if container == "pcm":
        return PcmDecoder()
    if container == "wav":
        return WavDecoder(sample_rate, limit=limit)
    from harness.engines.http.compressed_decoders import CompressedDecoder

    return CompressedDecoder(container, sample_rate=sample_rate)


def _not_wav(body: bytes) -> EndpointFault:
    return EndpointFault(Fault.NOT_AUDIO, f"the body is not a WAV: it begins with {excerpt(body)}")


def _half_a_frame(frames: int) -> EndpointFault:
    return EndpointFault(Fault.TRUNCATED, f"the body ends in the middle of a frame, after {frames} frames")


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
