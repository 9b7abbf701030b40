"""Frames of MPEG audio Layer III: counted as they come, and their number written where decoders look for it.

An mp3 itself does not say how long it is. Encoders put a table ("Xing", "Info") into a first frame of silence. An
encoder that streams cannot know the number of frames then: it leaves the table out, or a placeholder in it. libsndfile
takes that number, or a guess from the first frame's size, for the truth and stops there. So the frames are counted, and
their number is put in.
"""

import struct
from dataclasses import dataclass

from harness.engines.http.errors import EndpointFault, Fault, excerpt

# ISO/IEC 11172-3 and 13818-3, table of the header's bit rate index: Layer III, kbit/s; MPEG-1, then MPEG-2 and 2.5.
_BIT_RATES = (
    (0, 32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320),
    (0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160),
)
_SAMPLE_RATES = {3: (44_100, 48_000, 32_000), 2: (22_050, 24_000, 16_000), 0: (11_025, 12_000, 8_000)}
"""The header's version bits → Hz by its rate index."""
_LOOK = 24
"""Bytes that tell what begins at a place, and how long it is. No frame is shorter."""
_EXCERPT = 48
"""Bytes that are kept of what is no audio, for the message."""
_TABLE_NAMES = (b"Xing", b"Info")
_TABLE_PLACES = (13, 21, 36)
"""Where a table begins in its frame: behind the header and 9, 17 or 32 bytes of side information."""
_COUNTS_FRAMES = 1
"""The table's flag: the number of frames stands behind the flags."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Table:
    """An encoder's table: the frame that holds it, where in that frame it begins, and the frames that it counts."""

    at: int
    begins: int
    frames: int | None


class Mp3Counter:
    """Walks the frames of a body. A frame counts when it has come whole."""

    def __init__(self) -> None:
        self._waiting = b""
        self._passed = 0
        """Bytes of the body before `_waiting`."""
        self._frames = 0
        self._first_at = 0
        """Where the first frame of audio begins in the body."""
        self._first_header = b""
        self._table: _Table | None = None
        self._unknown: tuple[int, bytes] | None = None
        """The first bytes that are neither a frame nor a tag: their place in the body, and they themselves."""
        self.seconds = 0.0

    def feed(self, data: bytes) -> None:
        """Count the frames that `data` completes. EndpointFault where a second file begins."""
        self._waiting += data
        at = 0
        while len(self._waiting) >= at + _LOOK:
            length, seconds = _piece(self._waiting[at : at + _LOOK])
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
        """The body, which has ended, with its true number of frames in its table, which it may get only now.

        EndpointFault where it ends within a frame, where it holds bytes that are no audio, or where it ends before its
        table says and `in_order` is False: nothing proves that it is whole. A body without a frame is given back as it
        is: libsndfile says what is wrong with it.
        """
        if not self._frames:
            return body
        self._check_end()
        if self._table is None or self._table.frames is None:
            begins = self._table.at if self._table is not None else self._first_at
            return body[:begins] + _table_frame(self._first_header, self._frames) + body[self._first_at :]
        if self._table.frames > self._frames and not in_order:
            raise EndpointFault(
                Fault.TRUNCATED,
                f"the mp3's header counts {self._table.frames:,} frames, {self._frames:,} came, and nothing but the "
                "closed connection says that this was all",
            )
        count_at = self._table.at + self._table.begins + 8
        return body[:count_at] + struct.pack(">I", self._frames) + body[count_at + 4 :]

    def _check_end(self) -> None:
        left = self._waiting.rstrip(b"\0")
        if self._waiting[:3] == b"ID3":
            # A tag that is shorter than what is looked at.
            left = self._waiting[_piece(self._waiting.ljust(_LOOK, b"\0"))[0] :].rstrip(b"\0")
        if self._unknown is None and self._begins_a_frame(left):
            raise EndpointFault(Fault.TRUNCATED, f"the mp3 ends in the middle of a frame, after {self.seconds:.2f} s")
        place, what = self._unknown or (self._passed, left)
        if what and what[:3] != b"TAG":
            raise EndpointFault(
                Fault.FORMAT, f"the mp3 holds bytes that are no audio, from byte {place:,} on: {excerpt(what)}"
            )

    def _begins_a_frame(self, left: bytes) -> bool:
        """Whether a body that ends with these bytes, without a whole frame in them, was cut within one."""
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
    """Bytes and seconds of the Layer III frame that begins with these 4 bytes; 0 bytes where they are no header."""
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
    """Whether a body begins with two Layer III frames, one behind the other."""
    length, _ = mp3_frame(head)
    return bool(length) and bool(mp3_frame(head[length : length + 4])[0])


def _piece(head: bytes) -> tuple[int, float]:
    """Bytes and seconds of the frame or tag that begins with `head`; 0 bytes where neither does."""
    if head[:3] == b"ID3":
        a, b, c, d = head[6:10]
        return 10 + (a << 21 | b << 14 | c << 7 | d), 0.0
    if head[:3] == b"TAG":
        return 128, 0.0
    if head[:8] == b"APETAGEX":
        # A header counts what follows it, a footer what lies before it (APEv2: 32 bytes each).
        (size,) = struct.unpack_from("<I", head, 12)
        return 32 + (size if head[23] & 0x20 else 0), 0.0
    return mp3_frame(head)


def _table_frame(header: bytes, frames: int) -> bytes:
    """A frame of silence as the others, that holds a table with nothing but the number of frames behind it."""
    bits = int.from_bytes(header, "big")
    # No check sum, no padding, and the bit rate with index 8, whose frames are long enough.
    bits = bits & ~(0xF << 12) & ~(1 << 9) | 8 << 12 | 1 << 16
    first, mono = bits >> 19 & 3 == 3, bits >> 6 & 3 == 3
    side = (17 if mono else 32) if first else (9 if mono else 17)
    whole = bits.to_bytes(4, "big") + bytes(side) + b"Xing" + struct.pack(">II", _COUNTS_FRAMES, frames)
    return whole.ljust(mp3_frame(whole)[0], b"\0")
