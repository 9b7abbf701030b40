import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.metrics.audio.onset import onset_frame

RATE = 24_000


def silence(seconds: float, rate: int = RATE) -> np.ndarray:
    return np.zeros(round(seconds * rate), dtype=np.float32)


def level(seconds: float, amplitude: float, rate: int = RATE) -> np.ndarray:
    """A square wave: its RMS and every magnitude are the amplitude."""
    wave = np.full(round(seconds * rate), amplitude, dtype=np.float32)
    wave[1::2] *= -1
    return wave


@pytest.mark.parametrize("rate", [8_000, 16_000, 22_050, 24_000, 44_100, 48_000])
@pytest.mark.parametrize("before", [0.0, 0.0137, 0.25, 1.2345])
def test_onset_is_the_first_loud_frame_to_the_sample(rate: int, before: float) -> None:
    quiet = silence(before, rate)
    assert onset_frame(np.concatenate([quiet, level(0.2, 0.3, rate)]), rate) == len(quiet)


@pytest.mark.parametrize("amplitude", [0.02, 0.1, 1.0])
def test_onset_does_not_move_with_loudness(amplitude: float) -> None:
    quiet = silence(0.5)
    assert onset_frame(np.concatenate([quiet, level(0.2, amplitude)]), RATE) == len(quiet)


def test_a_tone_begins_where_it_first_exceeds_the_level() -> None:
    tone = np.sin(2 * np.pi * 220 / RATE * np.arange(RATE)).astype(np.float32) * 0.14
    # 0.14 sin(2π 220 n / 24000) is 0.0081 at n = 1 and 0.0161 at n = 2; the level is 0.01.
    assert onset_frame(np.concatenate([silence(0.3), tone]), RATE) == 7200 + 2


@pytest.mark.parametrize("audio", [silence(0), silence(0.005), silence(2.0), level(2.0, 0.0099)])
def test_sound_below_the_threshold_has_no_onset(audio: np.ndarray) -> None:
    assert onset_frame(audio, RATE) is None


def test_steady_sound_counts_from_50_ms_on() -> None:
    assert onset_frame(level(0.050, 0.5), RATE) == 0
    assert onset_frame(level(0.049, 0.5), RATE) is None


def test_the_level_is_exclusive_and_is_minus_40_dbfs() -> None:
    assert onset_frame(level(1.0, 0.0101), RATE) == 0
    assert onset_frame(level(1.0, 0.0099), RATE) is None


def test_a_click_is_no_onset() -> None:
    audio = np.concatenate([silence(0.2), level(0.001, 1.0), silence(0.3), level(0.2, 0.3)])
    assert onset_frame(audio, RATE) == round(0.501 * RATE)


def test_a_pause_within_50_ms_starts_the_count_anew() -> None:
    # The pause is longer than a window, so one window sees nothing but silence.
    audio = np.concatenate([level(0.02, 0.3), silence(0.02), level(0.2, 0.3)])
    assert onset_frame(audio, RATE) == round(0.04 * RATE)


def test_a_dip_shorter_than_a_window_does_not() -> None:
    audio = np.concatenate([level(0.03, 0.3), silence(0.004), level(0.2, 0.3)])
    assert onset_frame(audio, RATE) == 0


def test_burst_of_a_plosive_is_the_onset_if_breath_and_not_silence_follows() -> None:
    burst, voice = level(0.003, 0.1), level(0.2, 0.3)
    assert onset_frame(np.concatenate([silence(0.04), burst, level(0.06, 0.005), voice]), RATE) == round(0.04 * RATE)
    assert onset_frame(np.concatenate([silence(0.04), burst, level(0.06, 0.003), voice]), RATE) == round(0.103 * RATE)


def test_breath_alone_is_no_onset() -> None:
    assert onset_frame(np.concatenate([level(0.3, 0.0099), level(0.2, 0.3)]), RATE) == round(0.3 * RATE)


def test_the_first_frame_above_the_level_is_the_onset_and_one_at_the_level_is_not() -> None:
    at = np.full(40, np.float32(0.01))
    assert onset_frame(np.concatenate([at, level(0.2, 0.3)]), RATE) == 40


def test_windows_lie_one_millisecond_apart() -> None:
    # Barely above -40 dBFS, so a window of -40 dBFS is full of sound, and one of -50 dBFS has a tenth. The sound begins
    # between two windows' starts.
    sound = np.concatenate([silence(0.0005, 8_000), level(0.041, 0.010001, 8_000), silence(0.1, 8_000)])
    assert onset_frame(sound, 8_000) is None
    assert onset_frame(sound[4:], 8_000) == 0


@pytest.mark.parametrize("extra", range(9))
def test_a_last_window_that_does_not_fit_is_not_looked_at(extra: int) -> None:
    assert onset_frame(level(0.05, 0.3, 8_000)[: 400 + extra], 8_000) == 0
    assert onset_frame(level(0.06, 0.3, 8_000)[: 400 + extra], 8_000) == 0


def test_a_faint_sound_is_found_after_minutes_of_clicks() -> None:
    # Sums in single precision would be off by more than the level after so much energy.
    clicks = np.tile(np.concatenate([level(0.02, 0.9), silence(0.02)]), 3000)
    assert onset_frame(np.concatenate([clicks, silence(0.1)]), RATE) is None
    assert onset_frame(np.concatenate([clicks, level(0.2, 0.0101)]), RATE) == len(clicks)


def slow_onset(audio: np.ndarray, rate: int) -> int | None:
    """The definition, window by window."""
    window, hop = round(0.01 * rate), round(0.001 * rate)
    starts = range(0, len(audio) - window + 1, hop)
    rms = [np.sqrt(np.mean(audio[start : start + window].astype(np.float64) ** 2)) for start in starts]
    for number, start in enumerate(starts):
        following = rms[number : number + 41]  # 10 ms and 40 steps of 1 ms
        if rms[number] > 0.01 and len(following) == 41 and min(following) > 10**-2.5:
            return start + next(n for n, sample in enumerate(audio[start:]) if abs(sample) > 0.01)
    return None


@given(st.lists(st.tuples(st.integers(1, 60), st.sampled_from([0.0, 0.005, 0.012, 0.3])), min_size=1, max_size=12))
def test_equals_the_definition_taken_literally(pieces: list[tuple[int, float]]) -> None:
    audio = np.concatenate([level(ms / 1000, amplitude, 8_000) for ms, amplitude in pieces])
    assert onset_frame(audio, 8_000) == slow_onset(audio, 8_000)
