from typing import Any

import pytest

from harness.core.records.repetition import Outcome, OutcomeKind
from harness.metrics.per_request import REPETITION_METRICS, audio_seconds, repetition_figures, total_ns

STREAMED = {
    "chunks": ((400, 1000), (900, 1000), (2600, 500)),
    "stages": (("phonemise", 20, 40), ("inference", 50, 390), ("inference", 400, 880), ("inference", 900, 2550)),
    "end_ms": 2700,
    "onset_frame": 120,
    "cpu_ms": 5000,
    "first_byte_ns": 30_000_000,
}


def test_every_figure_of_a_streamed_repetition(made: Any) -> None:
    figures = {name: reading.value for name, reading in repetition_figures(made.repetition(**STREAMED)).items()}
    # 400 ms + 2 s of audio end at 2.4 s; the third chunk comes at 2.6 s: one stop of 0.2 s.
    expected = {
        "ttfa": 0.52,
        "ttfb": 0.03,
        "ttfc": 0.4,
        "latency": 2.7,
        "rtf": 2.7 / 2.5,
        "rtf_model": (0.34 + 0.48 + 1.65) / 2.5,
        "cpu_per_audio": 2.0,
        "delivery_speed": 2.5 / 2.7,
        "stall": 0.2,
        "stall_count": 1,
        "prebuffer": 0.2,
        "streaming_efficiency": 2.5 / 2.7,
        "overlap": 1 - 0.4 / 2.7,
        "stage_share_phonemise": 0.02 / 2.7,
        "stage_share_inference": (0.34 + 0.48 + 1.65) / 2.7,
        "stage_share_postprocess": (0.01 + 0.02 + 0.05) / 2.7,
        "stage_share_rest": (0.02 + 0.01 + 0.1) / 2.7,
    }
    assert figures == pytest.approx(expected, rel=1e-12)


def test_an_invalid_repetition_has_a_reason_and_no_figures(made: Any) -> None:
    outcome = Outcome(kind=OutcomeKind.TIMEOUT, reason="no audio within 10 s")
    figures = repetition_figures(made.repetition(**STREAMED, outcome=outcome))
    assert tuple(figures) == REPETITION_METRICS
    assert {(reading.value, reading.reason) for reading in figures.values()} == {
        (None, "timeout: no audio within 10 s")
    }
    bare = repetition_figures(made.repetition(outcome=Outcome(kind=OutcomeKind.CRASHED)))
    assert bare["latency"].reason == "crashed"


def test_what_a_plain_engine_does_not_tell_is_unknown(made: Any) -> None:
    figures = repetition_figures(made.repetition())
    reasons = {name: reading.reason for name, reading in figures.items() if not reading.known}
    no_stages = "the engine marks no stages"
    assert reasons == {
        "ttfb": "there is no body: not over HTTP",
        "overlap": "not streaming: all audio came in one chunk",
        "rtf_model": "the engine marks no inference",
        "cpu_per_audio": "CPU time was not read",
        "stage_share_phonemise": no_stages,
        "stage_share_inference": no_stages,
        "stage_share_postprocess": no_stages,
        "stage_share_rest": no_stages,
    }
    assert figures["stall"].value == 0.0


def test_without_an_onset_only_ttfa_is_unknown(made: Any) -> None:
    audio = made.features(1000, onset_frame=None, onset_reason="nothing is louder than -40 dBFS for 50 ms")
    figures = repetition_figures(made.repetition(audio=audio))
    assert figures["ttfa"].reason == "nothing is louder than -40 dBFS for 50 ms"
    assert figures["rtf"].value == 0.5


@pytest.mark.parametrize(
    ("changes", "reason"),
    [({"audio": None}, "no features of its audio were kept"), ({"chunks": ((5, 0),)}, "there is no audio")],
)
def test_without_audio_there_is_only_latency(made: Any, changes: dict[str, Any], reason: str) -> None:
    figures = repetition_figures(made.repetition(end_ms=900, **changes))
    assert figures["latency"].value == 0.9
    assert figures["rtf"].reason == figures["ttfa"].reason == figures["stall"].reason == reason


def test_the_time_ends_with_the_answer_or_its_last_chunk(made: Any) -> None:
    assert total_ns(made.repetition(end_ms=600)) == 600_000_000
    assert total_ns(made.repetition(end_ms=400)) == 500_000_000
    assert total_ns(made.repetition(chunks=(), end_ms=3)) == 3_000_000
    assert total_ns(made.repetition(chunks=(), end_ms=0)) == 0


def test_audio_is_counted_in_decoded_frames(made: Any) -> None:
    assert audio_seconds(made.repetition(chunks=((1, 100), (2, 0), (3, 250)))) == 0.35
    assert audio_seconds(made.repetition(audio=None)) == 0.0
