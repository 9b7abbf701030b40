import math

import numpy as np
import pytest

from harness.metrics.audio.alignment import AlignedSpectra, Alignment
from harness.metrics.audio.similarity import (
    DEVIATIONS,
    aligned_spectra,
    compare,
    log_spectral_distance,
    mel_cepstral_distortion,
)
from harness.metrics.registry import METRICS, Per

RATE = 24_000


def noise(seed: int, *, seconds: float = 2.0) -> np.ndarray:
    return 0.1 * np.random.default_rng(seed).standard_normal(round(seconds * RATE))


def vowels(stretch: float = 1.0, *, seed: int = 0) -> np.ndarray:
    """Ten harmonic sounds with different envelopes, 150 ms each times `stretch`; their spectra do not depend on it."""
    generator = np.random.default_rng(seed)
    sounds = []
    for _ in range(10):
        time = np.arange(round(0.15 * stretch * RATE)) / RATE
        pitch, strengths = generator.uniform(100, 180), generator.uniform(0.01, 0.1, size=30)
        sounds.append(sum(a * np.sin(2 * np.pi * pitch * n * time) for n, a in enumerate(strengths, start=1)))
    return np.concatenate(sounds)


def lsd(x: np.ndarray, y: np.ndarray) -> float:
    value = log_spectral_distance(aligned_spectra(x, y, RATE)).value
    assert value is not None
    return value


def mcd(x: np.ndarray, y: np.ndarray) -> float:
    value = mel_cepstral_distortion(aligned_spectra(x, y, RATE)).value
    assert value is not None
    return value


@pytest.mark.parametrize("audio", [noise(0), vowels(), noise(1, seconds=0.02)])
def test_identical_audio_has_no_distance(audio: np.ndarray) -> None:
    assert lsd(audio, audio.copy()) == 0.0
    assert mcd(audio, audio.copy()) == 0.0


@pytest.mark.parametrize("gain", [2.0, 0.5, 10.0])
def test_a_gain_is_its_own_log_spectral_distance_and_no_cepstral_one(gain: float) -> None:
    audio = noise(0)
    assert lsd(audio, gain * audio) == pytest.approx(abs(20 * math.log10(gain)), abs=1e-4)
    assert mcd(audio, gain * audio) == pytest.approx(0.0, abs=1e-9)


def test_two_white_noises_are_apart_as_two_exponential_powers_are() -> None:
    # A bin's power is exponentially distributed; the log of the ratio of two is logistic, with the standard deviation
    # π / √3 in nepers of power. Ends of the signal and the averaging over frames leave 2 %.
    assert lsd(noise(1, seconds=4), noise(2, seconds=4)) == pytest.approx(
        10 / math.log(10) * math.pi / math.sqrt(3), rel=0.02
    )


def pair(x: np.ndarray, y: np.ndarray) -> AlignedSpectra:
    frames = np.arange(len(x))
    path = Alignment(rows=frames, columns=frames, cost=0.0)
    return AlignedSpectra(power_x=x, power_y=y, cepstra_x=x, cepstra_y=y, rows=frames, columns=frames, path=path)


def test_log_spectral_distance_by_hand() -> None:
    # Frame 1: 10 dB and 0 dB apart, root mean square √50; frame 2: 20 dB in both bins.
    x = np.array([[1e-2, 1e-3], [1e-2, 1e-4]])
    y = np.array([[1e-3, 1e-3], [1e-4, 1e-2]])
    assert log_spectral_distance(pair(x, y)).value == pytest.approx((math.sqrt(50) + 20) / 2)


def test_what_is_below_the_floor_is_no_distance() -> None:
    assert log_spectral_distance(pair(np.array([[1e-11, 1e-2]]), np.array([[0.0, 1e-2]]))).value == 0.0


def test_mel_cepstral_distortion_by_hand() -> None:
    x = np.zeros((2, 13))
    y = np.zeros((2, 13))
    y[0, [0, 4]] = 0.3, -0.4
    # √(2 · 0.25) = 0.7071 in the one frame, 0 in the other.
    assert mel_cepstral_distortion(pair(x, y)).value == pytest.approx(10 / math.log(10) * math.sqrt(0.5) / 2)


def test_a_cosine_over_the_bands_is_its_root_mean_square_in_db() -> None:
    # c_m = a in nepers of amplitude is a cosine of 20 / ln 10 · a dB over the bands, and its RMS that over √2.
    x, y = np.zeros((1, 13)), np.zeros((1, 13))
    y[0, 2] = 0.5
    assert mel_cepstral_distortion(pair(x, y)).value == pytest.approx(20 / math.log(10) * 0.5 / math.sqrt(2))


@pytest.mark.parametrize("stretch", [0.8, 1.25])
def test_alignment_makes_up_for_another_pace(stretch: float) -> None:
    same_words, other_words = vowels(stretch), vowels(stretch, seed=1)
    assert mcd(vowels(), same_words) < 0.25 * mcd(vowels(), other_words)
    assert lsd(vowels(), same_words) < 0.5 * lsd(vowels(), other_words)


def test_distance_grows_with_noise() -> None:
    disturbed = [vowels() + level * noise(3, seconds=1.5) for level in (0.001, 0.01, 0.1)]
    for distance in (lsd, mcd):
        distances = [distance(vowels(), each) for each in disturbed]
        assert distances == sorted(distances)
        assert distances[0] > 0


@pytest.mark.parametrize(("x", "y"), [(noise(1), noise(2)), (vowels(), vowels(1.25)), (vowels(), noise(2))])
def test_distances_are_the_same_in_either_order(x: np.ndarray, y: np.ndarray) -> None:
    assert lsd(x, y) == lsd(y, x)
    assert mcd(x, y) == mcd(y, x)


def test_pauses_do_not_dilute() -> None:
    pause = np.zeros(2 * RATE)
    padded = [np.concatenate([audio, pause]) for audio in (noise(1), 2 * noise(1))]
    assert lsd(*padded) == pytest.approx(20 * math.log10(2), abs=1e-3)


def test_a_pause_that_only_one_has_counts() -> None:
    # A tenth of the loud frames are silent in the other.
    holed = noise(1)
    holed[:4800] = 0
    assert lsd(noise(1), holed) > 3


def test_silence_has_no_distance_to_silence_but_a_reason() -> None:
    aligned = aligned_spectra(np.zeros(RATE), np.zeros(RATE), RATE)
    assert log_spectral_distance(aligned).reason == mel_cepstral_distortion(aligned).reason == "both are silent"


def test_compare_gives_every_metric_of_likeness() -> None:
    figures = compare(vowels(1.25), vowels(), RATE)
    assert set(figures) == {"lsd", "mcd", "duration_ratio", "mcd_peak", "timbre", "largest_step", "pesq", "stoi"}
    assert all(METRICS[name].per is Per.SCENARIO for name in figures if name not in DEVIATIONS)
    assert figures["duration_ratio"].value == pytest.approx(1.25, rel=1e-3)
    assert figures["lsd"].value == lsd(vowels(1.25), vowels())
    assert figures["mcd"].value == mcd(vowels(1.25), vowels())


@pytest.mark.parametrize("empty_first", [True, False])
def test_no_audio_has_no_likeness(empty_first: bool) -> None:  # noqa: FBT001 - parametrised
    variant, original = (np.empty(0), noise(0)) if empty_first else (noise(0), np.empty(0))
    figures = compare(variant, original, RATE)
    assert {(each.value, each.reason) for each in figures.values()} == {(None, "there is no audio to compare")}


def test_long_utterances_stay_within_a_band() -> None:
    long = noise(4, seconds=40)
    assert lsd(long, long[RATE:]) < 8
