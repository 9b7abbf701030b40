import hashlib
import subprocess
import sys

import numpy as np
import pytest

from harness.metrics.audio.features import extract

RATE = 24_000
TONE = (0.5 * np.sin(2 * np.pi * 100 / RATE * np.arange(RATE))).astype(np.float32)


def test_features_of_a_tone() -> None:
    features = extract([np.zeros(2400, dtype=np.float32), TONE], RATE)
    assert (features.frames, features.sample_rate, features.channels, features.finite) == (26_400, RATE, 1, True)
    assert features.peak == pytest.approx(0.5, abs=1e-6)
    # A sine of amplitude 0.5 over 10 of the 11 tenths of a second: 0.125 · 10 / 11.
    assert features.rms_dbfs == pytest.approx(10 * np.log10(0.125 * 10 / 11), abs=1e-4)
    assert features.clipped_share == 0.0
    assert features.onset_frame == 2401
    assert features.onset_reason == ""


def test_the_digest_is_of_the_samples_however_they_were_cut() -> None:
    whole = extract([TONE], RATE)
    assert whole == extract(np.array_split(TONE, 7), RATE)
    assert whole.sha256 == hashlib.sha256(TONE.astype("<f4").tobytes()).hexdigest()
    changed = TONE.copy()
    changed[-1] += 1e-6
    assert extract([changed], RATE).sha256 != whole.sha256


def test_clipping_counts_full_scale_of_16_bits() -> None:
    audio = np.full(1000, 0.5, dtype=np.float32)
    audio[:30] = 32767 / 32768
    audio[30:40] = -1.0
    audio[40:50] = 32766 / 32768
    assert extract([audio], RATE).clipped_share == 0.04


@pytest.mark.parametrize("chunks", [[], [np.empty(0, dtype=np.float32)]])
def test_without_audio_levels_are_unknown_with_a_reason(chunks: list[np.ndarray]) -> None:
    features = extract(chunks, RATE)
    assert (features.frames, features.finite) == (0, True)
    assert features.peak is features.rms_dbfs is features.clipped_share is features.onset_frame is None
    assert features.onset_reason == "there is no audio"


def test_silence_has_a_peak_and_no_level() -> None:
    features = extract([np.zeros(RATE, dtype=np.float32)], RATE)
    assert (features.peak, features.rms_dbfs, features.onset_frame) == (0.0, None, None)
    assert features.onset_reason == "nothing is louder than -40 dBFS for 50 ms"


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_values_that_are_not_finite(value: float) -> None:
    audio = TONE.copy()
    audio[5] = value
    features = extract([audio], RATE)
    assert (features.frames, features.finite, features.peak, features.rms_dbfs) == (RATE, False, None, None)
    assert "not finite" in features.onset_reason


def test_channels_interleaved_or_in_columns() -> None:
    stereo = np.stack([TONE, -TONE], axis=1)
    columns = extract([stereo], RATE, channels=2)
    assert columns == extract([stereo.reshape(-1)], RATE, channels=2)
    assert (columns.frames, columns.channels) == (RATE, 2)
    # Opposite phases must not cancel out.
    assert columns.onset_frame == extract([TONE], RATE).onset_frame
    assert columns.rms_dbfs == pytest.approx(extract([TONE], RATE).rms_dbfs)


def test_one_clipped_channel_clips_the_frame() -> None:
    stereo = np.stack([np.full(100, 0.1), np.ones(100)], axis=1).astype(np.float32)
    features = extract([stereo], RATE, channels=2)
    assert (features.peak, features.clipped_share) == (1.0, 1.0)


def test_needs_numpy_alone() -> None:
    code = (
        "import sys\n"
        "import numpy, harness.metrics.audio.features, harness.metrics.validity\n"
        "ours = {name.split('.')[0] for name in sys.modules}\n"
        "print(*sorted(ours - set(sys.stdlib_module_names)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    foreign = {name for name in done.stdout.split() if not name.startswith(("_", "encodings", "sitecustomize"))}
    assert foreign == {"harness", "numpy"}
