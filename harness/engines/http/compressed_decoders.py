"""mp3, Opus and FLAC: decoded by libsndfile once the body is complete, but counted as the bytes arrive.

libsndfile seeks, so that it can only decode a complete body. The time at which each frame could have been played is
still exact for mp3, by the headers of its frames, and for Opus, by the positions in its pages. FLAC is not counted: all
of its audio counts as received with the last byte. The count of an mp3 is about 50 ms ahead of playback, because
decoders remove the encoder's delay at the beginning.

libsndfile stops without an error at the length in a header, at a second stream, at an incomplete last frame, and at any
other bytes after the audio. The counters check those bytes: they correct a length that a streaming encoder could not
know, and report anything else as a fault. Tags and NUL bytes are ignored.
"""

import struct
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Protocol

from harness.engines.http import flac
from harness.engines.http.errors import EndpointFault, Fault, excerpt
from harness.engines.http.formats import check_format, container_of, is_text
from harness.engines.http.mp3 import Mp3Counter

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

_ENCODER_S = 0.25
"""The seconds of the counted frames that may be an encoder's delay and padding: three frames are 72 ms at 24 kHz."""
_OPUS_RATE = 48_000
"""Opus counts positions at this rate, whatever the rate of its input (RFC 7845, section 4)."""


class Counter(Protocol):
    """Counts the audio of a body that can be played so far."""

    def feed(self, data: bytes) -> None:
        """Add bytes of the body. EndpointFault if a second stream begins, which libsndfile would ignore."""
        ...

    def completed(self, body: bytes, *, in_order: bool = ...) -> bytes:
        """The complete body, corrected so that libsndfile decodes all of it.

        EndpointFault if it ends within a frame or a page, if it holds foreign bytes, or if its header counts more than
        arrived and `in_order` is False (see `Decoder.finish`).
        """
        ...

    @property
    def seconds(self) -> float:
        """Seconds of audio in the body so far."""
        ...


class OpusCounter:
    """Reads the positions of an Ogg Opus stream's pages (RFC 3533, section 6; RFC 7845, section 4)."""

    def __init__(self) -> None:
        self._waiting = b""
        self._passed = 0
        """The offset of `_waiting` in the body."""
        self._pre_skip: int | None = None
        self.seconds: float = 0.0

    def feed(self, data: bytes) -> None:
        """Count the pages that `data` completes. EndpointFault if a second stream begins."""
        self._waiting += data
        while len(self._waiting) >= 27 and self._waiting[:4] == b"OggS":
            lacing_end = 27 + self._waiting[26]
            page_end = lacing_end + sum(self._waiting[27:lacing_end])
            if len(self._waiting) < max(lacing_end, page_end):
                return
            payload = self._waiting[lacing_end:page_end]
            (position,) = struct.unpack_from("<q", self._waiting, 6)
            if payload[:8] == b"OpusHead":
                if self._pre_skip is not None:
                    raise EndpointFault(
                        Fault.FORMAT,
                        f"a second Opus header stands at byte {self._passed:,}, after {self.seconds:.2f} s of audio: "
                        "each piece of the stream is an Ogg stream of its own, and a player may stop at the second",
                    )
                (self._pre_skip,) = struct.unpack_from("<H", payload, 10)
            elif self._pre_skip is not None and position > self._pre_skip:
                self.seconds = (position - self._pre_skip) / _OPUS_RATE
            self._passed += page_end
            self._waiting = self._waiting[page_end:]

    def completed(self, body: bytes, *, in_order: bool = True) -> bytes:
        """The unchanged body. EndpointFault if its last page is incomplete, or other bytes follow."""
        del in_order
        left = self._waiting.rstrip(b"\0")
        if not left or not self.seconds:
            return body
        if b"OggS".startswith(left[:4]):
            raise EndpointFault(Fault.TRUNCATED, f"the Opus stream ends within a page, after {self.seconds:.2f} s")
        raise EndpointFault(
            Fault.FORMAT,
            f"the Opus stream holds bytes that are no audio, from byte {self._passed:,} on: {excerpt(left)}",
        )


class FlacCounter:
    """Counts nothing: FLAC is checked as a whole at its end."""

    seconds = 0.0

    def feed(self, data: bytes) -> None:
        """Ignore the bytes."""

    def completed(self, body: bytes, *, in_order: bool = True) -> bytes:
        """The body with the number of samples by its last frame. EndpointFault as in `flac.completed`."""
        return flac.completed(body, in_order=in_order)


_COUNTERS: Mapping[str, Callable[[], Counter]] = {"mp3": Mp3Counter, "opus": OpusCounter, "flac": FlacCounter}


class CompressedDecoder:
    """Collects a body and decodes it once it is complete."""

    def __init__(self, container: str, *, sample_rate: int) -> None:
        self._container = container
        self._sample_rate = sample_rate
        self._body = bytearray()
        self._counter = _COUNTERS[container]()

    @property
    def playable(self) -> int:
        """The counted audio, in frames of the expected sample rate."""
        return int(self._counter.seconds * self._sample_rate)

    def feed(self, data: bytes) -> "NDArray[np.float32]":
        """Collect the bytes and return no audio."""
        import numpy as np

        self._body += data
        self._counter.feed(data)
        return np.empty(0, dtype=np.float32)

    def finish(self, *, in_order: bool = True) -> "NDArray[np.float32]":
        """All of the audio. EndpointFault if the body cannot be decoded completely or is not as expected."""
        body = bytes(self._body)
        if not body or is_text(body[:4096]):
            raise EndpointFault(Fault.NOT_AUDIO, f"the body is not audio but {excerpt(body)}")
        found = container_of(body[:4096])
        if found not in ("", "mp3", self._container):
            raise EndpointFault(Fault.FORMAT, f"asked for {self._container}, but the body is {found}")
        audio = self._read(self._counter.completed(body, in_order=in_order))
        if (missing := self._counter.seconds - len(audio) / self._sample_rate) > _ENCODER_S:
            raise EndpointFault(
                Fault.FORMAT,
                f"of {self._counter.seconds:.2f} s of {self._container} that came, the last {missing:.2f} s "
                "cannot be decoded",
            )
        return audio

    def _read(self, body: bytes) -> "NDArray[np.float32]":
        import io

        import soundfile

        try:
            with soundfile.SoundFile(io.BytesIO(body)) as file:
                found = "opus" if file.subtype == "OPUS" else file.format.lower()
                rate, channels = file.samplerate, file.channels
                # As `soundfile.read` does. Without it, the samples of an mp3 differ in their last bit.
                file.seek(0)
                audio: NDArray[np.float32] = file.read(dtype="float32", always_2d=True)[:, 0]
        except soundfile.LibsndfileError as error:
            raise EndpointFault(
                Fault.NOT_AUDIO,
                f"the body is no {self._container} that libsndfile {soundfile.__libsndfile_version__} can decode "
                f"({error.error_string.rstrip('. ')}); it begins with {excerpt(body)}",
            ) from error
        if found != self._container:
            raise EndpointFault(Fault.FORMAT, f"asked for {self._container}, but the body is {found}")
        check_format(
            rate=rate, channels=channels, expected_rate=self._sample_rate, source=f"the {self._container} body"
        )
        return audio
