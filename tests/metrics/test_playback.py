from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.core.records.repetition import ChunkMark
from harness.metrics import playback

RATE = 1000
NS_PER_MS = 1_000_000

Pieces = list[tuple[int, int]]
pieces = st.lists(st.tuples(st.integers(0, 400), st.integers(0, 300)), min_size=1, max_size=12)
"""(ms since the chunk before, frames of 1 ms)."""


def arriving(given_pieces: Pieces, *, scale: int = 1) -> tuple[ChunkMark, ...]:
    at, chunks = 0, []
    for after, frames in given_pieces:
        at += after
        chunks.append(ChunkMark(at_ns=at * NS_PER_MS // scale, frames=frames))
    return tuple(chunks)


class Heard:
    """A sound card: at each tick of the sample clock it plays one sample, or nothing where none is there."""

    def __init__(self, chunks: tuple[ChunkMark, ...], *, tick_ns: int, delay_ticks: int = 0) -> None:
        self.ticks: list[int] = []
        self.silent_ticks = self.stops = 0
        total = sum(chunk.frames for chunk in chunks)
        first = next((chunk.at_ns for chunk in chunks if chunk.frames), None)
        now, playing = 0, True
        while len(self.ticks) < total:
            arrived = sum(chunk.frames for chunk in chunks if chunk.at_ns <= now * tick_ns)
            started = first is not None and now * tick_ns >= first + delay_ticks * tick_ns
            if started and arrived > len(self.ticks):
                self.ticks.append(now)
                playing = True
            elif started:
                self.silent_ticks += 1
                self.stops += playing
                playing = False
            now += 1


@given(pieces)
def test_playback_equals_a_sound_card_sample_by_sample(given_pieces: Pieces) -> None:
    chunks = arriving(given_pieces)
    heard = Heard(chunks, tick_ns=NS_PER_MS)
    played = playback.play(chunks, RATE)
    assert played.stalls.seconds == pytest.approx(heard.silent_ticks / RATE, abs=1e-12)
    assert played.stalls.count == heard.stops
    sounding = [played.played_at(frame) for frame in range(len(heard.ticks))]
    assert sounding == pytest.approx([tick / RATE for tick in heard.ticks], abs=1e-12)
    assert played.played_at(len(heard.ticks)) is None


@given(pieces)
def test_at_another_rate_too(given_pieces: Pieces) -> None:
    chunks = arriving(given_pieces, scale=8)
    heard = Heard(chunks, tick_ns=NS_PER_MS // 8)
    played = playback.play(chunks, 8 * RATE)
    assert played.stalls.seconds == pytest.approx(heard.silent_ticks / 8000)
    assert played.stalls.count == heard.stops


@given(pieces, st.integers(0, 500), st.integers(0, 500))
def test_stalls_never_grow_with_a_longer_prebuffer(given_pieces: Pieces, one: int, other: int) -> None:
    chunks = arriving(given_pieces)
    shorter, longer = (playback.play(chunks, RATE, delay_s=ms / RATE).stalls for ms in sorted((one, other)))
    assert longer.seconds <= shorter.seconds
    assert longer.count <= shorter.count
    assert longer.seconds == pytest.approx(
        Heard(chunks, tick_ns=NS_PER_MS, delay_ticks=max(one, other)).silent_ticks / RATE
    )


@given(pieces.filter(lambda each: any(frames for _, frames in each)))
def test_the_prebuffer_removes_all_stalls_and_no_shorter_one_does(given_pieces: Pieces) -> None:
    chunks = arriving(given_pieces)
    needed = playback.prebuffer(chunks, RATE).value
    assert needed is not None
    assert playback.play(chunks, RATE, delay_s=needed).stalls.count == 0
    if needed:
        assert playback.play(chunks, RATE, delay_s=needed - 0.001).stalls.seconds == pytest.approx(0.001)


@given(pieces.filter(lambda each: any(frames for _, frames in each)))
def test_waiting_before_or_between_is_the_same_wait(given_pieces: Pieces) -> None:
    chunks = arriving(given_pieces)
    assert playback.prebuffer(chunks, RATE).value == playback.play(chunks, RATE).stalls.seconds


@given(pieces.filter(lambda each: any(frames for _, frames in each)))
def test_efficiency_is_above_0_and_at_most_1(given_pieces: Pieces) -> None:
    chunks = arriving(given_pieces)
    efficiency = playback.streaming_efficiency(playback.play(chunks, RATE)).value
    assert efficiency is not None
    assert 0 < efficiency <= 1
    assert (efficiency == 1) == (playback.play(chunks, RATE).stalls.count == 0)


def test_one_late_chunk_counts_once(made: Any) -> None:
    # Chunks of 100 ms every 100 ms; the third comes 250 ms late, and so do all that follow.
    chunks = made.marks((100, 100), (200, 100), (550, 100), (650, 100), (750, 100))
    assert playback.play(chunks, RATE).stalls == playback.Stalls(seconds=0.25, count=1)
    assert playback.gaps(chunks) == (0.1, 0.35, 0.1, 0.1)
    assert playback.streaming_efficiency(playback.play(chunks, RATE)).value == pytest.approx(0.5 / 0.75)


def test_a_late_chunk_that_catches_up_counts_once(made: Any) -> None:
    chunks = made.marks((100, 100), (450, 100), (460, 100), (470, 100))
    assert playback.play(chunks, RATE).stalls == playback.Stalls(seconds=0.25, count=1)


def test_bursts_in_time_are_no_stalls(made: Any) -> None:
    chunks = made.marks((100, 400), (100, 400), (850, 400), (860, 400))
    assert playback.play(chunks, RATE).stalls == playback.Stalls(seconds=0.0, count=0)
    assert playback.streaming_efficiency(playback.play(chunks, RATE)).value == 1.0
    assert max(playback.gaps(chunks)) == 0.75


def test_a_chunk_at_the_very_moment_is_in_time(made: Any) -> None:
    assert playback.play(made.marks((0, 100), (100, 100)), RATE).stalls.count == 0
    assert playback.play(made.marks((0, 100), (101, 100)), RATE).stalls == playback.Stalls(seconds=0.001, count=1)


def test_a_wav_header_is_no_audio(made: Any) -> None:
    chunks = made.marks((5, 0), (700, 500), (1300, 500))
    assert playback.ttfc(chunks).value == 0.7
    assert playback.ttfa(playback.play(chunks, RATE), onset_frame=20).value == 0.72
    assert playback.gaps(chunks) == (0.6,)
    assert playback.play(chunks, RATE).stalls == playback.Stalls(seconds=0.1, count=1)
    assert playback.overlap(chunks, total_s=1.4).value == 0.5


def test_a_silent_primer_does_not_make_sound_earlier(made: Any) -> None:
    # 50 ms of silence at once, speech at 800 ms: the first frame of speech is frame 50.
    chunks = made.marks((10, 50), (800, 1000))
    assert playback.ttfc(chunks).value == 0.01
    assert playback.ttfa(playback.play(chunks, RATE), onset_frame=50).value == 0.8


def test_the_onset_waits_for_what_plays_before_it(made: Any) -> None:
    # The second chunk is there at 30 ms, but the first plays until 210 ms.
    chunks = made.marks((10, 200), (30, 500))
    assert playback.ttfa(playback.play(chunks, RATE), onset_frame=300).value == 0.31


def test_no_onset_is_unknown_with_its_reason(made: Any) -> None:
    chunks = made.marks((10, 200))
    played = playback.play(chunks, RATE)
    silent = playback.ttfa(played, onset_frame=None, reason="nothing is louder")
    assert (silent.value, silent.reason) == (None, "nothing is louder")
    assert playback.ttfa(played, onset_frame=200).reason == "the onset lies beyond the audio that arrived"


def test_an_onset_that_is_not_known_needs_no_reason(made: Any) -> None:
    played = playback.play(made.marks((10, 200)), RATE)
    assert playback.ttfa(played, onset_frame=None).reason == "no onset was found"


def test_a_chunk_of_one_frame_is_audio_and_one_of_none_is_not() -> None:
    chunks = (ChunkMark(at_ns=NS_PER_MS, frames=0), ChunkMark(at_ns=2 * NS_PER_MS, frames=1))
    assert playback.audible(chunks) == chunks[1:]


@pytest.mark.parametrize(("rate", "seconds", "stalled"), [(0, 0.0, 0.0), (1, 2.0, 3.0), (2, 1.0, 3.5)])
def test_a_sample_rate_of_zero_gives_no_time_and_the_lowest_rates_do(rate: int, seconds: float, stalled: float) -> None:
    chunks = (ChunkMark(at_ns=0, frames=1), ChunkMark(at_ns=4_000_000_000, frames=1))
    assert playback.audio_seconds(chunks, rate) == seconds
    assert playback.play(chunks, rate).stalls.seconds == stalled


def test_one_chunk_does_not_stream(made: Any) -> None:
    chunks = made.marks((500, 1000))
    assert playback.overlap(chunks, total_s=0.5).reason == playback.NOT_STREAMING
    assert playback.gaps(chunks) == ()
    assert playback.streaming_efficiency(playback.play(chunks, RATE)).value == 1.0


def test_everything_at_the_end_does_not_overlap(made: Any) -> None:
    chunks = made.marks((1000, 500), (1000, 500))
    assert playback.streaming_efficiency(playback.play(chunks, RATE)).value == 1.0
    assert playback.overlap(chunks, total_s=1.0).value == 0.0


def test_delivery_speed_is_audio_over_time(made: Any) -> None:
    assert playback.delivery_speed(made.marks((250, 500), (500, 1500)), RATE, total_s=0.5).value == 4.0


@pytest.mark.parametrize("pairs", [(), ((5, 0),)])
def test_without_audio_everything_is_unknown(made: Any, pairs: Pieces) -> None:
    chunks = made.marks(*pairs)
    readings = [
        playback.ttfc(chunks),
        playback.prebuffer(chunks, RATE),
        playback.streaming_efficiency(playback.play(chunks, RATE)),
        playback.overlap(chunks, total_s=1.0),
        playback.delivery_speed(chunks, RATE, total_s=1.0),
    ]
    assert [(reading.value, reading.reason) for reading in readings] == [(None, "there is no audio")] * 5


def test_no_time_is_no_division(made: Any) -> None:
    chunks = made.marks((0, 10), (0, 10))
    assert playback.overlap(chunks, total_s=0.0).reason == "it took no time"
    assert playback.delivery_speed(chunks, RATE, total_s=0.0).reason == "it took no time"
