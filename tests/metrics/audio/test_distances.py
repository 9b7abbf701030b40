"""Deviations of one utterance from another: a missing sound, another voice, an overflow."""

import numpy as np
import pytest

from harness.metrics.audio.similarity import aligned_spectra, largest_step, peak_distortion, timbre_distance

RATE = 24_000
SECONDS = 1.0


def tone(*partials: float, seconds: float = SECONDS) -> np.ndarray:
    time = np.arange(round(seconds * RATE)) / RATE
    return sum((np.sin(2 * np.pi * each * time) for each in partials), np.zeros(len(time))) / 8


def test_the_same_audio_deviates_in_nothing_even_if_it_is_quieter() -> None:
    aligned = aligned_spectra(tone(300, 900), tone(300, 900), RATE)
    assert (peak_distortion(aligned).value, timbre_distance(aligned).value) == (0.0, 0.0)
    speech = tone(300, 900) + 0.02 * np.random.default_rng(0).standard_normal(round(SECONDS * RATE))
    quieter = aligned_spectra(0.5 * speech, speech, RATE)
    assert timbre_distance(quieter).value == pytest.approx(0.0, abs=0.2)


def test_a_short_other_sound_raises_the_peak_far_above_the_mean() -> None:
    original = tone(300, 900)
    other = original.copy()
    other[9_600:12_000] = tone(4_000, seconds=0.1)
    aligned = aligned_spectra(other, original, RATE)
    assert (peak_distortion(aligned).value or 0.0) > 5.0
    assert (timbre_distance(aligned).value or 9.0) < 0.3 * (peak_distortion(aligned).value or 0.0)


def test_another_spectrum_throughout_is_another_timbre() -> None:
    assert (timbre_distance(aligned_spectra(tone(300, 900), tone(300, 5_000), RATE)).value or 0.0) > 3.0


def test_samples_that_wrap_around_make_a_step_of_full_scale() -> None:
    assert (largest_step(tone(300)).value or 1.0) < 0.1
    assert largest_step(np.array([0.99, -0.99])).value == pytest.approx(1.98)


def test_silence_and_one_sample_have_no_deviation_and_say_why() -> None:
    aligned = aligned_spectra(np.zeros(RATE), np.zeros(RATE), RATE)
    assert [peak_distortion(aligned).reason, timbre_distance(aligned).reason] == [
        "both are silent",
        "one of them is silent",
    ]
    assert largest_step(np.zeros(1)).reason == "fewer than two samples"
