import pytest

from harness.analysis.audio_limits import find_wrong, mcd_limit


def test_the_limit_is_twice_the_originals_own_distance_and_three_decibels() -> None:
    assert mcd_limit(1.0) == 5.0
    assert mcd_limit(0.0) == 3.0


@pytest.mark.parametrize(
    ("mcd", "own", "ratio"),
    [(5.0, 1.0, 1.0), (1.6, 1.1, 1.29), (1.6, 1.1, 0.75), (99.0, None, 1.0), (None, 1.0, None), (None, None, None)],
)
def test_what_is_near_or_unknown_is_not_called_wrong(mcd: float | None, own: float | None, ratio: float | None) -> None:
    assert find_wrong(mcd=mcd, own_mcd=own, duration_ratio=ratio) is None


def test_what_is_far_is_wrong_and_says_how_far() -> None:
    wrong = find_wrong(mcd=18.7, own_mcd=1.1, duration_ratio=1.0)
    assert wrong is not None
    assert wrong.metric == "mcd"
    assert wrong.reason == (
        "It sounds wrong: 18.7 dB of mel-cepstral distortion from the original, which is 1.1 dB from itself under "
        "another seed; up to 5.2 dB are accepted."
    )


@pytest.mark.parametrize(
    ("mcd", "ratio", "wrong"),
    [
        (0.95, 1.01, False),  # the public 8-bit model, the nearest of the measured sentences
        (1.71, 0.99, False),  # and the farthest
        (4.46, 0.86, True),  # the most similar other voice of the same sex
        (7.85, 1.02, True),  # another text
        (6.66, 0.50, True),  # the second half missing
        (7.83, 1.00, True),  # the halves in the other order
        (3.99, 1.98, True),  # half the speed
        (5.70, 1.00, True),  # white noise 10 dB below the speech
    ],
)
def test_the_limits_hold_for_real_speech_of_a_deterministic_original(mcd: float, ratio: float, *, wrong: bool) -> None:
    assert (find_wrong(mcd=mcd, own_mcd=0.0, duration_ratio=ratio) is not None) == wrong


@pytest.mark.parametrize(("ratio", "said"), [(0.5, "50%"), (1.4, "140%")])
def test_another_length_is_wrong_whatever_it_sounds_like(ratio: float, said: str) -> None:
    wrong = find_wrong(mcd=0.0, own_mcd=1.0, duration_ratio=ratio)
    assert wrong is not None
    assert wrong.metric == "duration_ratio"
    assert wrong.reason == f"Its audio is {said} as long as the original's; 75% to 133% are accepted."
