"""Players at one level: gains of known loudness, never clipping, and the same as what the page carries."""

import io
import math

import numpy as np
import pytest
import soundfile
from hypothesis import given
from hypothesis import strategies as st

from harness.core.records.value import Reading, known, unknown
from reports.views.loudness import CEILING_DB, MOST_LOWERED_DB, Level, gain_words, matched, with_gain

SPEECH_PEAK = 0.25


def level(lufs: float, peak: float = SPEECH_PEAK) -> Level:
    return Level(loudness=known(lufs), peak=peak)


def gains(found: tuple[Reading, ...]) -> list[float]:
    return [round(each.value, 6) for each in found if each.value is not None]


def test_each_recording_is_brought_to_the_target() -> None:
    found = matched([level(-24.5), level(-21.2), level(-26.0)], target=-24.5)
    assert found.level == -24.5
    assert gains(found.gains) == [0.0, -3.3, 1.5]


def test_the_level_of_all_is_lowered_rather_than_one_clipped() -> None:
    found = matched([level(-23.0), level(-30.0, peak=0.5)], target=-23.0)
    room = -30.0 + CEILING_DB - 20 * math.log10(0.5)
    assert found.level == pytest.approx(room)
    assert gains(found.gains) == [-1.1, 5.9]


def test_a_recording_without_room_stays_below_the_others_rather_than_silencing_them() -> None:
    found = matched([level(-23.0), level(-60.0, peak=0.5)], target=-23.0)
    assert found.level == -23.0 - MOST_LOWERED_DB
    assert gains(found.gains) == [-12.0, 5.9]


def test_unknown_loudness_is_played_as_recorded_and_says_why() -> None:
    found = matched([level(-23.0), Level(loudness=unknown("shorter than 0.4 s"), peak=0.1)], target=-23.0)
    assert [gain_words(each) for each in found.gains] == [
        "gain 0.0\u202fdB", "level as recorded: shorter than 0.4 s",
    ]  # fmt: skip
    none = matched([Level(loudness=unknown("silence"), peak=0.0)], target=-23.0)
    assert none.level is None


def test_a_gain_is_shown_with_a_true_minus_sign() -> None:
    assert gain_words(known(-2.3)) == "gain \u22122.3\u202fdB"
    assert gain_words(known(1.5)) == "gain +1.5\u202fdB"


@given(
    recordings=st.lists(
        st.tuples(st.floats(min_value=-70, max_value=-5), st.floats(min_value=1e-4, max_value=1.0)),
        min_size=1,
        max_size=6,
    ),
    target=st.floats(min_value=-40, max_value=-10),
)
def test_no_gain_ever_clips(recordings: list[tuple[float, float]], target: float) -> None:
    found = matched([level(*each) for each in recordings], target=target)
    for (_, peak), gain in zip(recordings, found.gains, strict=True):
        assert gain.value is not None
        assert peak * 10 ** (gain.value / 20) <= 1.0


def test_the_samples_carry_the_gain_that_is_shown() -> None:
    samples = 0.2 * np.sin(np.arange(24_000) / 9)
    buffer = io.BytesIO()
    soundfile.write(buffer, samples, 24_000, format="FLAC", subtype="PCM_16")
    content = buffer.getvalue()
    louder, rate = soundfile.read(io.BytesIO(with_gain(content, samples, 24_000, known(-3.3))))
    assert rate == 24_000
    assert 20 * math.log10(np.abs(louder).max() / np.abs(samples).max()) == pytest.approx(-3.3, abs=0.01)
    assert with_gain(content, samples, 24_000, known(0.0)) is content
    assert with_gain(content, samples, 24_000, unknown("silence")) is content
