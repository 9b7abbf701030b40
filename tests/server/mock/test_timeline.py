import gzip
import io
from itertools import islice

import numpy as np
import pytest
import soundfile

from harness.server.mock.builtin import SCRIPTS
from harness.server.mock.script import Answer, End, Freeze, Step
from harness.server.mock.sound import pitch, tone, wav_header
from harness.server.mock.timeline import ReceivedRequest, Sent, frozen, timeline

TEXT = "Twenty letters long."
PCM = ReceivedRequest(texts=(TEXT,), container="pcm", stream=True)
WAV = ReceivedRequest(texts=(TEXT,), container="wav", stream=True)


def sent(answer: Answer, asked: ReceivedRequest = PCM) -> list[Sent]:
    return list(timeline(answer, asked))


def steps(*steps: Step, **fields: object) -> Answer:
    return Answer(steps=steps, **fields)  # type: ignore[arg-type]


def test_waits_add_up_and_audio_is_as_long_as_it_says() -> None:
    answer = steps(Step(wait_ms=20), Step(audio_ms=100), Step(wait_share=0.5), Step(audio_share=0.25), Step(wait_ms=5))
    # 20 characters at 0.07 s are 1.4 s.
    assert [(round(each.at_ms, 9), each.frames, len(each.body)) for each in sent(answer)] == [
        (20, 2_400, 4_800),
        (720, 8_400, 16_800),
        (725, 0, 0),
    ]


def test_speed_shortens_what_is_a_share_of_the_text() -> None:
    fast = ReceivedRequest(texts=(TEXT,), container="pcm", stream=True, speed=2.0)
    assert sent(steps(Step(audio_share=1.0)), fast)[0].frames == 16_800


def test_pieces_join_without_a_seam() -> None:
    answer = steps(Step(audio_ms=100), Step(wait_ms=1), Step(audio_ms=100))
    joined = np.frombuffer(b"".join(each.body for each in sent(answer)), dtype="<i2")
    whole = np.round(tone((TEXT,), first=0, frames=4_800, sample_rate=24_000) * 32_767).astype("<i2")
    np.testing.assert_array_equal(joined, whole)


def test_a_wav_header_comes_when_it_is_told_else_with_the_first_audio() -> None:
    header = wav_header(sample_rate=24_000, channels=1, data_bytes=None)
    told = sent(steps(Step(header=True), Step(wait_ms=9), Step(audio_ms=1)), WAV)
    assert (told[0].body, told[0].frames, told[0].at_ms) == (header, 0, 0)
    assert not told[1].body.startswith(b"RIFF")
    assert sent(steps(Step(audio_ms=1)), WAV)[0].body.startswith(header)
    assert sent(steps(Step(header=True), Step(audio_ms=1)), PCM)[0].body == b""


def test_without_streaming_all_of_it_is_sent_at_the_end_and_the_header_knows_its_size() -> None:
    whole = sent(
        steps(Step(audio_ms=10), Step(wait_ms=50), Step(audio_ms=10)),
        ReceivedRequest(texts=(TEXT,), container="wav", stream=False),
    )
    assert [(each.at_ms, each.frames) for each in whole] == [(50, 480)]
    assert whole[0].body.startswith(wav_header(sample_rate=24_000, channels=1, data_bytes=960))
    assert len(whole[0].body) == 44 + 960


def test_what_never_ends_is_streamed_whether_it_was_asked_for_or_not() -> None:
    asked = ReceivedRequest(texts=(TEXT,), container="pcm", stream=False)
    first = list(islice(timeline(SCRIPTS["endless"].answer(0), asked), 3))
    assert [each.at_ms for each in first] == [0, 50, 100]


def test_a_proxy_holds_back_until_its_buffer_is_full() -> None:
    answer = steps(*[Step(wait_ms=10), Step(audio_ms=10)] * 5, coalesce=1_000)
    assert [(each.at_ms, len(each.body)) for each in sent(answer)] == [(30, 1_440), (50, 960)]


def test_an_end_ends_it() -> None:
    answer = steps(Step(audio_ms=1), Step(wait_ms=7), Step(end=End.RESET), Step(audio_ms=1))
    assert [(each.at_ms, each.frames, each.end) for each in sent(answer)] == [(0, 24, None), (7, 0, End.RESET)]


def test_compression_is_one_stream_and_loses_no_frame() -> None:
    answer = steps(Step(audio_ms=100), Step(wait_ms=5), Step(audio_ms=100), gzip=True)
    pieces = sent(answer)
    plain = b"".join(each.body for each in sent(steps(Step(audio_ms=100), Step(wait_ms=5), Step(audio_ms=100))))
    assert gzip.decompress(b"".join(each.body for each in pieces)) == plain
    assert sum(each.frames for each in pieces) == 4_800


@pytest.mark.parametrize("container", ["mp3", "opus", "flac"])
def test_compressed_audio_is_cut_where_the_script_cuts(container: str) -> None:
    answer = steps(Step(audio_ms=300), Step(wait_ms=5), Step(audio_ms=700))
    pieces = sent(answer, ReceivedRequest(texts=(TEXT,), container=container, stream=True))
    assert [(each.at_ms, each.frames) for each in pieces] == [(0, 7_200), (5, 16_800), (5, 0)]
    body = b"".join(each.body for each in pieces)
    assert abs(len(pieces[0].body) - 0.3 * len(body)) <= 1
    audio, rate = soundfile.read(io.BytesIO(body))
    assert rate == 24_000
    assert len(audio) == pytest.approx(24_000, abs=1_200)


@pytest.mark.parametrize(
    ("arrived_ms", "at_ms", "happens_ms"),
    [
        pytest.param(0, 50, 50, id="over-before"),
        pytest.param(0, 100, 1_100, id="due-at-the-standstill"),
        pytest.param(50, 500, 1_500, id="under-way"),
        pytest.param(100, 10, 1_010, id="asked-at-its-beginning"),
        pytest.param(600, 10, 510, id="asked-in-its-middle"),
        pytest.param(1_100, 10, 10, id="asked-at-its-end"),
    ],
)
def test_a_standstill_moves_all_that_was_under_way(arrived_ms: float, at_ms: float, happens_ms: float) -> None:
    freeze = Freeze(at_ms=100, for_ms=1_000)
    assert frozen(at_ms, arrived_ms=arrived_ms, freeze=freeze) == happens_ms
    assert frozen(at_ms, arrived_ms=arrived_ms, freeze=None) == at_ms


@pytest.mark.parametrize("sample_rate", [24_000, 22_050, 11_025])
def test_each_text_has_a_tone_of_its_own_which_goes_on_from_piece_to_piece(sample_rate: int) -> None:
    at = np.arange(3_000, 9_000) / sample_rate
    expected = 0.2 * np.sin(2 * np.pi * pitch(TEXT) * at)
    found = tone((TEXT,), first=3_000, frames=6_000, sample_rate=sample_rate)
    np.testing.assert_allclose(found, expected, atol=1e-6)
    mixed = tone((TEXT, "Another text."), first=3_000, frames=6_000, sample_rate=sample_rate)
    other = 0.2 * np.sin(2 * np.pi * pitch("Another text.") * at)
    np.testing.assert_allclose(mixed, (expected + other) / 2, atol=1e-6)
    assert not tone((), first=0, frames=10, sample_rate=sample_rate).any()
