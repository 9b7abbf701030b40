"""Onset, TTFA and stalls of real speech: ten voices of kokoro-v1.0-int8, with onsets that were set by eye.

`onsets.json` has the RMS and the peak of each of the first 400 ms. `audio` makes a signal with the same RMS and peaks.
Its onset is within 1.5 ms of that of the audio itself.
"""

import json
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from harness.metrics.audio.features import extract
from harness.metrics.audio.onset import onset_frame
from harness.metrics.per_request import repetition_figures

RATE = 24_000
MS = RATE // 1000
DATA = Path(__file__).parents[1] / "data" / "onsets.json"
CLOSE_MS = 10.0


@cache
def recorded() -> dict[str, dict[str, Any]]:
    return {each["voice"]: each for each in json.loads(DATA.read_text(encoding="utf-8"))["onsets"]}


VOICES = tuple(recorded())


def levels(voice: str, what: str) -> np.ndarray:
    """dBFS of each millisecond; half decibels below full scale in the file."""
    return np.frombuffer(bytes.fromhex(recorded()[voice][what]), dtype=np.uint8) / -2.0


@cache
def audio(voice: str) -> np.ndarray:
    """A signal that has the RMS and the peak of the real one in every millisecond."""
    rms, peak = (10 ** (levels(voice, what)[:, None] / 20) for what in ("rms", "peak"))
    peak = np.maximum(rms, peak)
    signal = np.repeat(np.sqrt(np.maximum(0.0, (MS * rms**2 - peak**2) / (MS - 1))), MS, axis=1)
    signal[:, MS // 2] = peak[:, 0]
    signal[:, 1::2] *= -1
    return np.where(np.repeat(levels(voice, "rms")[:, None] == -127.5, MS, axis=1), 0, signal).ravel().astype("float32")


def seen_onset_ms(voice: str) -> int:
    """By another method: where most of 10 ms are louder than halfway, in dB, between the noise and the speech."""
    rms = levels(voice, "rms")
    noise, speech = max(-90.0, float(np.percentile(rms[:20], 90))), float(np.percentile(rms, 95))
    loud = rms > (noise + speech) / 2
    return next(start for start in range(len(loud)) if loud[start : start + 10].sum() >= 8)


def test_ten_voices_are_here_in_few_bytes() -> None:
    assert len(VOICES) == 10
    assert {each["language"] for each in recorded().values()} == {"en-us", "en-gb", "es", "fr-fr", "it", "pt-br"}
    assert {voice[0] for voice in VOICES} == set("abefijpz")
    assert DATA.stat().st_size < 20_000


@pytest.mark.parametrize("voice", VOICES)
def test_onset_is_where_the_eye_sees_it(voice: str) -> None:
    hand = recorded()[voice]["hand_ms"]
    found = onset_frame(audio(voice), RATE)
    assert found is not None
    assert found / MS == pytest.approx(hand, abs=CLOSE_MS)
    assert seen_onset_ms(voice) == pytest.approx(hand, abs=CLOSE_MS)


@pytest.mark.parametrize("voice", VOICES)
def test_whole_answer_is_heard_when_its_silence_has_been_played(made: Any, voice: str) -> None:
    features = extract([audio(voice)], RATE)
    figures = repetition_figures(made.repetition(chunks=((900, 400 * MS),), audio=features))
    assert figures["ttfa"].value == pytest.approx(0.9 + recorded()[voice]["hand_ms"] / 1000, abs=CLOSE_MS / 1000)
    assert (figures["stall"].value, figures["stall_count"].value) == (0, 0)
    assert figures["ttfa"].value > figures["latency"].value


@pytest.mark.parametrize("voice", VOICES)
@pytest.mark.parametrize(("second_ms", "stalled_s"), [(250, 0.0), (500, 0.2)])
def test_streamed_answer_is_heard_in_the_chunk_with_the_onset(
    made: Any, voice: str, second_ms: int, stalled_s: float
) -> None:
    # 100 ms of audio at 0.2 s and the rest when it comes: a player that ran dry at 0.3 s waits for it.
    signal, hand_s = audio(voice), recorded()[voice]["hand_ms"] / 1000
    features = extract([signal[: 100 * MS], signal[100 * MS :]], RATE)
    figures = repetition_figures(made.repetition(chunks=((200, 100 * MS), (second_ms, 300 * MS)), audio=features))
    waited = stalled_s if hand_s > 0.1 else 0.0
    assert figures["ttfa"].value == pytest.approx(0.2 + hand_s + waited, abs=CLOSE_MS / 1000)
    assert figures["stall"].value == pytest.approx(stalled_s)
    assert figures["stall_count"].value == (1 if stalled_s else 0)
