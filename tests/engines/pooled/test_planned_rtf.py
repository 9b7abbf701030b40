"""What is planned from the runs of a warm-up."""

import pytest

from harness.engines.kokoro.engine import SAMPLE_RATE
from harness.engines.pooled.planned_rtf import PlannedRtf, planned_from
from harness.engines.pooled.pool import Timed

AUDIO = [0.0] * SAMPLE_RATE
"""A second."""
Run = Timed[list[float]]


def run(phonemes: float, seconds: float, audio: list[float] = AUDIO) -> Run:
    return Timed(load=phonemes, seconds=seconds, result=audio)


def planned(*sessions: list[Run]) -> PlannedRtf:
    found = planned_from(sessions)
    assert found is not None
    return found


@pytest.mark.parametrize(
    ("rtf", "value"),
    [(0.01, 0.2), (0.16, 0.2), (0.161, 0.25), (0.32, 0.4), (0.39, 0.5), (0.42, 0.55), (0.64, 0.8), (0.7, 1), (5, 1)],
)
def test_it_is_the_next_of_a_few_values_above_the_margin(rtf: float, value: float) -> None:
    assert planned([run(51, rtf)]).planned == value


def test_the_faster_run_of_the_slowest_length_on_the_slowest_session_decides() -> None:
    found = planned(
        [run(51, 0.9), run(29, 0.3), run(51, 0.25), run(29, 0.32)],
        [run(51, 0.2), run(29, 0.45)],
    )
    assert found.segments == ((29, 0.45), (51, 0.25))
    assert found.planned == 0.6


def test_what_is_shorter_than_a_segment_or_without_audio_does_not_count() -> None:
    assert planned([run(7, 0.9), run(51, 0.1), run(29, 0.9, [])]).segments == ((51, 0.1),)
    assert planned_from([[run(7, 0.9)], []]) is None


def test_a_machine_that_is_slower_than_playback_is_said_to_be_so() -> None:
    slow = planned([run(51, 1.2)])
    assert (slow.planned, slow.keeps_up) == (1, False)
    assert "cannot keep up with playback, which will stop within texts: 1.20 with 51 phonemes" in slow.sentence()
    two = planned([run(51, 1.2)], [run(51, 1.3)])
    assert (two.planned, two.keeps_up) == (1, True), "together they make more than a second in a second"
