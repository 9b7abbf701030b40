import numpy as np
import pytest

from harness.metrics.audio.silence import silences

RATE = 24_000


def tone(seconds: float, *, amplitude: float = 0.3) -> np.ndarray:
    return (amplitude * np.sin(np.arange(round(seconds * RATE)) * 0.2)).astype(np.float32)


@pytest.mark.parametrize(("before_s", "after_s"), [(0.0, 0.0), (0.04, 0.2), (1.5, 0.01)])
def test_silence_before_and_after_speech_is_measured(before_s: float, after_s: float) -> None:
    quiet = [np.zeros(round(each * RATE), dtype=np.float32) for each in (before_s, after_s)]
    found = silences(np.concatenate([quiet[0], tone(0.5), quiet[1]]), RATE)
    assert found["leading_silence"].value == pytest.approx(before_s, abs=0.001)
    assert found["trailing_silence"].value == pytest.approx(after_s, abs=0.001)


def test_a_click_and_noise_below_the_threshold_are_silence() -> None:
    audio = np.concatenate([tone(0.5, amplitude=0.003), tone(0.01), tone(0.5, amplitude=0.003)])
    assert silences(audio, RATE)["leading_silence"].reason == "nothing is louder than -40 dBFS for 50 ms"
    found = silences(np.concatenate([audio, tone(0.2)]), RATE)
    assert found["leading_silence"].value == pytest.approx(1.01, abs=0.005)
    assert found["trailing_silence"].value == pytest.approx(0.0, abs=0.001)
