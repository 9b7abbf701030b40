"""What the server says of itself, on a scripted clock: the harness's definitions, exact."""

import numpy as np
import pytest

from harness.core.clock import ScriptedClock
from harness.core.exposition import exposed
from harness.core.records.repetition import OutcomeKind, Repetition
from harness.metrics.per_request import repetition_figures
from harness.server.reference.request_record import RequestRecorder
from harness.server.reference.statistics import RequestOutcome, Statistics

RATE = 24_000
SILENCE = np.zeros(RATE // 2, dtype=np.float32)
SOUND = (0.3 * np.sin(2 * np.pi * 440 / RATE * np.arange(RATE))).astype(np.float32)


def told(*steps: tuple[float, np.ndarray]) -> Repetition:
    """An answer whose pieces go out after so many seconds each; it ends 0.1 s after the last."""
    clock = ScriptedClock()
    clock.sleep(5.0)
    recorder = RequestRecorder(arrived_ns=clock.now_ns(), clock=clock)
    for wait, audio in steps:
        clock.sleep(wait)
        recorder.made(audio)
        recorder.sent(len(audio))
    clock.sleep(0.1)
    return recorder.repetition(characters=40)


def test_figures_are_those_of_the_glossary() -> None:
    """Half a second of silence after 0.2 s, a second of sound after 0.8 s more, another after 1.4 s more."""
    figures = repetition_figures(told((0.2, SILENCE), (0.8, SOUND), (1.4, SOUND)))
    values = {name: figures[name].value for name in ("ttfb", "ttfc", "latency", "rtf", "stall", "streaming_efficiency")}
    assert values == {
        "ttfb": pytest.approx(0.2),
        "ttfc": pytest.approx(0.2),
        "latency": pytest.approx(2.5),
        "rtf": pytest.approx(1.0),
        # Dry from 0.7 to 1.0 s, and from 2.0 to 2.4 s.
        "stall": pytest.approx(0.7),
        "streaming_efficiency": pytest.approx(2.5 / 3.2),
    }
    # Sound begins with the second piece, whose first sample is 0.
    assert figures["ttfa"].value == pytest.approx(1.0, abs=0.001)


def test_the_onset_is_found_across_pieces_and_not_in_a_click() -> None:
    click = SILENCE.copy()
    click[100] = 1.0
    repetition = told((0.1, click), (0.1, SOUND))
    assert repetition.audio is not None
    assert repetition.audio.onset_frame == pytest.approx(len(SILENCE), abs=24)


@pytest.mark.parametrize(
    ("audio", "reason"),
    [
        (np.zeros(RATE, dtype=np.float32), "silent"),
        (np.full(RATE, np.nan, dtype=np.float32), "not finite"),
        (np.ones(RATE, dtype=np.float32), "clipped"),
        (np.empty(0, dtype=np.float32), "No audio"),
    ],
)
def test_what_is_no_speech_is_invalid(audio: np.ndarray, reason: str) -> None:
    outcome = told((0.1, audio)).outcome
    assert (outcome.kind, reason in outcome.reason) == (OutcomeKind.INVALID_AUDIO, True)


def test_the_success_rate_counts_what_was_owed() -> None:
    statistics = Statistics()
    for _ in range(7):
        statistics.record(told((0.1, SOUND)), cached=False)
    statistics.record(told((0.1, SILENCE)), cached=False)
    for became in (
        RequestOutcome.BUSY,
        RequestOutcome.FAILED,
        RequestOutcome.HUNG_UP,
        RequestOutcome.SLOW,
        RequestOutcome.REFUSED,
    ):
        statistics.count(became)
    success = statistics.report()["success_rate"]
    assert isinstance(success, dict)
    assert (success["rate"], success["n"]) == (0.7, 10)
    # Wilson's interval of 7 in 10.
    assert (success["low"], success["high"]) == pytest.approx((0.3968, 0.8922), abs=1e-4)


def test_nothing_is_unknown_and_not_nothing() -> None:
    report = Statistics().report()
    assert (report["success_rate"], report["computed"], report["cached"]) == (None, {}, {})


def test_histograms_are_cumulative_and_hits_are_apart() -> None:
    statistics = Statistics()
    for wait, cached in ((0.03, False), (0.3, False), (0.01, True)):
        statistics.record(told((wait, SOUND)), cached=cached)
    lines = exposed(statistics.exposition()).content.decode().splitlines()
    computed = [line for line in lines if line.startswith('kokoro_ttfa_seconds_bucket{cached="no"')]
    assert [float(line.split()[-1]) for line in computed] == [0, 1, 1, 1, 2, 2, 2, 2, 2, 2, 2]
    assert 'kokoro_ttfa_seconds_count{cached="yes"} 1.0' in lines
    assert 'kokoro_audio_seconds_total{cached="no"} 2.0' in lines
