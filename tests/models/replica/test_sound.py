from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

Small = Callable[..., Path]
Say = Callable[..., Any]
Open = Callable[..., Any]

SAMPLE_RATE = 24_000
FRAME = 600


def level_dbfs(audio: NDArray[np.float32]) -> float:
    return float(10 * np.log10(np.mean(audio.astype(np.float64) ** 2)))


def fundamentals(audio: NDArray[np.float32]) -> list[tuple[float, float]]:
    """Hertz and strength of the highest autocorrelation between 60 and 400 Hz, in windows of 100 ms."""
    window = SAMPLE_RATE // 10
    found = []
    for start in range(0, len(audio) - window, window):
        x = audio[start : start + window].astype(np.float64)
        x -= x.mean()
        spectrum = np.abs(np.fft.rfft(x, 2 * window)) ** 2
        correlation = np.fft.irfft(spectrum)[:window]
        shortest, longest = SAMPLE_RATE // 400, SAMPLE_RATE // 60
        lag = shortest + int(correlation[shortest:longest].argmax())
        found.append((SAMPLE_RATE / lag, float(correlation[lag] / correlation[0])))
    return found


@pytest.mark.parametrize("phonemes", [1, 2, 20, 100, 510])
def test_finite_and_of_the_stated_length(small: Small, say: Say, phonemes: int) -> None:
    spoken = say(small(), phonemes)
    assert spoken.durations.shape == (phonemes + 2,)
    assert spoken.audio.shape == (FRAME * spoken.durations.sum(),)
    assert np.isfinite(spoken.audio).all()


def test_durations_are_those_of_speech_and_vary(small: Small, say: Say) -> None:
    for voice in ("af_heart", "am_michael", "bf_emma"):
        durations = say(small(), 100, voice=voice).durations
        assert 0.055 < durations.sum() * FRAME / SAMPLE_RATE / 102 < 0.09
        assert durations.min() >= 1
        assert len(set(durations[1:-1].tolist())) >= 3


def test_pads_last_longer_than_what_is_between_them(small: Small, say: Say) -> None:
    durations = say(small(), 50).durations
    assert min(durations[0], durations[-1]) > 2 * durations[1:-1].mean()


def test_other_tokens_have_other_durations(small: Small, say: Say) -> None:
    assert not np.array_equal(say(small(), 50, tokens=1).durations, say(small(), 50, tokens=2).durations)


def test_durations_fall_with_speed(small: Small, say: Say) -> None:
    totals = [int(say(small(), 60, speed=speed).durations.sum()) for speed in (0.5, 0.8, 1.0, 1.5, 2.0)]
    assert totals == sorted(totals, reverse=True)
    assert totals[0] / totals[2] == pytest.approx(2.0, rel=0.05)
    assert totals[2] / totals[4] == pytest.approx(2.0, rel=0.15)


@pytest.mark.parametrize("phonemes", [5, 60])
def test_level_is_that_of_speech(small: Small, say: Say, phonemes: int) -> None:
    for voice in ("af_heart", "am_michael", "bf_emma"):
        audio = say(small(), phonemes, voice=voice).audio
        assert -26 < level_dbfs(audio) < -16
        assert np.abs(audio).max() < 1.0
        assert abs(audio.mean()) < 0.02


def test_has_a_fundamental_in_the_voices_range(small: Small, say: Say) -> None:
    for voice in ("af_heart", "am_michael", "bf_emma"):
        found = fundamentals(say(small(), 60, voice=voice).audio)
        pitches = np.array([hertz for hertz, _ in found])
        assert 80 < np.median(pitches) < 300
        assert np.mean((pitches > 80) & (pitches < 300)) > 0.9
        assert np.median([strength for _, strength in found]) > 0.4


def test_white_noise_would_fail_the_test_of_the_fundamental() -> None:
    noise = np.random.default_rng(0).standard_normal(SAMPLE_RATE * 4).astype(np.float32)
    assert np.median([strength for _, strength in fundamentals(noise)]) < 0.1


def test_seed_decides_the_noise_in_a_new_session(small: Small, say: Say, opened: Open) -> None:
    first, again, other = (say(opened(small(), seed), 30).audio for seed in (7, 7, 8))
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)
    assert np.corrcoef(first, other)[0, 1] > 0.8


def test_both_regulations_give_the_same_audio(small: Small, say: Say, opened: Open) -> None:
    sessions = [opened(small(regulation=each), 3) for each in ("loop", "plain")]
    for phonemes in (1, 40):
        loop, plain = (say(session, phonemes) for session in sessions)
        assert np.array_equal(loop.durations, plain.durations)
        assert np.array_equal(loop.audio, plain.audio)


def test_voices_sound_different(small: Small, say: Say) -> None:
    one, other = (say(small(), 30, voice=voice) for voice in ("af_heart", "am_michael"))
    assert one.audio.shape != other.audio.shape or not np.allclose(one.audio, other.audio, atol=1e-3)
