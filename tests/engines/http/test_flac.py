"""The end of a FLAC body by its definition (RFC 9639): bodies made of frames by hand, with check sums of their own."""

import struct

import pytest

from harness.engines.http.errors import EndpointFault
from harness.engines.http.flac import completed

BLOCKS = {1: 192, 2: 576, 3: 1152, 4: 2304, 5: 4608, 8: 256, 9: 512, 10: 1024, 11: 2048, 12: 4096, 13: 8192, 14: 16384}
FIXED = 4_096
RATE_FIELDS = 24_000 << 44 | 15 << 36
"""Rate, one channel, 16 bits: what stands before the number of samples."""


def remainder(data: bytes, *, polynomial: int, bits: int) -> int:
    """A cyclic redundancy check as the definition says: the remainder of a long division, one bit after the other."""
    rest = 0
    for byte in (*data, *bytes(bits // 8)):
        for place in range(7, -1, -1):
            rest = rest << 1 | byte >> place & 1
            if rest >> bits:
                rest ^= 1 << bits | polynomial
    return rest


def coded(number: int) -> bytes:
    """A number in UTF-8's manner, up to 36 bits."""
    if number < 0x80:
        return bytes([number])
    length = next(each for each in range(2, 8) if number < 1 << (6 * (each - 1) + 7 - each))
    tail = [0x80 | number >> 6 * place & 0x3F for place in range(length - 1)]
    return bytes([(0xFF00 >> length & 0xFF) | number >> 6 * (length - 1), *reversed(tail)])


def header(number: int = 0, *, block: int = 12, rate: int = 0, extra: bytes = b"", varies: bool = False) -> bytes:
    """A frame's header; `block` and `rate` are the codes of its third byte, `extra` what they ask for behind."""
    head = b"\xff" + (b"\xf9" if varies else b"\xf8") + bytes([block << 4 | rate, 0]) + coded(number) + extra
    return head + bytes([remainder(head, polynomial=0x07, bits=8)])


def frame(head: bytes, sound: bytes = b"some sound") -> bytes:
    return head + sound + struct.pack(">H", remainder(head + sound, polynomial=0x8005, bits=16))


def stream(*frames: bytes, counted: int = 0, only: bool = False, fixed: int = FIXED) -> bytes:
    info = struct.pack(">HH", fixed, fixed) + bytes(6) + (RATE_FIELDS | counted).to_bytes(8, "big") + bytes(16)
    return b"fLaC" + (b"\x80" if only else b"\x00") + b"\x00\x00\x22" + info + b"".join(frames)


def samples_of(body: bytes, *, in_order: bool = True) -> int:
    """The number that the header has in the end; nothing else may have changed."""
    whole = completed(body, in_order=in_order)
    fields = int.from_bytes(whole[18:26], "big")
    assert fields >> 36 << 36 == RATE_FIELDS
    assert whole[:18] + whole[26:] == body[:18] + body[26:]
    return fields & (1 << 36) - 1


def fault_of(body: bytes, *, in_order: bool = True) -> EndpointFault:
    with pytest.raises(EndpointFault) as caught:
        completed(body, in_order=in_order)
    return caught.value


def test_the_check_sums_of_this_test_have_their_published_values() -> None:
    assert remainder(b"123456789", polynomial=0x07, bits=8) == 0xF4
    assert remainder(b"123456789", polynomial=0x8005, bits=16) == 0xFEE8


@pytest.mark.parametrize("code", BLOCKS)
def test_the_last_frame_tells_the_samples_by_its_number_and_its_blocks_size(code: int) -> None:
    first = frame(header(0, block=code))
    assert samples_of(stream(first)) == BLOCKS[code]
    assert samples_of(stream(first, frame(header(1, block=code)), only=True)) == FIXED + BLOCKS[code]
    # Blocks of several sizes are numbered by their first sample.
    assert samples_of(stream(first, frame(header(77, block=code, varies=True)))) == 77 + BLOCKS[code]


@pytest.mark.parametrize(
    ("block", "extra", "size"),
    [(6, b"\x00", 1), (6, b"\xff", 256), (7, b"\x00\x00", 1), (7, b"\x12\x34", 0x1235), (7, b"\xff\xff", 65_536)],
)
@pytest.mark.parametrize(("rate", "behind"), [(0, b""), (4, b""), (12, b"\x18"), (13, b"\x5d\xc0"), (14, b"\x09\x60")])
def test_sizes_and_rates_may_stand_behind_the_number(
    block: int, extra: bytes, size: int, rate: int, behind: bytes
) -> None:
    head = header(3, block=block, rate=rate, extra=extra + behind)
    assert samples_of(stream(frame(head))) == 3 * FIXED + size


@pytest.mark.parametrize("bits", [1, 7, 8, 11, 12, 16, 17, 21, 22, 26, 27, 31, 32, 35])
def test_numbers_of_every_length_are_read(bits: int) -> None:
    for number in (1 << (bits - 1), (1 << bits) - 1):
        assert samples_of(stream(frame(header(number, varies=True)))) == number + 4_096


def test_a_number_of_frames_counts_in_blocks_of_the_headers_size() -> None:
    for fixed in (1, 256, 4_608, 65_535):
        assert samples_of(stream(frame(header(5, block=1)), fixed=fixed)) == 5 * fixed + 192


@pytest.mark.parametrize("behind", [b"", b"\0", b"\0" * 300])
def test_nul_bytes_behind_the_last_frame_are_padding(behind: bytes) -> None:
    assert samples_of(stream(frame(header(1)), frame(header(2))) + behind) == 3 * FIXED


def test_what_only_looks_like_a_frame_is_passed_over() -> None:
    alike = header(9)
    for times in range(4):
        assert samples_of(stream(frame(header(1), b"some" + alike * times + b"sound"))) == 2 * FIXED
    # Only so many are tried: beyond that the body is as if cut short.
    assert fault_of(stream(frame(header(1), b"some" + alike * 4 + b"sound"))).fault == "truncated"
    for wrong in (alike[:-1] + bytes([alike[-1] ^ 1]), b"\xff", b"\xff\xfa" + alike[2:], b"\xff\xf8\x00\x00\x00\x00"):
        assert samples_of(stream(frame(header(1), (b"some" + wrong) * 9))) == 2 * FIXED


def test_the_last_frame_may_be_long_but_not_without_bounds() -> None:
    longest = (1 << 18) - len(header(1)) - 2
    assert samples_of(stream(frame(header(1), b"s" * longest))) == 2 * FIXED
    assert fault_of(stream(frame(header(1), b"s" * (longest + 1)))).fault == "truncated"


@pytest.mark.parametrize(
    "head",
    [
        b"\xff\xf8\x00\x00\x00",  # no size of a block has the code 0
        b"\xff\xf8\xc0\x00\x80",  # no number begins so
        b"\xff\xf8\xc0\x00\xff",
        b"\xff\xfa\xc0\x00\x00",  # no frame begins so
        b"\xff\xf8\xc0\x00",
    ],
)
def test_a_header_that_the_definition_does_not_allow_is_none(head: bytes) -> None:
    head += bytes([remainder(head, polynomial=0x07, bits=8)])
    assert fault_of(stream(frame(head))).fault == "truncated"
    assert fault_of(stream(head)).fault == "truncated"


def test_a_body_that_does_not_end_with_a_whole_frame_is_told_with_its_last_bytes() -> None:
    body = stream(frame(header(0)), frame(header(1), b"x" * 100))
    for cut in (body[:-1], body[:-2], body[: -len(frame(header(1), b"x" * 100)) + 4], stream(), body + b"more"):
        found = fault_of(cut)
        assert found.fault == "truncated"
        assert str(found).startswith("the FLAC stream does not end with a whole frame: it is cut short, or something")
    shown = str(fault_of(stream() + b"y" * 9 + b"z" * 48))
    assert shown.endswith("its last bytes are '" + "z" * 48 + "'")


@pytest.mark.parametrize("only", [False, True])
@pytest.mark.parametrize("before", [False, True])
def test_a_second_header_is_the_beginning_of_another_file(only: bool, before: bool) -> None:  # noqa: FBT001
    one = stream(frame(header(0)), only=before)
    others = [stream(frame(header(0)), only=each) for each in (only, not only) * 2]
    found = fault_of(b"".join([one, *others]))
    assert found.fault == "format"
    assert f"a second FLAC header stands at byte {len(one)}: each piece" in str(found)


def test_a_body_that_is_not_proven_whole_is_held_against_its_header() -> None:
    for counted, short in ((0, False), (FIXED, False), (FIXED + 1, True), ((1 << 36) - 1, True)):
        body = stream(frame(header(0)), counted=counted)
        assert samples_of(body) == FIXED
        assert completed(body) == completed(body, in_order=True)
        if not short:
            assert samples_of(body, in_order=False) == FIXED
            continue
        found = fault_of(body, in_order=False)
        assert found.fault == "truncated"
        assert str(found).startswith(f"the FLAC header counts {counted:,} samples, 4,096 came, and nothing but the")


def test_what_is_no_flac_stream_is_given_back_as_it_is() -> None:
    body = stream(frame(header(0)))
    for other in (
        b"",
        b"fLaC",
        body[:25],
        b"OggS" + body[4:],
        body[:4] + b"\x01" + body[5:],
        body[:7] + b"\x23" + body[8:],
    ):
        assert completed(other) == other
    assert fault_of(body[:26]).fault == "truncated"
