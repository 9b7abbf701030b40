"""mp3 frames by their definition (ISO/IEC 11172-3, 13818-3): lengths, tags, tables, and bodies made of them by hand."""

import struct
from itertools import accumulate

import pytest

from harness.engines.http.errors import EndpointFault
from harness.engines.http.mp3 import Mp3Counter, is_mp3, mp3_frame

KBITS = {
    "11": (0, 32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320),
    "10": (0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160),
}
RATES = {"11": (44_100, 48_000, 32_000), "10": (22_050, 24_000, 16_000), "00": (11_025, 12_000, 8_000)}
MONO_24 = bytes.fromhex("fff384c0")
"""MPEG-2, 64 kbit/s, 24 kHz, one channel: 192 bytes, 24 ms."""
STEREO_24, MONO_44, STEREO_44 = (bytes.fromhex(each) for each in ("fff38400", "fffb90c0", "fffb9000"))
SIDE = {MONO_24: 9, STEREO_24: 17, MONO_44: 17, STEREO_44: 32}
"""Header → bytes of side information behind it."""
S_24 = 576 / 24_000


def by_definition(header: bytes) -> tuple[int, float]:
    """Bytes and seconds of a frame, read from the bits of its header as the standard's tables list them."""
    bits = f"{int.from_bytes(header, 'big'):032b}"
    version, layer, kbits, rate, padding = bits[11:13], bits[13:15], int(bits[16:20], 2), int(bits[20:22], 2), bits[22]
    if bits[:11] != "1" * 11 or version == "01" or layer != "01" or kbits in (0, 15) or rate == 3:
        return 0, 0.0
    samples = 1152 if version == "11" else 576
    hertz = RATES[version][rate]
    bit_rate = 1000 * KBITS["11" if version == "11" else "10"][kbits]
    return samples * bit_rate // (8 * hertz) + int(padding), samples / hertz


def frame(header: bytes = MONO_24, *, filled: int = 0) -> bytes:
    return (header + bytes([filled]) * 2_000)[: mp3_frame(header)[0]]


def table(header: bytes, *, flags: int, frames: int, name: bytes = b"Xing") -> bytes:
    whole = header + bytes(SIDE[header]) + name + struct.pack(">II", flags, frames)
    return whole.ljust(mp3_frame(header)[0], b"\0")


def counted(*pieces: bytes) -> Mp3Counter:
    counter = Mp3Counter()
    for piece in pieces:
        counter.feed(piece)
    return counter


def fault_of(body: bytes, *, in_order: bool = True) -> EndpointFault:
    with pytest.raises(EndpointFault) as caught:
        counted(body).completed(body, in_order=in_order)
    return caught.value


def test_every_header_has_the_length_and_the_seconds_of_its_definition() -> None:
    for second in range(0xE0, 0x100):
        for third in range(0x100):
            header = bytes([0xFF, second, third, 0xC0])
            assert mp3_frame(header) == by_definition(header), header.hex()
    for first, second in ((0xFE, 0xF3), (0x7F, 0xF3), (0xFF, 0xD3), (0xFF, 0x73)):
        assert mp3_frame(bytes([first, second, 0x84, 0])) == (0, 0.0)
    # What is missing of a header counts as zeros, and what follows it for nothing.
    assert mp3_frame(MONO_24[:3]) == mp3_frame(MONO_24 + b"\xff") == (192, S_24)
    assert mp3_frame(b"\xff\xf3") == mp3_frame(b"") == (0, 0.0)


def test_an_mp3_is_two_frames_one_behind_the_other() -> None:
    assert is_mp3(frame() + MONO_24)
    assert not is_mp3(frame())
    assert not is_mp3(frame()[:-1] + MONO_24)
    assert not is_mp3(b"\0" + frame() + MONO_24)


@pytest.mark.parametrize("size", [1, 191, 192, 193, 500, 10_000])
def test_frames_count_when_they_have_come_whole_however_they_are_cut(size: int) -> None:
    body = frame() * 5
    counter = Mp3Counter()
    for at in range(0, len(body), size):
        counter.feed(body[at : at + size])
        whole = min(at + size, len(body)) // 192
        assert counter.seconds == pytest.approx(whole * S_24)
    assert counter.seconds == pytest.approx(5 * S_24)


@pytest.mark.parametrize(
    "tag",
    [
        b"ID3\x04\0\0" + bytes([0, 0, 0, 5]) + b"\xff\xf3\x84\xc0x" + b"",
        b"ID3\x04\0\0" + bytes([0, 0, 1, 1]) + b"x" * 129,
        b"ID3\x04\0\0" + bytes([0, 1, 0, 0]) + b"x" * 16_384,
        b"ID3\x04\0\0" + bytes([1, 0, 0, 1]) + b"x" * ((1 << 21) + 1),
        b"TAG" + b"\xff" * 125,
        b"APETAGEX" + struct.pack("<IIII", 2_000, 40, 1, 0x20000000) + b"\0" * 8 + b"\xff" * 40,
        b"APETAGEX" + struct.pack("<IIII", 2_000, 40, 1, 0) + b"\0" * 8,
        b"\0" * 31,
    ],
    ids=["id3", "id3-129", "id3-16384", "id3-2097153", "tag", "ape-header", "ape-footer", "nul"],
)
def test_tags_and_nul_bytes_are_passed_over_to_their_end(tag: bytes) -> None:
    for body in (tag + frame() * 3, frame() + tag + frame() * 2, frame() * 3 + tag):
        counter = counted(body)
        assert counter.seconds == pytest.approx(3 * S_24)
        assert counter.completed(body).endswith(body.removeprefix(tag))


@pytest.mark.parametrize("header", SIDE, ids=["mono-24", "stereo-24", "mono-44", "stereo-44"])
@pytest.mark.parametrize("before", [b"", b"TAG" + b" " * 125], ids=["", "tag"])
def test_a_body_without_a_table_gets_one_that_holds_the_number_of_its_frames(header: bytes, before: bytes) -> None:
    body = before + b"".join(frame(header, filled=7) for _ in range(3))
    completed = counted(body).completed(body)
    assert completed.startswith(before)
    assert completed.endswith(body[len(before) :])
    added = completed[len(before) : len(completed) - len(body) + len(before)]
    # A frame of the same kind: version, layer, sampling rate and channels, but no check sum and no padding.
    assert by_definition(added[:4])[0] == len(added)
    assert added[0] == header[0]
    assert added[1] == header[1] | 1
    assert added[2] == 0x80 | header[2] & 0x0C
    assert added[3] == header[3]
    assert added[4:] == (bytes(SIDE[header]) + b"Xing" + struct.pack(">II", 1, 3)).ljust(len(added) - 4, b"\0")


def test_a_frame_with_a_check_sum_and_padding_gives_a_table_without() -> None:
    body = frame(bytes.fromhex("fff286c0")) * 2
    added = counted(body).completed(body)[: -len(body)]
    assert added[:4].hex() == "fff384c0"


@pytest.mark.parametrize("header", SIDE, ids=["mono-24", "stereo-24", "mono-44", "stereo-44"])
@pytest.mark.parametrize("name", [b"Xing", b"Info"])
def test_a_tables_number_of_frames_is_put_right_where_it_stands(header: bytes, name: bytes) -> None:
    for said in (0, 2, 3, 0xFFFFFFFF):
        body = b"\0\0" + table(header, flags=0b1111, frames=said, name=name) + frame(header) * 3
        right = b"\0\0" + table(header, flags=0b1111, frames=3, name=name) + frame(header) * 3
        counter = counted(body)
        assert counter.seconds == pytest.approx(3 * mp3_frame(header)[1])
        assert counter.completed(body) == right


def test_a_table_without_a_number_of_frames_is_replaced() -> None:
    body = frame(MONO_24)[:0] + table(MONO_24, flags=0b1110, frames=77) + frame() * 3
    assert counted(body).completed(body) == table(MONO_24, flags=1, frames=3) + frame() * 3


def test_a_body_that_is_not_proven_whole_is_held_against_its_table() -> None:
    for said, short in ((2, False), (3, False), (4, True), (1_234_567, True)):
        body = table(MONO_24, flags=1, frames=said) + frame() * 3
        if short:
            found = fault_of(body, in_order=False)
            assert found.fault == "truncated"
            assert str(found).startswith(f"the mp3's header counts {said:,} frames, 3 came, and nothing but the closed")
        else:
            assert counted(body).completed(body, in_order=False) == counted(body).completed(body)
    no_count = table(MONO_24, flags=0, frames=9) + frame() * 3
    assert counted(no_count).completed(no_count, in_order=False)


@pytest.mark.parametrize("between", [b"", frame()], ids=["at-once", "after-a-frame"])
def test_a_second_table_is_the_beginning_of_another_file(between: bytes) -> None:
    one = table(MONO_24, flags=1, frames=1)
    found = fault_of(one + between + one)
    seconds = len(between) // 192 * S_24
    assert found.fault == "format"
    assert f"a second mp3 header stands at byte {192 + len(between)}, after {seconds:.2f} s of audio" in str(found)
    # One behind audio that had none of its own, too.
    assert "stands at byte 1,152, after 0.14 s" in str(fault_of(frame() * 6 + one))


@pytest.mark.parametrize("missing", [1, 100, 188, 189, 190, 191])
def test_a_body_that_ends_within_a_frame_is_cut_short(missing: int) -> None:
    body = frame(filled=7) * 4
    found = fault_of(body[:-missing])
    assert found.fault == "truncated"
    assert str(found) == "the mp3 ends in the middle of a frame, after 0.07 s"


@pytest.mark.parametrize("behind", [b"\xfe", b"\xff\xff", b"\x01", b"\xff\xf3\x04\xc0", b"ID3\x04\0\0\0\0\0\x02abx"])
def test_a_few_bytes_that_no_frame_and_no_tag_begins_with_are_no_audio(behind: bytes) -> None:
    found = fault_of(frame() * 3 + behind)
    assert found.fault == "format"
    assert "bytes that are no audio, from byte 576 on" in str(found)


def test_bytes_that_are_no_audio_are_named_by_the_place_of_the_first() -> None:
    strange = bytes(range(1, 100))
    for body in (frame() * 3 + strange, frame() * 3 + strange + frame() * 2, frame() * 3 + b"\0" * 30 + strange):
        found = fault_of(body)
        assert found.fault == "format"
        assert f"bytes that are no audio, from byte {body.index(strange):,} on: " in str(found)
    assert "from byte 1 on" in str(fault_of(b"\0" + strange + frame() * 2))
    for few_bytes in (b"X", b"XX"):
        assert "from byte 384 on" in str(fault_of(frame() * 2 + few_bytes))
    assert str(fault_of(frame() * 2 + b"few\0\0")) == str(fault_of(frame() * 2 + b"few"))
    # A tag in the midst is none of them.
    assert "from byte 512 on" in str(fault_of(frame() + b"TAG" + b" " * 125 + frame() + strange + frame()))
    few = fault_of(frame() * 2 + b"few")
    assert str(few) == "the mp3 holds bytes that are no audio, from byte 384 on: 'few'"
    # However often the body came before.
    with pytest.raises(EndpointFault, match="from byte 576 on"):
        counted(frame(), frame(), frame(), strange).completed(frame() * 3 + strange)
    # The first of several, although a frame is cut short at the end.
    assert "from byte 192 on" in str(fault_of(frame() + strange + frame() + strange + frame()[:50]))
    # However the body came.
    body = frame() * 3 + strange + frame() * 2
    for edge in accumulate([192] * 5):
        with pytest.raises(EndpointFault, match="from byte 576 on"):
            counted(body[:edge], body[edge:]).completed(body)


def test_what_follows_a_short_tag_at_the_end_is_told_without_its_padding() -> None:
    tag = b"ID3\x04\0\0\0\0\0\x02ab"
    assert counted(frame() * 3 + tag + b"\0\0").completed(frame() * 3 + tag + b"\0\0")
    for behind in (b"x", b"X", b" "):
        found = fault_of(frame() * 3 + tag + behind)
        assert found.fault == "format"
        assert str(fault_of(frame() * 3 + tag + behind + b"\0")) == str(found)


def test_the_beginning_of_a_tag_at_the_end_is_no_fault() -> None:
    for behind in (b"TAG", b"TAG" + b"x" * 20, b"\0" * 5, b"TAG\0"):
        body = frame() * 2 + behind
        assert counted(body).completed(body).endswith(body)


def test_a_body_without_a_frame_is_given_back_as_it_is() -> None:
    for body in (b"", b"no mp3 at all, whatever it is", frame()[:100], table(MONO_24, flags=1, frames=2)):
        assert counted(body).completed(body, in_order=False) == body
