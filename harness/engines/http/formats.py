"""Audio formats: which one a body holds, and what every decoder does."""

from typing import TYPE_CHECKING, Protocol

from harness.engines.http.errors import EndpointFault, Fault

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

HEADER_LIMIT = 1 << 16
"""A WAV whose audio begins later than this is not one that anybody streams."""


KEPT = 4_096
"""Bytes of a body that are kept, for its nature and for messages."""


_MAGIC = {b"OggS": "opus", b"fLaC": "flac", b"ID3": "mp3"}


class Decoder(Protocol):
    """Decodes one body."""

    @property
    def playable(self) -> int:
        """How many frames can be played from the body received so far."""
        ...

    def feed(self, data: bytes) -> "NDArray[np.float32]":
        """The audio that `data` completes; empty where it completes none, or where decoding waits for the end."""
        ...

    def finish(self, *, in_order: bool = ...) -> "NDArray[np.float32]":
        """The body has ended: the audio that was still waiting. EndpointFault where the end came too early.

        `in_order` says that the answer's framing has proven its end: all bytes of its Content-Length, its last chunk,
        the end of its compression. Where only the closed connection ends a body, nobody knows whether more was to come.
        """
        ...


def check_format(*, rate: int, channels: int, expected_rate: int, source: str) -> None:
    """EndpointFault that says both, where the audio is not what was announced: mono at `expected_rate` (Hz)."""
    if rate != expected_rate or channels != 1:
        plural = "" if channels == 1 else "s"
        raise EndpointFault(
            Fault.FORMAT,
            f"{source} says {rate} Hz, {channels} channel{plural}, expected were {expected_rate} Hz, 1 channel",
        )


def container_of(head: bytes) -> str:
    """The container that a body's first bytes show, as `Dialect.formats` call it; "" where they show none."""
    from harness.engines.http.mp3 import is_mp3

    if head[:4] == b"RIFF" and head[8:12] == b"WAVE":
        return "wav"
    named = next((name for magic, name in _MAGIC.items() if head.startswith(magic)), "")
    return named or ("mp3" if is_mp3(head) else "")


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
