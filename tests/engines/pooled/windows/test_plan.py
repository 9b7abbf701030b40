"""Where speech is cut into windows, and how they are joined."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.engines.pooled.planned_rtf import MARGIN
from harness.engines.pooled.windows.plan import (
    CONTEXT,
    FADE,
    LONGEST,
    SHORTEST,
    STRETCH,
    Pace,
    joined,
    leading_silence,
    window_ends,
)

RTF = st.sampled_from((0.2, 0.3, 0.4, 0.6, 0.8))


def curves(frames: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    draw = np.random.default_rng(seed)
    pitch = np.repeat(draw.random(frames) < 0.7, 2).astype(np.float32) * 120
    return pitch[None], draw.normal(5, 2, (1, 2 * frames)).astype(np.float32)


@given(frames=st.integers(1, 2_000), first=st.integers(20, 200), rtf=RTF, seed=st.integers(0, 50))
def test_windows_cover_the_speech_and_leave_no_scrap(frames: int, first: int, rtf: float, seed: int) -> None:
    ends = [0, *window_ends(*curves(frames, seed), Pace(first=first, rtf=rtf))]
    lengths = [end - start for start, end in pairwise(ends)]
    assert ends[-1] == frames
    assert min(lengths) > 0
    assert len(lengths) == 1 or lengths[-1] >= SHORTEST
    assert max(lengths) <= max(STRETCH * LONGEST, STRETCH * Pace(first=first, rtf=rtf).begin(), SHORTEST / 0.2)


@given(frames=st.integers(200, 2_000), first=st.integers(20, 60), rtf=st.sampled_from((0.2, 0.3, 0.4)))
def test_at_the_speed_that_was_measured_no_window_is_late(frames: int, first: int, rtf: float) -> None:
    """Each window is decoded with its context while those before it are played; `MARGIN` is in the plan."""
    ends = [0, *window_ends(*curves(frames), Pace(first=first, rtf=rtf))]
    ready = 0.0
    for start, end in list(pairwise(ends))[1:]:
        ready += rtf / MARGIN * (end - start + 2 * CONTEXT)
        assert ready <= start


@given(begin=st.integers(0, 30))
def test_the_frames_in_front_belong_to_no_window(begin: int) -> None:
    pitch, energy = curves(400)
    cut = [end - begin for end in window_ends(pitch, energy, Pace(first=28, rtf=0.4), begin=begin)]
    assert cut == list(window_ends(pitch[:, 2 * begin :], energy[:, 2 * begin :], Pace(first=28, rtf=0.4)))


@pytest.mark.parametrize(("frames", "left"), [(12, 8), (3, 0)])
def test_the_silence_in_front_lasts_as_long_as_the_first_token_but_for_its_end(frames: int, left: int) -> None:
    tokens = np.random.default_rng(0).normal(size=(1, 5, 4)).astype(np.float32)
    assert leading_silence(np.repeat(tokens, [frames, 5, 9, 4], axis=2)) == left
    assert leading_silence(np.ones((1, 5, 30), dtype=np.float32)) == 0


def test_a_slow_machine_begins_later() -> None:
    begin = [Pace(first=28, rtf=rtf).begin() for rtf in (0.2, 0.6, 0.85, 0.9, 1.0)]
    assert begin[:2] == [28, 28]
    assert begin[2:] == sorted(begin[2:])
    assert begin[2] > 28


def test_a_cut_lies_in_the_silence_of_the_last_quarter() -> None:
    pitch = np.full((1, 300), 120.0, dtype=np.float32)
    energy = np.full((1, 300), 5.0, dtype=np.float32)
    pitch[0, 2 * 50 : 2 * 54] = 0
    energy[0, 2 * 50 : 2 * 54] = -3
    assert next(iter(window_ends(pitch, energy, Pace(first=60, rtf=0.4)))) in (51, 52, 53)


@given(frames=st.integers(60, 600), first=st.integers(20, 60), rtf=RTF)
def test_no_segment_has_more_windows_than_with_cuts_at_their_latest(frames: int, first: int, rtf: float) -> None:
    """Silence early in each window's last quarter does not cost another window."""
    pace = Pace(first=first, rtf=rtf)
    pitch, energy = np.full((1, 2 * frames), 120.0, dtype=np.float32), np.arange(2.0 * frames, dtype=np.float32)[None]
    assert len(window_ends(pitch, energy, pace)) == len(window_ends(pitch, -energy, pace))


def test_a_fade_between_equal_sounds_changes_nothing() -> None:
    sound = np.sin(np.arange(2_000) / 9).astype(np.float32)
    assert joined(None, sound) is sound
    np.testing.assert_allclose(joined(sound[:FADE], sound), sound, atol=1e-6)


@pytest.mark.parametrize("length", [FADE, 3 * FADE])
def test_a_fade_goes_from_the_one_to_the_other(length: int) -> None:
    mixed = joined(np.ones(FADE, dtype=np.float32), np.zeros(length, dtype=np.float32))
    assert len(mixed) == length
    assert mixed[0] > 0.99
    assert np.all(np.diff(mixed[:FADE]) < 0)
    assert np.all(mixed[FADE:] == 0)
