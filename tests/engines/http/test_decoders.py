import io
import itertools

import numpy as np
import pytest
import soundfile
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from harness.engines.http.compressed_decoders import CompressedDecoder, OpusCounter
from harness.engines.http.decoders import PcmDecoder, WavDecoder, make_decoder
from harness.engines.http.errors import EndpointFault
from harness.engines.http.formats import Decoder, is_text
from harness.engines.http.mp3 import Mp3Counter, mp3_frame
from harness.server.mock.sound import compress, tone, wav_header

RATE = 24_000
SAMPLES = np.arange(-16_000, 16_000, 7, dtype="<i2")
PCM = SAMPLES.tobytes()
DECODED = SAMPLES.astype(np.float32) / np.float32(32768)


def fed(decoder: Decoder, pieces: list[bytes], *, in_order: bool = True) -> NDArray[np.float32]:
    return np.concatenate([*(decoder.feed(piece) for piece in pieces), decoder.finish(in_order=in_order)])


def cut(body: bytes, places: list[int]) -> list[bytes]:
    edges = [0, *sorted(place % (len(body) + 1) for place in places), len(body)]
    return [body[a:b] for a, b in itertools.pairwise(edges)]


@given(st.lists(st.integers(min_value=0), max_size=12))
def test_pcm_is_the_same_however_it_is_cut(places: list[int]) -> None:
    decoder = PcmDecoder()
    np.testing.assert_array_equal(fed(decoder, cut(PCM, places)), DECODED)
    assert decoder.playable == len(SAMPLES)


@given(st.lists(st.integers(min_value=0), max_size=12), st.booleans())
def test_wav_is_the_same_however_it_is_cut_and_whether_its_size_is_known(places: list[int], sized: bool) -> None:  # noqa: FBT001
    body = wav_header(sample_rate=RATE, channels=1, data_bytes=len(PCM) if sized else None) + PCM
    np.testing.assert_array_equal(fed(WavDecoder(RATE), cut(body, places)), DECODED)


def test_other_chunks_of_a_wav_are_no_audio() -> None:
    header = wav_header(sample_rate=RATE, channels=1, data_bytes=len(PCM))
    extra = b"LIST\x05\0\0\0INFO!\0"
    body = header[:36] + extra + header[36:] + PCM + extra
    np.testing.assert_array_equal(fed(WavDecoder(RATE), cut(body, [len(body) - 7, 50])), DECODED)


def test_a_header_alone_is_no_audio_yet() -> None:
    decoder = WavDecoder(RATE)
    assert len(decoder.feed(wav_header(sample_rate=RATE, channels=1, data_bytes=None))) == 0
    assert decoder.playable == 0
    assert len(decoder.feed(b"\x01\x02\x03")) == 1


@pytest.mark.parametrize(
    ("asked", "body", "fault", "said"),
    [
        pytest.param("pcm", b"\0\0\0", "truncated", "in the middle of a frame, after 1 frames", id="odd-byte"),
        pytest.param("pcm", b'{"error": "no"}', "not-audio", "not audio but text", id="json"),
        pytest.param(
            "pcm", wav_header(sample_rate=RATE, channels=1, data_bytes=None), "format", "is a WAV", id="wav-as-pcm"
        ),
        pytest.param("wav", b"<html></html>", "not-audio", "'<html></html>'", id="html"),
        pytest.param("wav", PCM, "not-audio", "begins with bytes 80 c1", id="pcm-as-wav"),
        pytest.param("wav", b"RIFF", "truncated", "within its header, after 4 bytes", id="short-header"),
        pytest.param(
            "wav",
            wav_header(sample_rate=22_050, channels=2, data_bytes=None),
            "format",
            "22050 Hz, 2 channels, expected were 24000 Hz, 1 channel",
            id="other-format",
        ),
        pytest.param("mp3", b"\0" * 999, "not-audio", "no mp3", id="no-mp3"),
        pytest.param("mp3", b"", "not-audio", "nothing", id="empty-mp3"),
    ],
)
def test_what_is_not_the_audio_that_was_asked_for_is_a_fault(asked: str, body: bytes, fault: str, said: str) -> None:
    with pytest.raises(EndpointFault) as caught:
        fed(make_decoder(asked, sample_rate=RATE), [body])
    assert caught.value.fault == fault
    assert said in str(caught.value)


def test_the_wav_of_8_bits_is_refused_with_its_form() -> None:
    buffer = io.BytesIO()
    soundfile.write(buffer, DECODED, RATE, format="WAV", subtype="PCM_U8")
    with pytest.raises(EndpointFault, match="form 1 of 8 bits, not 16-bit PCM"):
        WavDecoder(RATE).feed(buffer.getvalue())


SPEECH = tone(("A tone.",), first=0, frames=2 * RATE, sample_rate=RATE)


@pytest.mark.parametrize("container", ["mp3", "opus", "flac"])
def test_a_compressed_body_is_decoded_whole_to_what_libsndfile_makes_of_it(container: str) -> None:
    body = compress(SPEECH, container=container, sample_rate=RATE, channels=1)
    decoder = CompressedDecoder(container, sample_rate=RATE)
    audio = fed(decoder, cut(body, [100, 1_000, 5_000]))
    expected, _ = soundfile.read(io.BytesIO(body), dtype="float32")
    np.testing.assert_array_equal(audio, expected)
    assert abs(len(audio) - len(SPEECH)) <= 0.05 * RATE


@pytest.mark.parametrize("container", ["mp3", "opus"])
def test_what_can_be_heard_grows_with_the_body_and_ends_at_its_length(container: str) -> None:
    body = compress(SPEECH, container=container, sample_rate=RATE, channels=1)
    decoder = CompressedDecoder(container, sample_rate=RATE)
    heard = []
    for at in range(0, len(body), 200):
        decoder.feed(body[at : at + 200])
        heard.append(decoder.playable)
    assert heard == sorted(heard)
    # The encoder's delay and padding are counted by the frames' headers: at most three frames of 576.
    assert len(SPEECH) <= heard[-1] <= len(SPEECH) + 3 * 576
    assert heard[len(heard) // 2] == pytest.approx(len(SPEECH) / 2, rel=0.35)


def test_an_mp3_header_says_the_length_of_its_frame() -> None:
    # MPEG-1 Layer III, 128 kbit/s, 44.1 kHz, no padding: 144 · 128,000 / 44,100 = 417 bytes, 1,152 samples.
    assert mp3_frame(bytes.fromhex("fffb9000")) == (417, 1152 / 44_100)
    # MPEG-2 Layer III, 64 kbit/s, 24 kHz: 72 · 64,000 / 24,000 = 192 bytes, 576 samples.
    assert mp3_frame(bytes.fromhex("fff38400")) == (192, 576 / 24_000)
    assert mp3_frame(b"RIFF") == (0, 0.0)


def test_an_id3_tag_is_no_audio() -> None:
    counter = Mp3Counter()
    counter.feed(b"ID3\x04\0\0\0\0\x01\0" + b"\xff" * 128)
    assert counter.seconds == 0.0
    counter.feed(bytes.fromhex("fff38400") + b"\0" * 188)
    assert counter.seconds == 576 / 24_000


def test_a_page_of_opus_counts_when_it_is_whole() -> None:
    body = compress(SPEECH, container="opus", sample_rate=RATE, channels=1)
    counter = OpusCounter()
    counter.feed(body[:-1])
    short = counter.seconds
    counter.feed(body[-1:])
    assert short < counter.seconds == pytest.approx(2.0, abs=0.03)


@pytest.mark.parametrize(
    ("head", "text"),
    [(b'  {"a": 1}', True), (b"<!doctype html>", True), (b"[1]", True), (b"{\x00\x01", False), (b"", False),
     (PCM, False), ("{“é".encode()[:-1], True)],
)  # fmt: skip
def test_text_is_told_from_audio(head: bytes, text: bool) -> None:  # noqa: FBT001
    assert is_text(head) is text
