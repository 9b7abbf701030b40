"""The rule on speech: what is called equivalent, different, broken and unknown, and why."""

import math

import pytest

from harness.analysis.speech_rule import JOINED, Answer, judge_audio, worst_of
from harness.core.quantities import Figure
from harness.core.records.speech import EditCounts, SpeechKind, SpeechReading
from harness.core.records.value import Reading, known, unknown

ALIKE = {"mcd": 1.5, "mcd_peak": 2.8, "timbre": 0.3, "duration_ratio": 0.99, "largest_step": 0.6}
NOT_ENGLISH = "the recogniser knows English only"


def figures(**others: float) -> dict[str, Reading]:
    return {name: known(value) for name, value in (ALIKE | others).items()}


def reading(errors: int | None = 0, *, of: int = 8, judge: str = "judge 1", **estimates: float) -> SpeechReading:
    readings = {"wer": unknown(NOT_ENGLISH) if errors is None else known(errors / of)}
    readings |= {name: known(value) for name, value in estimates.items()}
    return SpeechReading(
        scenario_id="s",
        launch=0,
        text="Is it ready? Turn left here.",
        language="en-us",
        audio_sha256="",
        seconds=2.0,
        readings=readings,
        words=None if errors is None else EditCounts(reference=of, substituted=errors),
        judge=judge,
    )


def test_audio_within_every_limit_with_the_same_words_is_equivalent() -> None:
    assert judge_audio(figures(), reading(), reading()).kind is SpeechKind.EQUIVALENT


@pytest.mark.parametrize(
    ("name", "different", "broken", "says"),
    [
        ("mcd", 3.0, 4.5, "mel-cepstral distortion"),
        ("mcd_peak", 4.5, 6.2, "for 100 ms"),
        ("timbre", 1.5, 3.9, "mean spectrum"),
        ("duration_ratio", 0.93, 0.8, "as long as the original"),
        ("duration_ratio", 1.07, 2.1, "as long as the original"),
    ],
)
def test_audio_beyond_a_limit_of_similarity_is_different_or_broken(
    name: str, different: float, broken: float, says: str
) -> None:
    for value, kind in ((different, SpeechKind.DIFFERENT), (broken, SpeechKind.BROKEN)):
        found = judge_audio(figures(**{name: value}), reading(), reading())
        assert found.kind is kind
        assert says in found.reason


def test_a_peak_is_broken_only_where_it_stands_out_from_even_noise() -> None:
    assert judge_audio(figures(mcd=1.5, mcd_peak=6.2), reading(), reading()).kind is SpeechKind.BROKEN
    assert judge_audio(figures(mcd=4.0, mcd_peak=6.2), reading(), reading()).kind is SpeechKind.DIFFERENT


def test_samples_that_overflow_are_broken() -> None:
    assert judge_audio(figures(largest_step=1.95), reading(), reading()).kind is SpeechKind.BROKEN


@pytest.mark.parametrize(
    ("errors", "original", "kind"),
    [
        (2, 0, SpeechKind.BROKEN),
        (1, 0, SpeechKind.DIFFERENT),
        (2, 2, SpeechKind.EQUIVALENT),
        (0, 2, SpeechKind.EQUIVALENT),
        (4, 2, SpeechKind.BROKEN),
    ],
)
def test_only_errors_beyond_those_of_the_original_count(errors: int, original: int, kind: SpeechKind) -> None:
    assert judge_audio(figures(), reading(errors), reading(original)).kind is kind


def test_two_lost_words_of_a_long_text_are_different_and_not_broken() -> None:
    assert judge_audio(figures(), reading(2, of=40), reading(0, of=40)).kind is SpeechKind.DIFFERENT


def test_words_do_not_count_if_the_recogniser_does_not_understand_the_original() -> None:
    found = judge_audio(figures(), reading(8), reading(6))
    assert found == Answer(kind=SpeechKind.UNKNOWN, reason="the recogniser does not understand the original")


@pytest.mark.parametrize(("points", "kind"), [(0.2, "equivalent"), (0.6, "different"), (1.2, "broken")])
@pytest.mark.parametrize("name", ["dnsmos_overall", "dnsmos_p808"])
def test_an_estimate_below_that_of_the_original_is_different_or_broken(name: str, points: float, kind: str) -> None:
    ours, theirs = reading(**{name: 3.5 - points}), reading(**{name: 3.5})
    assert judge_audio(figures(), ours, theirs).kind == kind
    assert judge_audio(figures(), theirs, ours).kind is SpeechKind.EQUIVALENT


def test_noise_of_the_original_widens_the_limits_of_similarity() -> None:
    noisy = figures(mcd=4.0, mcd_peak=7.0)
    assert judge_audio(noisy, reading(), reading()).kind is SpeechKind.BROKEN
    assert judge_audio(noisy, reading(), reading(), own_mcd=1.1).kind is SpeechKind.EQUIVALENT


def test_without_a_judge_the_quality_is_unknown_for_the_reason_given() -> None:
    found = judge_audio(figures(), None, None, missing="faster-whisper is not installed")
    assert found == Answer(kind=SpeechKind.UNKNOWN, reason="faster-whisper is not installed")


def test_in_another_language_the_sound_alone_finds_what_is_broken() -> None:
    assert judge_audio(figures(), reading(None), reading(None)) == Answer(kind=SpeechKind.UNKNOWN, reason=NOT_ENGLISH)
    assert judge_audio(figures(mcd=9.0), reading(None), reading(None)).kind is SpeechKind.BROKEN


def test_the_same_audio_is_equivalent_whatever_the_judge_knows() -> None:
    same = figures(mcd=0.0, mcd_peak=0.0, timbre=0.0, duration_ratio=1.0)
    assert judge_audio(same, None, None, missing="no judge").kind is SpeechKind.EQUIVALENT


def test_readings_of_two_judges_are_not_compared() -> None:
    found = judge_audio(figures(), reading(5), reading(0, judge="judge 2"))
    assert (found.kind, "different tools" in found.reason) == (SpeechKind.UNKNOWN, True)


def test_a_scenario_is_what_its_worst_audio_is() -> None:
    equivalent, unknown_, different, broken = (Answer(kind=SpeechKind(each)) for each in (
        "equivalent", "unknown", "different", "broken",
    ))  # fmt: skip
    assert worst_of({0: equivalent, 1: broken}) is broken
    assert worst_of({0: different, 1: unknown_}) is different
    assert worst_of({0: equivalent, 1: unknown_}) is unknown_


SPOKEN = {
    "duration_ratio": 1.08, "timbre": 0.4, "timbre_peak": 2.0, "pitch": -0.4, "pitch_spread": 1.1, "pause": 0.1,
    "opening_rate": 0.95, "opening_loudness": 1.0, "largest_step": 0.6, "mcd": 6.0, "mcd_peak": 12.0,
}  # fmt: skip
"""Of joined speech, with the distances of frames that say nothing of it."""


def joined(**others: float) -> dict[str, Reading]:
    return {name: known(value) for name, value in (SPOKEN | others).items()}


def test_joined_speech_is_equivalent_whatever_the_distance_of_its_frames() -> None:
    assert judge_audio(joined(), reading(), reading(), joined=True).kind is SpeechKind.EQUIVALENT
    assert judge_audio(joined(), reading(), reading()).kind is SpeechKind.BROKEN


@pytest.mark.parametrize("name", JOINED)
def test_joined_speech_beyond_a_limit_is_different_or_broken(name: str) -> None:
    span = JOINED[name]
    for bounds, kind in ((span.different, SpeechKind.DIFFERENT), (span.broken, SpeechKind.BROKEN)):
        for value in (bounds[0] - 0.01, bounds[1] + 0.01):
            if value < 0 <= bounds[0] or math.isinf(value):
                continue
            found = judge_audio(joined(**{name: value}), reading(), reading(), joined=True)
            assert (found.kind, found.reason) == (kind, span.clause.format(Figure(value)))


@pytest.mark.parametrize(("errors", "kind"), [(1, SpeechKind.DIFFERENT), (2, SpeechKind.BROKEN)])
def test_words_lost_at_a_join_count_as_any_others(errors: int, kind: SpeechKind) -> None:
    assert judge_audio(joined(), reading(errors), reading(), joined=True).kind is kind


def test_joined_speech_without_readings_is_unknown_unless_it_is_the_same_audio() -> None:
    assert judge_audio(joined(), None, None, missing="no judge", joined=True).kind is SpeechKind.UNKNOWN
    same = joined(timbre_peak=0.0, duration_ratio=1.0)
    assert judge_audio(same, None, None, missing="no judge", joined=True).kind is SpeechKind.EQUIVALENT
