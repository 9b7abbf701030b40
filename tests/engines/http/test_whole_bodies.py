"""Every byte of a body is audio, metadata of a known kind, or a fault: nothing is dropped in silence.

Sizes in a header are only believed as far as the body bears them out.
"""

import io
import itertools
import struct

import numpy as np
import pytest
import soundfile
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from harness.engines.http.decoders import BODY_LIMIT, PcmDecoder, WavDecoder, make_decoder
from harness.engines.http.errors import EndpointFault
from harness.engines.http.formats import Decoder
from harness.engines.http.mp3 import mp3_frame
from harness.server.mock.sound import compress, tone, wav_header

RATE = 24_000
SPEECH = tone(("A tone.",), first=0, frames=2 * RATE, sample_rate=RATE)
SAMPLES = np.arange(-16_000, 16_000, 7, dtype="<i2")
PCM = SAMPLES.tobytes()
DECODED = SAMPLES.astype(np.float32) / np.float32(32768)
BODIES = {name: compress(SPEECH, container=name, sample_rate=RATE, channels=1) for name in ("mp3", "opus", "flac")}
COMPRESSED = tuple(BODIES)


def wav(size: int, pcm: bytes = PCM) -> bytes:
    """A WAV whose header says `size` bytes of audio, and whose audio is `pcm`."""
    header = wav_header(sample_rate=RATE, channels=1, data_bytes=0)
    return header[:-4] + struct.pack("<I", size) + pcm


def cut(body: bytes, places: list[int]) -> list[bytes]:
    edges = [0, *sorted(place % (len(body) + 1) for place in places), len(body)]
    return [body[a:b] for a, b in itertools.pairwise(edges)]


def heard(decoder: Decoder, pieces: list[bytes], *, in_order: bool = True) -> NDArray[np.float32]:
    return np.concatenate([*(decoder.feed(piece) for piece in pieces), decoder.finish(in_order=in_order)])


def fault_of(decoder: Decoder, pieces: list[bytes], *, in_order: bool = True) -> EndpointFault:
    with pytest.raises(EndpointFault) as caught:
        heard(decoder, pieces, in_order=in_order)
    return caught.value


PLACEHOLDERS = (2_000_000_000, 0x7FFFFFFF - 36, 0xFFFFFFFF - 36, 0x80000000, 0xFFFFFF00, 0x7FFFFFFF, 0xFFFFFFFF, 0)
CUTS = st.lists(st.integers(min_value=0), max_size=6)


@pytest.mark.parametrize("size", PLACEHOLDERS)
@pytest.mark.parametrize("in_order", [True, False])
def test_a_size_that_no_body_can_have_is_a_placeholder_however_the_body_ends(size: int, in_order: bool) -> None:  # noqa: FBT001
    np.testing.assert_array_equal(heard(WavDecoder(RATE), [wav(size)], in_order=in_order), DECODED)


@given(size=st.integers(min_value=len(PCM), max_value=0xFFFFFFFF), places=CUTS)
def test_every_size_beyond_a_body_that_ended_in_order_is_a_placeholder(size: int, places: list[int]) -> None:
    np.testing.assert_array_equal(heard(WavDecoder(RATE), cut(wav(size), places)), DECODED)


@given(size=st.integers(min_value=len(PCM) + 1, max_value=0xFFFFFFFF), places=CUTS)
def test_a_body_that_only_the_connection_ends_is_cut_short_where_its_size_may_be_true(
    size: int, places: list[int]
) -> None:
    decoder = WavDecoder(RATE)
    if size > BODY_LIMIT:
        np.testing.assert_array_equal(heard(decoder, cut(wav(size), places), in_order=False), DECODED)
        return
    found = fault_of(decoder, cut(wav(size), places), in_order=False)
    assert found.fault == "truncated"
    assert f"counts {size:,} bytes of audio, {len(PCM) - len(PCM) % 2:,} came" in str(found)


@given(size=st.integers(min_value=1, max_value=len(PCM) - 1), places=CUTS)
def test_a_size_short_of_the_audio_is_a_fault_and_never_a_shorter_audio(size: int, places: list[int]) -> None:
    # The audio begins at its lowest value, so that no four of its bytes look like the name of a chunk.
    found = fault_of(WavDecoder(RATE), cut(wav(size), places))
    assert found.fault == "format"
    assert f"counts {size:,} bytes of audio" in str(found)


@given(st.binary(max_size=40), st.sampled_from([b"LIST", b"id3 ", b"cue "]), CUTS)
def test_whole_chunks_behind_the_audio_are_metadata(payload: bytes, name: bytes, places: list[int]) -> None:
    chunk = name + struct.pack("<I", len(payload)) + payload
    padded = chunk + b"\0" * (len(payload) % 2)
    for behind in (chunk, padded, padded + padded):
        np.testing.assert_array_equal(heard(WavDecoder(RATE), cut(wav(len(PCM)) + behind, places)), DECODED)


@pytest.mark.parametrize(
    "behind",
    [b"\0\0", b"more", b"LIST\xff\0\0\0only a part", b"data\x02\0\0\0ab"],
    ids=["zeros", "too-short", "a-chunk-cut-short", "a-second-data-chunk"],
)
def test_what_is_no_whole_chunk_behind_the_audio_is_a_fault(behind: bytes) -> None:
    found = fault_of(WavDecoder(RATE), [wav(len(PCM)) + behind])
    assert found.fault == "format"
    assert "more follow that are no whole chunk" in str(found)


@given(places=CUTS, sizes=st.sampled_from([len(PCM), 0xFFFFFFFF, 0, 2_000_000_000]), count=st.integers(2, 4))
def test_a_stream_of_wav_files_is_a_fault_that_names_the_second_header(
    places: list[int], sizes: int, count: int
) -> None:
    found = fault_of(WavDecoder(RATE), cut(wav(sizes) * count, places))
    assert found.fault == "format"
    assert f"a second WAV header stands at byte {44 + len(PCM):,}, after {len(SAMPLES) / RATE:.2f} s" in str(found)


@pytest.mark.parametrize("error", [b'{"error": "synthesis failed"}', b'{"error": {"message": "out of memory"}}'])
@pytest.mark.parametrize("odd", [b"", b"\0"], ids=["even", "odd"])
def test_an_error_that_is_sent_behind_the_audio_is_a_fault_and_no_noise(error: bytes, odd: bytes) -> None:
    for decoder, body in ((PcmDecoder(), PCM), (WavDecoder(RATE), wav(0xFFFFFFFF)), (WavDecoder(RATE), wav(0))):
        found = fault_of(decoder, cut(body + odd + error, [len(body) + 5, 7]))
        assert found.fault == "not-audio"
        assert str(found).endswith(repr(error.decode()))


@given(places=CUTS, before=st.integers(1, 2_001))
def test_a_wav_header_in_the_midst_of_pcm_is_a_fault(places: list[int], before: int) -> None:
    found = fault_of(PcmDecoder(), cut(PCM[:before] + wav(0), places))
    assert found.fault == "format"
    assert f"a WAV header stands at byte {before:,}" in str(found)


@pytest.mark.parametrize("container", COMPRESSED)
def test_a_stream_of_compressed_files_is_a_fault_that_names_the_second_header(container: str) -> None:
    body = BODIES[container]
    for places in ([], [len(body)], [100, len(body) + 3]):
        found = fault_of(make_decoder(container, sample_rate=RATE), cut(body + body, places))
        assert found.fault == "format"
        assert f"header stands at byte {len(body):,}" in str(found)


@pytest.mark.parametrize("container", COMPRESSED)
@pytest.mark.parametrize("behind", [b'{"error": "synthesis failed"}', b"\xff" * 7], ids=["an-error", "a-few-bytes"])
def test_what_follows_compressed_audio_is_a_fault(container: str, behind: bytes) -> None:
    found = fault_of(make_decoder(container, sample_rate=RATE), [BODIES[container] + behind])
    assert found.fault == ("truncated" if container == "flac" else "format")


@pytest.mark.parametrize("container", COMPRESSED)
@pytest.mark.parametrize("missing", [1, 40, 700])
def test_compressed_audio_that_ends_within_a_frame_is_cut_short(container: str, missing: int) -> None:
    found = fault_of(make_decoder(container, sample_rate=RATE), [BODIES[container][:-missing]])
    assert found.fault == "truncated"


@pytest.mark.parametrize("container", COMPRESSED)
def test_nul_bytes_behind_compressed_audio_are_padding(container: str) -> None:
    audio = heard(make_decoder(container, sample_rate=RATE), [BODIES[container] + b"\0" * 300])
    assert len(audio) == len(SPEECH)


@pytest.mark.parametrize("asked", ["pcm", "wav", *COMPRESSED])
def test_another_container_than_asked_for_is_a_fault_and_no_noise(asked: str) -> None:
    for name, body in {**BODIES, "wav": wav(0)}.items():
        if name != asked:
            assert fault_of(make_decoder(asked, sample_rate=RATE), [body]).fault in ("format", "not-audio")


def without_table(body: bytes = BODIES["mp3"]) -> bytes:
    """The mp3 as an encoder that streams writes it: without the frame that holds the table."""
    length, _ = mp3_frame(body[:4])
    assert b"Xing" in body[:length] or b"Info" in body[:length]
    return body[length:]


def test_a_streamed_mp3_without_a_table_is_decoded_to_its_last_frame() -> None:
    # The first frames of a tone are short, so that libsndfile guesses a fifth of what is there.
    guessed, _ = soundfile.read(io.BytesIO(without_table()))
    audio = heard(make_decoder("mp3", sample_rate=RATE), cut(without_table(), [50, 500]))
    assert len(guessed) < 0.5 * len(SPEECH) < len(SPEECH) <= len(audio) <= len(SPEECH) + 3 * 576
    # Twice the frames, twice the audio: pieces without headers of their own are one stream.
    twice = heard(make_decoder("mp3", sample_rate=RATE), [without_table() * 2])
    assert len(twice) == pytest.approx(2 * len(audio), abs=2 * 576)


@given(count=st.integers(min_value=0, max_value=0xFFFFFFFF))
def test_the_number_of_frames_in_an_mp3s_table_may_be_a_placeholder(count: int) -> None:
    body = BODIES["mp3"]
    at = body.index(b"Xing") + 8
    audio = heard(make_decoder("mp3", sample_rate=RATE), [body[:at] + struct.pack(">I", count) + body[at + 4 :]])
    assert len(audio) == len(SPEECH)


def test_an_mp3_with_tags_before_and_behind_is_whole() -> None:
    id3 = b"ID3\x04\0\0\0\0\0\x14" + b"\0" * 20
    ape = b"APETAGEX" + struct.pack("<IIII", 2000, 32, 0, 0) + b"\0" * 8
    body = id3 + BODIES["mp3"] + ape + b"TAG" + b" " * 125
    assert len(heard(make_decoder("mp3", sample_rate=RATE), [body])) == len(SPEECH)
    plain = id3 + without_table()
    assert len(heard(make_decoder("mp3", sample_rate=RATE), [plain])) >= len(SPEECH)


def test_an_mp3_that_only_the_connection_ends_is_cut_short_where_its_table_counts_more() -> None:
    body, ends = BODIES["mp3"], [0]
    while ends[-1] < len(body):
        ends.append(ends[-1] + mp3_frame(body[ends[-1] : ends[-1] + 4])[0])
    shorter = body[: ends[-10]]
    found = fault_of(make_decoder("mp3", sample_rate=RATE), [shorter], in_order=False)
    assert found.fault == "truncated"
    assert f"counts {len(ends) - 2} frames, {len(ends) - 11} came" in str(found)
    # Where the end is proven, the number is not believed.
    assert len(heard(make_decoder("mp3", sample_rate=RATE), [shorter])) < len(SPEECH)


def flac_counting(samples: int) -> bytes:
    body = BODIES["flac"]
    fields = int.from_bytes(body[18:26], "big") >> 36 << 36 | samples
    return body[:18] + fields.to_bytes(8, "big") + body[26:]


@given(samples=st.integers(min_value=0, max_value=(1 << 36) - 1))
def test_the_number_of_samples_in_a_flac_header_may_be_a_placeholder(samples: int) -> None:
    body = flac_counting(samples)
    audio = heard(make_decoder("flac", sample_rate=RATE), [body])
    assert len(audio) == len(SPEECH)
    if samples > len(SPEECH):
        found = fault_of(make_decoder("flac", sample_rate=RATE), [body], in_order=False)
        assert f"counts {samples:,} samples, {len(SPEECH):,} came" in str(found)
