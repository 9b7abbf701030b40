"""Ogg Opus pages by their definition (RFC 3533, RFC 7845), made by hand; and what a compressed body must be."""

import io
import struct
from collections.abc import Sequence

import numpy as np
import pytest
import soundfile

from harness.engines.http.compressed_decoders import CompressedDecoder, FlacCounter, OpusCounter
from harness.engines.http.errors import EndpointFault
from harness.server.mock.sound import compress, tone

RATE = 24_000
PRE_SKIP = 312
SECOND = 48_000
"""Positions count at 48 kHz, whatever the audio's rate is."""


def page(position: int, packets: Sequence[int] = (10,), *, payload: bytes = b"") -> bytes:
    """A page that ends at `position`, with packets of so many bytes (below 255), or with one `payload`."""
    sizes = [len(payload)] if payload else list(packets)
    body = payload or b"".join(bytes([65 + number]) * size for number, size in enumerate(sizes))
    return b"OggS\0\0" + struct.pack("<q", position) + bytes(12) + bytes([len(sizes), *sizes]) + body


def head(pre_skip: int = PRE_SKIP) -> bytes:
    return page(0, payload=b"OpusHead\x01\x01" + struct.pack("<H", pre_skip) + bytes(7))


TAGS = page(0, payload=b"OpusTags" + bytes(8))


def counted(*pieces: bytes) -> OpusCounter:
    counter = OpusCounter()
    for piece in pieces:
        counter.feed(piece)
    return counter


def fault_of(body: bytes) -> EndpointFault:
    with pytest.raises(EndpointFault) as caught:
        counted(body).completed(body)
    return caught.value


def test_a_stream_lasts_as_long_as_its_last_position_says_behind_the_pre_skip() -> None:
    body = head() + TAGS + page(SECOND // 2 + PRE_SKIP) + page(SECOND + PRE_SKIP, (254, 1, 0, 200))
    assert counted(body).seconds == 1.0
    assert counted(body[: -len(page(0, (254, 1, 0, 200)))]).seconds == 0.5
    assert counted(head(0) + TAGS + page(SECOND)).seconds == 1.0
    # Whatever the pre-skip, until the first sample behind it nothing is heard.
    for position in (-1, 0, PRE_SKIP - 1, PRE_SKIP):
        assert counted(head() + TAGS + page(position)).seconds == 0.0
    assert counted(head() + TAGS + page(PRE_SKIP + 1)).seconds == 1 / SECOND
    # A page on which no packet ends has no position: what was heard before stays.
    for later in (page(-1), page(PRE_SKIP), page(-1, ())):
        assert counted(body + later).seconds == 1.0
        assert counted(body + later).completed(body + later) == body + later


@pytest.mark.parametrize("size", [1, 26, 27, 28, 29, 100])
def test_a_page_counts_when_its_last_byte_has_come(size: int) -> None:
    pages = [head(), TAGS, page(SECOND + PRE_SKIP, (200, 100)), page(2 * SECOND + PRE_SKIP)]
    body = b"".join(pages)
    ends = [sum(map(len, pages[: number + 1])) for number in (2, 3)]
    counter = OpusCounter()
    for at in range(0, len(body), size):
        counter.feed(body[at : at + size])
        assert counter.seconds == sum(at + size >= end for end in ends)
    assert counter.completed(body) == body


def test_pages_before_a_header_are_no_audio() -> None:
    counter = counted(page(SECOND))
    assert counter.seconds == 0.0
    counter.feed(head() + TAGS + page(SECOND + PRE_SKIP))
    assert counter.seconds == 1.0


def test_a_second_header_is_the_beginning_of_another_stream() -> None:
    one = head() + TAGS + page(SECOND + PRE_SKIP)
    for body in ([one + one], [one, one], [one[:50], one[50:] + one]):
        with pytest.raises(EndpointFault) as caught:
            counted(*body)
        assert caught.value.fault == "format"
        assert f"a second Opus header stands at byte {len(one)}, after 1.00 s of audio: each piece" in str(caught.value)


@pytest.mark.parametrize("kept", [1, 4, 26, 27, 36])
def test_a_stream_that_ends_within_a_page_is_cut_short(kept: int) -> None:
    found = fault_of(head() + TAGS + page(SECOND // 2 + PRE_SKIP) + page(SECOND + PRE_SKIP)[:kept])
    assert found.fault == "truncated"
    assert str(found) == "the Opus stream ends within a page, after 0.50 s"


@pytest.mark.parametrize("behind", [b"x", b"XX", b"Ogg!", b"some text", b"oggS" + bytes(30) + b"x"])
def test_bytes_that_are_no_page_are_named_by_their_place(behind: bytes) -> None:
    body = head() + TAGS + page(SECOND + PRE_SKIP)
    found = fault_of(body + behind)
    assert found.fault == "format"
    assert f"the Opus stream holds bytes that are no audio, from byte {len(body)} on: " in str(found)
    # Padding is no part of what is shown.
    assert str(fault_of(body + behind + b"\0" * 9)) == str(found)


def test_nul_bytes_behind_the_last_page_are_padding_and_a_body_without_audio_is_given_back() -> None:
    body = head() + TAGS + page(SECOND + PRE_SKIP)
    assert counted(body + b"\0" * 40).completed(body + b"\0" * 40) == body + b"\0" * 40
    for other in (b"", b"no page", head() + TAGS + b"x"):
        assert counted(other).completed(other, in_order=False) == other


SPEECH = tone(("A tone.",), first=0, frames=RATE, sample_rate=RATE)
BODIES = {name: compress(SPEECH, container=name, sample_rate=RATE, channels=1) for name in ("mp3", "opus", "flac")}


def decoded_fault(container: str, body: bytes) -> EndpointFault:
    decoder = CompressedDecoder(container, sample_rate=RATE)

    def heard() -> None:
        decoder.feed(body)
        decoder.finish()

    with pytest.raises(EndpointFault) as caught:
        heard()
    return caught.value


@pytest.mark.parametrize(("asked", "came"), [(a, b) for a in BODIES for b in BODIES if a != b])
def test_another_compressed_container_is_named(asked: str, came: str) -> None:
    found = decoded_fault(asked, BODIES[came])
    assert (found.fault, str(found)) == ("format", f"asked for {asked}, but the body is {came}")


def test_another_codec_in_the_container_is_named() -> None:
    buffer = io.BytesIO()
    soundfile.write(buffer, SPEECH, RATE, format="OGG", subtype="VORBIS")
    found = decoded_fault("opus", buffer.getvalue())
    assert (found.fault, str(found)) == ("format", "asked for opus, but the body is ogg")


@pytest.mark.parametrize("container", BODIES)
def test_a_text_in_place_of_a_compressed_body_is_told_with_its_beginning(container: str) -> None:
    found = decoded_fault(container, b'{"error": "no model"}')
    assert found.fault == "not-audio"
    assert str(found).startswith("the body is not audio but ")
    assert "no model" in str(found)


@pytest.mark.parametrize("container", BODIES)
@pytest.mark.parametrize(("rate", "channels"), [(48_000, 1), (RATE, 2)])
def test_another_rate_or_number_of_channels_is_a_fault(container: str, rate: int, channels: int) -> None:
    sound = tone(("A tone.",), first=0, frames=rate, sample_rate=rate)
    found = decoded_fault(container, compress(sound, container=container, sample_rate=rate, channels=channels))
    plural = "s" if channels == 2 else ""
    assert found.fault == "format"
    assert f"the {container} body says {rate} Hz, {channels} channel{plural}, expected were 24000 Hz" in str(found)


def test_a_body_that_libsndfile_cannot_decode_is_told_in_its_words() -> None:
    with pytest.raises(soundfile.LibsndfileError) as caught:
        soundfile.read(io.BytesIO(b"fLaC" + b"\xee" * 100))
    words = caught.value.error_string
    assert words.endswith(".")
    found = decoded_fault("flac", b"fLaC" + b"\xee" * 100)
    assert found.fault == "not-audio"
    said = (
        f"the body is no flac that libsndfile {soundfile.__libsndfile_version__} can decode ({words[:-1]}); it begins"
    )
    assert str(found).startswith(f"{said} with bytes 66 4c 61 43 ee")


def test_a_body_whose_first_bytes_are_text_is_one_whatever_follows() -> None:
    found = decoded_fault("opus", b"<" + b"x" * 4_095 + b"\0")
    assert str(found).startswith("the body is not audio but ")
    assert "libsndfile" in str(decoded_fault("opus", b"<" + b"x" * 4_094 + b"\0"))


def test_a_tag_before_a_flac_stream_makes_no_mp3_of_it() -> None:
    decoder = CompressedDecoder("flac", sample_rate=RATE)
    decoder.feed(b"ID3\x04\0\0\0\0\0\x14" + bytes(20) + BODIES["flac"])
    assert len(decoder.finish()) == len(SPEECH)


def test_an_end_is_in_order_unless_it_is_said_not_to_be() -> None:
    fields = int.from_bytes(BODIES["flac"][18:26], "big") + 1
    counts_more = BODIES["flac"][:18] + fields.to_bytes(8, "big") + BODIES["flac"][26:]
    assert FlacCounter().completed(counts_more) == BODIES["flac"]
    decoder = CompressedDecoder("flac", sample_rate=RATE)
    decoder.feed(counts_more)
    assert len(decoder.finish()) == len(SPEECH)
    with pytest.raises(EndpointFault, match="nothing but the closed connection"):
        decoder.finish(in_order=False)


@pytest.mark.parametrize("frames", [18_000, 17_999])
def test_a_quarter_of_a_second_may_be_the_encoders(frames: int) -> None:
    class Short(CompressedDecoder):
        def _read(self, body: bytes) -> np.ndarray:
            del body
            return np.zeros(frames, dtype=np.float32)

    decoder = Short("opus", sample_rate=RATE)
    decoder.feed(head() + TAGS + page(SECOND + PRE_SKIP))
    if frames == 18_000:
        assert len(decoder.finish()) == frames
        return
    with pytest.raises(EndpointFault, match=r"of 1\.00 s of opus that came, the last 0\.25 s cannot be decoded"):
        decoder.finish()


def test_nothing_is_heard_before_the_end_and_flac_counts_nothing() -> None:
    for container, body in BODIES.items():
        decoder = CompressedDecoder(container, sample_rate=RATE)
        fed = decoder.feed(body)
        assert (fed.dtype, fed.shape) == (np.float32, (0,))
        assert (decoder.playable == 0) == (container == "flac")
        audio = decoder.finish()
        assert (audio.dtype, audio.ndim) == (np.float32, 1)


@pytest.mark.parametrize(("missing_s", "told"), [(0.2, False), (0.3, True)])
def test_audio_that_came_and_cannot_be_decoded_is_a_fault(missing_s: float, told: bool) -> None:  # noqa: FBT001
    class Short(CompressedDecoder):
        def _read(self, body: bytes) -> np.ndarray:
            seconds = self._counter.seconds - missing_s
            return super()._read(body)[: round(seconds * RATE)]

    decoder = Short("mp3", sample_rate=RATE)
    decoder.feed(BODIES["mp3"])
    if not told:
        decoder.finish()
        return
    with pytest.raises(EndpointFault, match=r"of 1\.\d\d s of mp3 that came, the last 0\.30 s cannot be decoded"):
        decoder.finish()
