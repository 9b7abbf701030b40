"""The end of a FLAC body (RFC 9639): finds its last frame, and counts the samples up to its end.

A streaming encoder does not know the number of samples when it writes the header, and writes 0, with which libsndfile
reads too far. If the header has a number, libsndfile stops there, whatever follows. So this module takes the number of
the last frame, and checks that nothing follows it.
"""

from collections.abc import Iterator
from functools import cache
from itertools import islice

from harness.engines.http.errors import EndpointFault, Fault, cut_short, excerpt

MAGIC = b"fLaC"
_STREAMINFO_HEADERS = (b"\x00\x00\x00\x22", b"\x80\x00\x00\x22")
"""The header of the first block, STREAMINFO of 34 bytes; the second form marks it as the only block."""
_COUNT_AT = 18
"""The offset of 8 bytes with rate, channels and sample size; their last 36 bits are the number of samples."""
_COUNT_BITS = 36
_LONGEST_FRAME = 1 << 18
"""The most bytes of a frame: 65,535 samples of 16 bits, two channels, verbatim."""
_BLOCK_SIZES = {1: 192, 2: 576, 3: 1152, 4: 2304, 5: 4608} | {code: 256 << (code - 8) for code in range(8, 16)}
_BLOCK_SIZE_8, _BLOCK_SIZE_16 = 6, 7
_SYNC = (b"\xf8", b"\xf9")
"""The byte after 0xFF at the beginning of a frame: for blocks of one size, or of several."""
_TRIED = 4
"""The number of possible frames that are tried, from the end. A few are enough to skip bytes that only look like the
beginning of a frame: the check sum from a true one to the end is right for all of them, or for none."""
_EXTRA_RATE_BYTES = {12: 1, 13: 2, 14: 2}


def completed(body: bytes, *, in_order: bool = True) -> bytes:
    """The body with its true number of samples in its header, which may hold a placeholder.

    A body that is no FLAC stream is returned unchanged: libsndfile reports what is wrong. EndpointFault if a second
    stream begins, if the body does not end with a frame, or if it ends before the header says and `in_order` is False
    (see `Decoder.finish`).
    """
    if body[:4] != MAGIC or body[4:8] not in _STREAMINFO_HEADERS or len(body) < _COUNT_AT + 8:
        return body
    if (second := min((at for mark in _STREAMINFO_HEADERS if (at := body.find(MAGIC + mark, 1)) > 0), default=0)) > 0:
        raise EndpointFault(
            Fault.FORMAT,
            f"a second FLAC header stands at byte {second:,}: each piece of the stream is a FLAC file of its own, and "
            "a player stops at the second",
        )
    fields = int.from_bytes(body[_COUNT_AT : _COUNT_AT + 8], "big")
    counted, fixed_block = fields & (1 << _COUNT_BITS) - 1, int.from_bytes(body[8:10], "big")
    samples = _samples(body, fixed_block)
    if samples is None:
        raise EndpointFault(
            Fault.TRUNCATED,
            "the FLAC stream does not end with a whole frame: it is cut short, or something else follows it; its last "
            f"bytes are {excerpt(body[-48:])}",
        )
    if counted > samples and not in_order:
        raise cut_short(f"the FLAC header counts {counted:,} samples", f"{samples:,}")
    right = (fields >> _COUNT_BITS << _COUNT_BITS | samples).to_bytes(8, "big")
    return body[:_COUNT_AT] + right + body[_COUNT_AT + 8 :]


def _samples(body: bytes, fixed_block: int) -> int | None:
    """Samples up to the end of the last frame; None if the body does not end with a frame.

    NUL bytes after the frame are padding, with which the check sum stays right.
    """
    for start, after in islice(_last_frames(body, fixed_block), _TRIED):
        if not _crc16(body[start:]):
            return after
    return None


def _last_frames(body: bytes, fixed_block: int) -> Iterator[tuple[int, int]]:
    """(Offset, samples up to its end) of each possible frame, the last one first."""
    at = len(body)
    while (at := body.rfind(b"\xff", max(0, len(body) - _LONGEST_FRAME), at)) >= 0:
        after = _samples_after(body[at : at + 16], fixed_block) if body[at + 1 : at + 2] in _SYNC else None
        if after is not None:
            yield at, after


def _samples_after(header: bytes, fixed_block: int) -> int | None:
    """Samples from the beginning of the stream to the end of the frame with this header; None if it is no header."""
    number, number_bytes = _coded_number(header[4:])
    if number is None or len(header) < 6:
        return None
    at, size_code = 4 + number_bytes, header[2] >> 4
    if size_code == _BLOCK_SIZE_8:
        block, at = header[at] + 1, at + 1
    elif size_code == _BLOCK_SIZE_16:
        block, at = int.from_bytes(header[at : at + 2], "big") + 1, at + 2
    else:
        block = _BLOCK_SIZES.get(size_code, 0)
    at += _EXTRA_RATE_BYTES.get(header[2] & 15, 0)
    if not block or at >= len(header) or _crc8(header[: at + 1]):
        return None
    varies = header[1] & 1
    return (number if varies else number * fixed_block) + block


def _coded_number(coded: bytes) -> tuple[int | None, int]:
    """The number of a frame or sample, coded like UTF-8, and its length of up to 7 bytes; None if it is invalid."""
    first = coded[0] if coded else 0xFF
    length = next((ones for ones in range(8) if not first >> (7 - ones) & 1), 8)
    if length in (1, 8):
        return None, 0
    if length == 0:
        return first, 1
    number = first & (1 << (7 - length)) - 1
    for byte in coded[1:length]:
        number = number << 6 | byte & 0x3F
    return number, length


def _crc8(data: bytes) -> int:
    crc = 0
    for byte in data:
        crc = _table(0x07, 8)[crc ^ byte]
    return crc


def _crc16(data: bytes) -> int:
    """The remainder; 0 if the last two bytes are the check sum of the bytes before."""
    table, crc = _table(0x8005, 16), 0
    for byte in data:
        crc = (crc << 8 & 0xFF00) ^ table[crc >> 8 ^ byte]
    return crc


@cache
def _table(polynomial: int, bits: int) -> tuple[int, ...]:
    """The remainder of each byte, for a table-driven CRC."""
    top, mask, table = 1 << (bits - 1), (1 << bits) - 1, []
    for byte in range(256):
        rest = byte << (bits - 8)
        for _ in range(8):
            rest = (rest << 1 ^ (polynomial if rest & top else 0)) & mask
        table.append(rest)
    return tuple(table)
