"""The decoder protocol, and checks of the format of a body."""

from typing import TYPE_CHECKING, Protocol

from harness.engines.http.errors import EndpointFault, Fault

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

HEADER_LIMIT = 1 << 16
"""The most bytes of a WAV before its audio, and of a body kept that is no audio."""


KEPT = 4_096
"""Bytes of a body that are kept to recognise its format and for messages."""


_MAGIC = {b"OggS": "opus", b"fLaC": "flac", b"ID3": "mp3"}


class Decoder(Protocol):
    """Decodes one body."""

    @property
    def playable(self) -> int:
        """Frames that can be played from the body received so far."""
        ...

    def feed(self, data: bytes) -> "NDArray[np.float32]":
        """The audio that `data` completes; empty if there is none, or if decoding waits for the end."""
        ...

    def finish(self, *, in_order: bool = ...) -> "NDArray[np.float32]":
        """The rest of the audio, once the body has ended. EndpointFault if it ended too early.

        `in_order` is True if the Content-Length, the last chunk or the compression shows that the body is complete.
        If only the closed connection ends it, more may have been missing.
        """
        ...


def check_format(*, rate: int, channels: int, expected_rate: int, source: str) -> None:
    """EndpointFault with the found and the expected format, unless the audio is mono at `expected_rate` (Hz)."""
    if rate != expected_rate or channels != 1:
        plural = "" if channels == 1 else "s"
        raise EndpointFault(
            Fault.FORMAT,
            f"{source} says {rate} Hz, {channels} channel{plural}, expected were {expected_rate} Hz, 1 channel",
        )


def container_of(head: bytes) -> str:
    """The container by a body's first bytes, as `Dialect.formats` names it; "" if unknown."""
    from harness.engines.http.mp3 import is_mp3

    if head[:4] == b"RIFF" and head[8:12] == b"WAVE":
        return "wav"
    named = next((name for magic, name in _MAGIC.items() if head.startswith(magic)), "")
    return named or ("mp3" if is_mp3(head) else "")


def is_text(head: bytes) -> bool:
    """Whether a body with this beginning is an error message: JSON or markup, of printable characters."""
    begins = head.lstrip()[:1]
    if begins not in (b"{", b"[", b"<"):
        return False
    try:
        text = head.decode()
    except UnicodeDecodeError as error:
        # The bytes may end in the middle of a character.
        if error.start < len(head) - 4:
            return False
        text = head[: error.start].decode()
    return all(char.isprintable() or char.isspace() for char in text)
