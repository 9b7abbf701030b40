"""Prosody of joined speech beside the whole: pitch, pauses, rate and loudness of the beginning, a part's voice."""

import numpy as np
import pytest
from numpy.typing import NDArray

from harness.metrics.audio.prosody import PROSODY, semitones
from harness.metrics.audio.similarity import OTHER_SPLIT, compare
from tests.voiced_sound import RATE, voiced

BEGIN = 3 * RATE // 2
Audio = NDArray[np.float64]


def values(ours: Audio, theirs: Audio) -> dict[str, float | None]:
    return {name: each.value for name, each in compare(ours, theirs, RATE, perception=False, joined=True).items()}


@pytest.fixture(scope="module")
def reference() -> Audio:
    return voiced(5.0)


def test_the_pitch_of_a_steady_tone_is_its_frequency() -> None:
    for hz in (90.0, 150.0, 300.0):
        found = semitones(voiced(1.0, hz=hz, depth=0.0), RATE)
        assert np.median(found) == pytest.approx(12 * np.log2(hz), abs=0.2)
    assert not len(semitones(np.random.default_rng(0).standard_normal(RATE), RATE)), "noise has no pitch"
    assert not len(semitones(np.zeros(10), RATE))


def test_the_same_speech_differs_in_nothing(reference: Audio) -> None:
    found = values(reference, reference)
    assert {name: found[name] for name in PROSODY} == {
        "timbre_peak": 0, "pitch": 0, "pitch_spread": 1, "pause": 0, "opening_rate": 1, "opening_loudness": 0,
    }  # fmt: skip


def test_sounds_taken_for_an_octave_above_do_not_widen_the_pitch(reference: Audio) -> None:
    # Every eighth of a second has its pitch doubled, as an autocorrelation takes some sounds for.
    high = voiced(5.0, hz=240.0)
    doubled = reference.copy()
    for begin in range(0, len(doubled) - RATE // 16, RATE // 8):
        doubled[begin : begin + RATE // 16] = high[begin : begin + RATE // 16]
    assert np.mean(semitones(doubled, RATE) > 12 * np.log2(180)) > 0.1
    assert values(doubled, reference)["pitch_spread"] == pytest.approx(1, abs=0.2)


def test_distances_frame_by_frame_are_unknown_of_joined_speech(reference: Audio) -> None:
    found = compare(reference[: 4 * RATE], reference, RATE, joined=True)
    assert {found[name].reason for name in ("lsd", "mcd", "mcd_peak", "pesq", "stoi")} == {OTHER_SPLIT}


OTHERS = {
    "pitch": (3.4, 4.3, lambda _: voiced(5.0, hz=150.0)),
    "pitch_spread": (0.2, 0.5, lambda _: voiced(5.0, depth=0.05)),
    "pause": (0.4, 0.6, lambda audio: np.insert(audio, 2 * RATE, np.zeros(RATE // 2))),
    "opening_loudness": (4.5, 7.0, lambda audio: np.concatenate([2 * audio[:BEGIN], audio[BEGIN:]])),
    "opening_rate": (1.12, 1.4, lambda audio: np.concatenate([voiced(1.2, pace=1.25), audio[BEGIN:]])),
    "timbre_peak": (4.0, 40.0, lambda audio: np.concatenate([audio[: 2 * BEGIN], voiced(5.0, tilt=2.2)[2 * BEGIN :]])),
}


@pytest.mark.parametrize("name", OTHERS)
def test_each_value_finds_what_it_is_named_after(reference: Audio, name: str) -> None:
    low, high, change = OTHERS[name]
    found = values(change(reference), reference)[name]
    assert found is not None
    assert low < found < high


def test_silence_and_short_speech_say_why_they_have_no_values(reference: Audio) -> None:
    silent = compare(np.zeros(RATE), reference, RATE, perception=False, joined=True)
    assert {silent[name].reason for name in PROSODY} == {"one of them is silent"}
    short = compare(reference[:RATE], reference[:RATE], RATE, perception=False, joined=True)
    assert short["opening_rate"].reason == "the text is too short to compare its beginning with its end"
    assert compare(np.zeros(0), reference, RATE, joined=True)["pause"].reason == "there is no audio to compare"
