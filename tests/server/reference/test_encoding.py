"""Bytes of bodies."""

import numpy as np
import pytest

from harness.engines.http.decoders import make_decoder
from harness.server.reference.encoding import CompressedEncoder, make_encoder, to_pcm

SOUND = (0.3 * np.sin(2 * np.pi * 440 / 24_000 * np.arange(72_000))).astype(np.float32)


def test_what_is_beyond_full_scale_is_clipped_and_does_not_wrap() -> None:
    assert np.frombuffer(to_pcm(np.array([-2, -1, 0, 1, 2], dtype=np.float32)), "<i2").tolist() == [
        -32767, -32767, 0, 32767, 32767
    ]  # fmt: skip


@pytest.mark.parametrize("container", ["pcm", "wav", "mp3", "opus", "flac"])
def test_pieces_give_the_same_bytes_as_the_whole(container: str) -> None:
    whole, pieces = make_encoder(container, stream=False), make_encoder(container, stream=False)
    at_once = whole.feed(SOUND) + whole.finish()
    in_parts = b"".join(pieces.feed(part) for part in np.split(SOUND, [1_000, 30_000])) + pieces.finish()
    if container == "opus":  # each stream has a serial number of its own
        assert len(at_once) == len(in_parts)
    else:
        assert at_once == in_parts


@pytest.mark.parametrize("container", ["pcm", "wav", "mp3", "opus"])
def test_the_harness_decodes_a_stream_of_it(container: str) -> None:
    encoder = make_encoder(container, stream=True)
    decoder = make_decoder(container, sample_rate=24_000)
    sent = [encoder.feed(part) for part in np.split(SOUND, [30_000])] + [encoder.finish()]
    audio = np.concatenate([*(decoder.feed(part) for part in sent), decoder.finish()])
    assert 0 <= len(audio) - len(SOUND) <= (3_000 if container == "mp3" else 0)
    assert sent[0]


def test_a_compressed_stream_keeps_nothing_that_was_sent() -> None:
    encoder = CompressedEncoder("flac", stream=True)
    for _ in range(5):
        encoder.feed(SOUND)
    assert encoder._tape._kept == b""
    encoder.finish()
