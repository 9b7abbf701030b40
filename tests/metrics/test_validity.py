from typing import Any

import pytest

from harness.core.records.repetition import OutcomeKind
from harness.core.records.scenario import Band
from harness.metrics.validity import check

BAND = Band(low=0.03, high=0.20)


def outcome_of(made: Any, *, frames: int = 8_000, original_seconds: float | None = None, **changes: object) -> Any:
    """100 characters at 1000 Hz: 3 s to 20 s are plausible."""
    return check(
        made.features(frames, **changes),
        band=BAND,
        characters=100,
        expected_sample_rate=1000,
        original_seconds=original_seconds,
    )


@pytest.mark.parametrize("frames", [3_000, 8_000, 20_000])
def test_plausible_audio_is_valid(made: Any, frames: int) -> None:
    outcome = outcome_of(made, frames=frames)
    assert outcome.valid
    assert outcome.reason == ""


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"frames": 0}, "No audio came."),
        ({"finite": False}, "The audio holds values that are not finite."),
        ({"rms_dbfs": None, "peak": 0.0}, "The audio is silent: every sample is 0."),
        ({"rms_dbfs": -60.1}, "The audio is silent: its RMS of -60.1 dBFS is below -60 dBFS."),
        (
            {"clipped_share": 0.0101},
            "The audio is clipped: 1.0 % of its frames are at full scale, more than 1 %.",
        ),
        (
            {"clipped_share": 0.5},
            "The audio is clipped: 50.0 % of its frames are at full scale, more than 1 %.",
        ),
        ({"sample_rate": 22_050, "frames": 8 * 22_050}, "The sample rate is 22050 Hz, not 1000 Hz."),
        ({"sample_rate": 0}, "The sample rate is 0 Hz, not 1000 Hz."),
        ({"channels": 2}, "The number of channels is 2, not 1."),
        (
            {"frames": 2_999},
            "The audio is too short: 3.00 s, where 3.00 s to 20.00 s are plausible for 100 characters.",
        ),
        (
            {"frames": 20_001},
            "The audio is too long: 20.00 s, where 3.00 s to 20.00 s are plausible for 100 characters.",
        ),
        (
            {"frames": 7_499, "original_seconds": 10.0},
            "The audio is truncated: 7.50 s are 75 % of the original's 10.00 s, less than 75 %.",
        ),
    ],
)
def test_what_is_wrong_is_said_with_its_figures(made: Any, changes: dict[str, Any], reason: str) -> None:
    outcome = outcome_of(made, **changes)
    assert outcome.kind is OutcomeKind.INVALID_AUDIO
    assert outcome.reason == reason


@pytest.mark.parametrize(
    "changes",
    [{"rms_dbfs": -60.0}, {"clipped_share": 0.01}, {"frames": 7_500, "original_seconds": 10.0}, {"onset_frame": None}],
)
def test_the_limits_themselves_are_valid(made: Any, changes: dict[str, Any]) -> None:
    assert outcome_of(made, **changes).valid


def test_all_faults_are_named() -> None:
    from harness.core.records.repetition import AudioFeatures

    features = AudioFeatures(
        sample_rate=8_000, frames=80, sha256="", finite=True, peak=1.0, rms_dbfs=-1.0, clipped_share=0.5, onset_frame=0
    )
    reason = check(features, band=BAND, characters=100, expected_sample_rate=24_000).reason
    assert [word in reason for word in ("sample rate", "clipped", "too short")] == [True] * 3


def test_a_200_with_two_bytes_is_a_failure(made: Any) -> None:
    assert "too short" in outcome_of(made, frames=1).reason
