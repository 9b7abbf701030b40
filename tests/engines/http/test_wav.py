"""WAV chunks by their definition, made by hand; what a body's first and last bytes tell; where bounds lie."""

import json
import struct

import numpy as np
import pytest

from harness.engines.http.decoders import BODY_LIMIT, TAIL, HeaderSearch, PcmDecoder, WavDecoder, make_decoder
from harness.engines.http.errors import EndpointFault
from harness.engines.http.formats import HEADER_LIMIT, KEPT, Decoder, check_format, container_of, is_text

RATE = 24_000
SAMPLES = np.arange(-900, 900, 3, dtype="<i2")
PCM = SAMPLES.tobytes()
DECODED = SAMPLES.astype(np.float32) / np.float32(32768)


def chunk(name: bytes, payload: bytes, *, size: int | None = None) -> bytes:
    return name + struct.pack("<I", len(payload) if size is None else size) + payload


def fmt(*, form: int = 1, channels: int = 1, rate: int = RATE, bits: int = 16, behind: bytes = b"") -> bytes:
    fields = struct.pack("<HHIIHH", form, channels, rate, rate * channels * bits // 8, channels * bits // 8, bits)
    return chunk(b"fmt ", fields + behind)


def wav(*chunks: bytes) -> bytes:
    return b"RIFF\xff\xff\xff\xffWAVE" + b"".join(chunks)


def heard(decoder: Decoder, *pieces: bytes, in_order: bool = True) -> np.ndarray:
    return np.concatenate([*(decoder.feed(piece) for piece in pieces), decoder.finish(in_order=in_order)])


def fault_of(decoder: Decoder, *pieces: bytes, in_order: bool = True) -> EndpointFault:
    with pytest.raises(EndpointFault) as caught:
        heard(decoder, *pieces, in_order=in_order)
    return caught.value


@pytest.mark.parametrize(
    "before",
    [
        (fmt(),),
        (fmt(behind=b"\0\0"),),
        (fmt(form=0xFFFE, behind=b"\x16\0" + bytes(22)),),
        (chunk(b"JUNK", b"x" * 28), fmt()),
        (chunk(b"bext", b"odd") + b"\0", fmt(), chunk(b"LIST", b"even")),
        (fmt(), chunk(b"fact", struct.pack("<I", 600)), chunk(b"PEAK", b"")),
    ],
    ids=["plain", "18-bytes", "extensible", "junk-first", "padded", "behind-the-format"],
)
@pytest.mark.parametrize("size", [len(PCM), 0, 0xFFFFFFFF])
def test_whatever_stands_before_the_audio_it_is_the_same_byte_by_byte(before: tuple[bytes, ...], size: int) -> None:
    body = wav(*before, chunk(b"data", PCM, size=size))
    decoder = WavDecoder(RATE)
    np.testing.assert_array_equal(heard(decoder, body), DECODED)
    assert decoder.playable == len(SAMPLES)
    decoder = WavDecoder(RATE)
    pieces = [body[at : at + 1] for at in range(len(body))]
    heard_by = []
    for piece in pieces:
        decoder.feed(piece)
        heard_by.append(decoder.playable)
    decoder.finish()
    begins = len(body) - len(PCM)
    assert heard_by == [max(0, (at + 1 - begins) // 2) for at in range(len(body))]


@pytest.mark.parametrize(
    ("body", "fault", "said"),
    [
        (wav(fmt(form=3, bits=32)), "format", "the WAV holds form 3 of 32 bits, not 16-bit PCM"),
        (wav(fmt(bits=24)), "format", "the WAV holds form 1 of 24 bits, not 16-bit PCM"),
        (wav(fmt(form=0xFFFE, bits=8)), "format", "the WAV holds form 65534 of 8 bits, not 16-bit PCM"),
        (wav(fmt(form=3)), "format", "the WAV holds form 3 of 16 bits, not 16-bit PCM"),
        (wav(chunk(b"data", PCM), fmt()), "not-audio", "the WAV has no fmt chunk before its audio"),
        (b"RIFF\0\0\0\0WAVX" + fmt(), "not-audio", "the body is not a WAV: it begins with"),
        (b"RIFX\0\0\0\0WAVE" + fmt(), "not-audio", "the body is not a WAV: it begins with"),
        (b"RIFF\0\0\0\0WAVX", "not-audio", "the body is not a WAV: it begins with"),
        (b"RI", "truncated", "the WAV ends within its header, after 2 bytes"),
        (b"", "truncated", "the WAV ends within its header, after 0 bytes"),
        (wav(fmt())[:30], "truncated", "the WAV ends within its header, after 30 bytes"),
        (wav(fmt(), b"data\0\0\0"), "truncated", "the WAV ends within its header, after 43 bytes"),
        (wav(fmt(), chunk(b"data", PCM[:7])), "format", "counts 7 bytes of audio, which is half a frame too much"),
        (wav(fmt(), chunk(b"data", PCM[:7], size=0)), "truncated", "ends in the middle of a frame, after 3 frames"),
        (wav(fmt(), chunk(b"data", PCM[:8], size=7)), "format", "counts 7 bytes of audio, which is half a frame too"),
        (b"RIFF\4\0\0\0WAVE" * 2, "format", "a second WAV header stands at byte 12, before any audio"),
        (wav(fmt(), chunk(b"data", PCM, size=0)) + wav(), "format", "at byte 1,244, after 0.03 s of audio"),
    ],
)
def test_what_is_wrong_with_a_wav_is_told(body: bytes, fault: str, said: str) -> None:
    found = fault_of(WavDecoder(RATE), body)
    assert (found.fault, said in str(found)) == (fault, True), str(found)


def test_a_second_header_is_told_with_the_audio_before_it_however_the_body_came() -> None:
    # A long header counts as no audio.
    one = wav(fmt(), chunk(b"JUNK", bytes(40_000)), chunk(b"data", PCM * 20, size=0))
    said = f"a second WAV header stands at byte {len(one):,}, after {20 * len(SAMPLES) / RATE:.2f} s of audio"
    for size in (len(one) + 12, 1_000, 30_000):
        body = one + wav()
        assert said in str(fault_of(WavDecoder(RATE), *(body[at : at + size] for at in range(0, len(body), size))))


def test_an_end_is_in_order_unless_it_is_said_not_to_be_and_no_audio_may_be_all() -> None:
    decoder = WavDecoder(RATE)
    decoder.feed(wav(fmt(), chunk(b"data", PCM, size=len(PCM) + 2)))
    assert len(decoder.finish()) == 0
    decoder = WavDecoder(RATE)
    assert len(decoder.feed(wav(fmt(), chunk(b"data", b"")))) == len(decoder.finish()) == 0


def test_a_header_may_be_long_but_not_without_bounds() -> None:
    room = HEADER_LIMIT - len(wav(fmt())) - 8
    body = wav(fmt(), chunk(b"JUNK", bytes(room)), chunk(b"data", PCM))
    np.testing.assert_array_equal(heard(WavDecoder(RATE), body), DECODED)
    found = fault_of(WavDecoder(RATE), wav(fmt(), chunk(b"JUNK", bytes(room + 1)), chunk(b"data", PCM)))
    assert (found.fault, "the WAV has no audio within its first 65536 bytes" in str(found)) == ("not-audio", True)
    # It is told as soon as it is known, and not when so many bytes have come.
    assert fault_of(WavDecoder(RATE), wav(fmt(), b"JUNK\xff\xff\xff\x7f")).fault == "not-audio"


@pytest.mark.parametrize("limit", [len(PCM) + 2, BODY_LIMIT])
def test_up_to_the_limit_a_size_may_be_true(limit: int) -> None:
    for size, cut_short in ((limit - 1, True), (limit, True), (limit + 1, False)):
        for decoder in (WavDecoder(RATE, limit=limit), make_decoder("wav", sample_rate=RATE, limit=limit)):
            body = wav(fmt(), chunk(b"data", PCM, size=size))
            if cut_short:
                found = fault_of(decoder, body, in_order=False)
                assert f"counts {size:,} bytes of audio, {len(PCM):,} came, and nothing but the closed" in str(found)
            else:
                np.testing.assert_array_equal(heard(decoder, body, in_order=False), DECODED)


@pytest.mark.parametrize(
    ("behind", "whole"),
    [
        (chunk(b"LIST", b"abcd"), True),
        (chunk(b"    ", b""), True),
        (chunk(b"~~~~", b"ab") + chunk(b"id3 ", b"abc") + b"\0", True),
        (chunk(b"id3 ", b"abc"), True),
        (chunk(b"LIST", b"ab", size=4), False),
        (chunk(b"LIST", b"abc", size=4), True),
        (chunk(b"LI\x1fT", b"abcd"), False),
        (chunk(b"LI\x7fT", b"abcd"), False),
        (chunk(b"data", b"abcd"), False),
        (b"LIST\0\0\0", False),
    ],
)
def test_chunks_behind_the_audio_are_whole_or_a_fault(behind: bytes, whole: bool) -> None:  # noqa: FBT001
    body = wav(fmt(), chunk(b"data", PCM)) + behind
    for pieces in ([body], [body[at : at + 1] for at in range(len(body))], [body[: -len(behind)], behind]):
        if whole:
            np.testing.assert_array_equal(heard(WavDecoder(RATE), *pieces), DECODED)
        else:
            found = fault_of(WavDecoder(RATE), *pieces)
            assert found.fault == "format"
            assert f"counts {len(PCM):,} bytes of audio, but more follow that are no whole chunk: " in str(found)


def test_a_chunk_behind_the_audio_that_is_cut_short_is_told_with_what_is_missing() -> None:
    assert str(fault_of(WavDecoder(RATE), wav(fmt(), chunk(b"data", PCM)) + b"more")).endswith("no whole chunk: 'more'")
    body = wav(fmt(), chunk(b"data", PCM), chunk(b"LIST", b"ab", size=1_234))
    assert str(fault_of(WavDecoder(RATE), body)).endswith("no whole chunk: 1,232 bytes of one are missing")


def test_a_header_is_found_wherever_it_is_cut() -> None:
    header = b"RIFF1234WAVE"
    for before in (b"", b"x", b"RIFF" * 5, b"x" * 100):
        body = before + header + b"behind"
        place = len(before) or None
        for cut in range(len(body)):
            headers = HeaderSearch()
            assert [headers.search(body[:cut]), headers.search(body[cut:])].count(place) >= 1
        headers = HeaderSearch()
        found = [headers.search(body[at : at + 1]) for at in range(len(body))]
        assert [each for each in found if each is not None] == ([place] if place else [])
    headers = HeaderSearch()
    assert headers.search(header + b"x" + header + header) == len(header) + 1
    assert headers.search(b"WAVE") is None


@pytest.mark.parametrize("make", [PcmDecoder, lambda: WavDecoder(RATE)], ids=["pcm", "wav"])
def test_an_error_behind_the_audio_is_found_within_the_last_bytes(make: type[PcmDecoder]) -> None:
    before = PCM if make is PcmDecoder else wav(fmt(), chunk(b"data", PCM, size=0))
    nested = b'{"error": {"message": "no", "code": {"a": 1}}}'
    assert str(fault_of(make(), before + nested)).endswith(f"which is none: {nested.decode()!r}")
    # What only looks like the beginning of one is passed over.
    assert str(fault_of(make(), before + b'{"{"x' + nested)).endswith(f"which is none: {nested.decode()!r}")
    longest = json.dumps({"e": "x" * (TAIL - 9)}).encode()
    assert len(longest) == TAIL
    assert fault_of(make(), before, longest).fault == "not-audio"
    assert fault_of(make(), before + longest[:500], longest[500:]).fault == "not-audio"
    longer = json.dumps({"e": "x" * (TAIL - 7)}).encode()
    assert len(heard(make(), before + longer)) == (len(PCM) + len(longer)) // 2
    assert len(heard(make(), before + b'{"half')) == len(PCM) // 2 + 3


def test_a_text_in_place_of_pcm_is_told_at_its_end_however_long_it_is() -> None:
    for length in (10, KEPT - 2, KEPT, 3 * KEPT):
        text = b"<p>" + b"word " * (length // 5)
        found = fault_of(PcmDecoder(), text[:7], text[7:])
        assert (found.fault, str(found).startswith("the body is not audio but text: '<p>word")) == ("not-audio", True)
    # Only the first bytes are looked at: noise behind them makes no audio of it, and noise in them does.
    assert fault_of(PcmDecoder(), b"<" + b"x" * (KEPT - 1) + b"\0\xff").fault == "not-audio"
    assert fault_of(PcmDecoder(), b"<", b"x" * (KEPT - 1) + b"\0\xff").fault == "not-audio"
    assert len(heard(PcmDecoder(), b"<" + b"x" * (KEPT - 2) + b"\0" + b"xy")) == KEPT // 2 + 1


def test_another_container_in_place_of_pcm_is_told_as_soon_as_its_first_bytes_show_it() -> None:
    for name, magic in (("opus", b"OggS"), ("flac", b"fLaC"), ("mp3", b"ID3")):
        decoder = PcmDecoder()
        decoder.feed(magic[:-1])
        with pytest.raises(EndpointFault, match=f"asked for pcm, but the body is {name}"):
            decoder.feed(magic[-1:])
    decoder = PcmDecoder()
    decoder.feed(b"RIFF1234WAV")
    with pytest.raises(EndpointFault, match="asked for pcm, but the body is a WAV file"):
        decoder.feed(b"E")
    # Behind the beginning these bytes mean nothing.
    assert len(heard(PcmDecoder(), b"\0\0OggS")) == 3


def test_pcm_is_scaled_to_one_and_counted() -> None:
    decoder = PcmDecoder()
    audio = heard(decoder, struct.pack("<4h", -32768, 0, 16384, 32767))
    assert audio.dtype == np.float32
    assert audio.tolist() == [-1.0, 0.0, 0.5, pytest.approx(0.99997)]
    assert decoder.playable == 4
    assert (PcmDecoder().feed(b"").dtype, PcmDecoder().feed(b"\0").shape) == (np.float32, (0,))


@pytest.mark.parametrize(
    ("head", "container"),
    [
        (b"RIFF1234WAVE", "wav"),
        (b"RIFF1234WAV", ""),
        (b"RIFX1234WAVE", ""),
        (b"RIFF1234WAVX", ""),
        (b"OggS", "opus"),
        (b"Ogg", ""),
        (b"fLaC\0", "flac"),
        (b"ID3\x04", "mp3"),
        (b"\xff\xf3\x84\xc0" + bytes(188) + b"\xff\xf3\x84\xc0", "mp3"),
        (b"\xff\xf3\x84\xc0" + bytes(188), ""),
        (PCM, ""),
        (b"", ""),
    ],
)
def test_first_bytes_show_their_container(head: bytes, container: str) -> None:
    assert container_of(head) == container


@pytest.mark.parametrize(
    ("head", "text"),
    [
        (b"\r\n\t {}", True),
        (b"<", True),
        (b"plain words", False),
        (b'{"a":\x00', False),
        (b'{"a":\x7f', False),
        ('{"a": "é'.encode()[:-1], True),
        ('{"a": "🎤'.encode()[:-1], True),
        ('{"a": "🎤'.encode()[:-3], True),
        (b'{"a": "\xff' + b"xyz", True),
        (b'{"a": "\xff' + b"wxyz", False),
        (b"{\xff", True),
    ],
)
def test_a_text_is_printable_up_to_a_character_that_is_cut(head: bytes, text: bool) -> None:  # noqa: FBT001
    assert is_text(head) is text


def test_a_format_that_was_not_announced_is_told_with_both() -> None:
    check_format(rate=RATE, channels=1, expected_rate=RATE, source="it")
    for rate, channels, said in (
        (48_000, 1, "it says 48000 Hz, 1 channel, expected were 24000 Hz, 1 channel"),
        (RATE, 2, "it says 24000 Hz, 2 channels, expected were 24000 Hz, 1 channel"),
        (RATE, 0, "it says 24000 Hz, 0 channels, expected were 24000 Hz, 1 channel"),
    ):
        with pytest.raises(EndpointFault) as caught:
            check_format(rate=rate, channels=channels, expected_rate=RATE, source="it")
        assert (caught.value.fault, str(caught.value)) == ("format", said)
