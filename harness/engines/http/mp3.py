"""Counts the frames of MPEG audio Layer III as they arrive, and writes their number where decoders look for it.

An mp3 has no length. Encoders write a table ("Xing", "Info") with it into a first frame of silence. A streaming encoder
does not know the number of frames then, and leaves the table out or writes a placeholder. libsndfile stops at that
number, or at a guess from the size of the first frame. So this module writes the counted number into the table.
"""

import struct
from dataclasses import dataclass

from harness.engines.http.errors import EndpointFault, Fault, cut_short, excerpt

# ISO/IEC 11172-3 and 13818-3, table of the header's bit rate index: Layer III, kbit/s; MPEG-1, then MPEG-2 and 2.5.
_BIT_RATES = (
    (0, 32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320),
    (0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160),
)
_SAMPLE_RATES = {3: (44_100, 48_000, 32_000), 2: (22_050, 24_000, 16_000), 0: (11_025, 12_000, 8_000)}
"""The header's version bits → Hz by its rate index."""
_HEAD = 24
"""Bytes that identify a frame or a tag and its length. No frame is shorter."""
_EXCERPT = 48
"""Bytes of foreign data that are kept for the message."""
_TABLE_NAMES = (b"Xing", b"Info")
_TABLE_PLACES = (13, 21, 36)
"""The offset of a table in its frame: after the header and 9, 17 or 32 bytes of side information."""
_COUNTS_FRAMES = 1
"""The flag of a table with the number of frames, which follows the flags."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Table:
    """An encoder's table: the offset `at` of its frame in the body, `begins` in the frame, and its number of frames."""

    at: int
    begins: int
    frames: int | None


class Mp3Counter:
    """Counts the complete frames of a body."""

    def __init__(self) -> None:
        self._waiting = b""
        self._passed = 0
        """The offset of `_waiting` in the body."""
        self._frames = 0
        self._first_at = 0
        """The offset of the first frame of audio in the body."""
        self._first_header = b""
        self._table: _Table | None = None
        self._unknown: tuple[int, bytes] | None = None
        """The first bytes that are neither a frame nor a tag, with their offset in the body."""
        self.seconds = 0.0

    def feed(self, data: bytes) -> None:
        """Count the frames that `data` completes. EndpointFault if a second file begins."""
        self._waiting += data
        at = 0
        while len(self._waiting) >= at + _HEAD:
            length, seconds = _piece(self._waiting[at : at + _HEAD])
            if not length:
                if self._waiting[at]:
                    self._unknown = self._unknown or (self._passed + at, self._waiting[at : at + _EXCERPT])
                at += 1
                continue
            if len(self._waiting) < at + length:
                break
            if seconds:
                self._count(self._waiting[at : at + length], self._passed + at, seconds)
            at += length
        self._passed += at
        self._waiting = self._waiting[at:]

    def completed(self, body: bytes, *, in_order: bool = True) -> bytes:
        """The complete body with its true number of frames in its table, which is added if there is none.

        EndpointFault if it ends within a frame, if it holds foreign bytes, or if it ends before its table says and
        `in_order` is False (see `Decoder.finish`). A body without a frame is returned unchanged: libsndfile reports
        what is wrong.
        """
        if not self._frames:
            return body
        self._check_end()
        if self._table is None or self._table.frames is None:
            begins = self._table.at if self._table is not None else self._first_at
            return body[:begins] + _table_frame(self._first_header, self._frames) + body[self._first_at :]
        if self._table.frames > self._frames and not in_order:
            raise cut_short(f"the mp3's header counts {self._table.frames:,} frames", f"{self._frames:,}")
        count_at = self._table.at + self._table.begins + 8
        return body[:count_at] + struct.pack(">I", self._frames) + body[count_at + 4 :]

    def _check_end(self) -> None:
        left = self._waiting.rstrip(b"\0")
        if self._waiting[:3] == b"ID3":
            # A tag shorter than `_HEAD`.
            left = self._waiting[_piece(self._waiting.ljust(_HEAD, b"\0"))[0] :].rstrip(b"\0")
        if self._unknown is None and self._begins_a_frame(left):
            raise EndpointFault(Fault.TRUNCATED, f"the mp3 ends in the middle of a frame, after {self.seconds:.2f} s")
        place, what = self._unknown or (self._passed, left)
        if what and what[:3] != b"TAG":
            raise EndpointFault(
                Fault.FORMAT, f"the mp3 holds bytes that are no audio, from byte {place:,} on: {excerpt(what)}"
            )

    def _begins_a_frame(self, left: bytes) -> bool:
        """Whether these last bytes, which hold no complete frame, are the beginning of one."""
        if len(left) < 4:
            return bool(left) and self._first_header[:2].startswith(left[:2])
        return bool(mp3_frame(left)[0])

    def _count(self, frame: bytes, place: int, seconds: float) -> None:
        begins = next((at for at in _TABLE_PLACES if frame[at : at + 4] in _TABLE_NAMES), 0)
        if not begins:
            if not self._frames:
                self._first_at, self._first_header = place, frame[:4]
            self._frames += 1
            self.seconds += seconds
            return
        if self._frames or self._table is not None:
            raise EndpointFault(
                Fault.FORMAT,
                f"a second mp3 header stands at byte {place:,}, after {self.seconds:.2f} s of audio: each piece of the "
                "stream is an mp3 file of its own, and a player may stop at the second",
            )
        flags, frames = struct.unpack_from(">II", frame, begins + 4)
        self._table = _Table(at=place, begins=begins, frames=frames if flags & _COUNTS_FRAMES else None)


def mp3_frame(header: bytes) -> tuple[int, float]:
    """Bytes and seconds of the Layer III frame with this header of 4 bytes; 0 bytes if it is no header."""
    bits = int.from_bytes(header[:4].ljust(4, b"\0"), "big")
    version, layer = bits >> 19 & 3, bits >> 17 & 3
    rate_index, sampling_index, padding = bits >> 12 & 15, bits >> 10 & 3, bits >> 9 & 1
    if bits >> 21 != 0x7FF or version == 1 or layer != 1 or rate_index in (0, 15) or sampling_index == 3:
        return 0, 0.0
    first = version == 3
    samples = 1152 if first else 576
    rate = _SAMPLE_RATES[version][sampling_index]
    bit_rate = _BIT_RATES[0 if first else 1][rate_index] * 1000
    return samples // 8 * bit_rate // rate + padding, samples / rate


def is_mp3(head: bytes) -> bool:
    """Whether a body begins with two Layer III frames."""
    length, _ = mp3_frame(head)
    return bool(length) and bool(mp3_frame(head[length : length + 4])[0])


def _piece(head: bytes) -> tuple[int, float]:
    """Bytes and seconds of the frame or tag that begins with `head`; 0 bytes if it is neither."""
    if head[:3] == b"ID3":
        a, b, c, d = head[6:10]
        return 10 + (a << 21 | b << 14 | c << 7 | d), 0.0
    if head[:3] == b"TAG":
        return 128, 0.0
    if head[:8] == b"APETAGEX":
        # The size of a header is that of the data after it, the size of a footer that of the data before it (APEv2).
        (size,) = struct.unpack_from("<I", head, 12)
        return 32 + (size if head[23] & 0x20 else 0), 0.0
    return mp3_frame(head)


def _table_frame(header: bytes, frames: int) -> bytes:
    """A frame of silence like the others, with a table that holds only the number of frames after it."""
    bits = int.from_bytes(header, "big")
    # No check sum, no padding, and the bit rate with index 8, whose frames are long enough.
    bits = bits & ~(0xF << 12) & ~(1 << 9) | 8 << 12 | 1 << 16
    first, mono = bits >> 19 & 3 == 3, bits >> 6 & 3 == 3
    side = (17 if mono else 32) if first else (9 if mono else 17)
    whole = bits.to_bytes(4, "big") + bytes(side) + b"Xing" + struct.pack(">II", _COUNTS_FRAMES, frames)
    return whole.ljust(mp3_frame(whole)[0], b"\0")
