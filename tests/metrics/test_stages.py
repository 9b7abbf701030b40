from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.core.records.repetition import StageMark
from harness.metrics.stages import StageTimes, inference_ns, stage_times


def times(made: Any, *stages: tuple[str, int, int], chunk: int, end: int) -> StageTimes | str:
    marks = made.repetition(stages=stages).stages
    return stage_times(marks, last_chunk_ns=chunk * 1_000_000, total_ns=end * 1_000_000)


def in_ms(result: StageTimes | str) -> tuple[float, ...]:
    assert isinstance(result, StageTimes)
    return tuple(ns / 1_000_000 for ns in (result.phonemise, result.inference, result.postprocess, result.rest))


def test_what_follows_a_run_is_postprocessing(made: Any) -> None:
    # 10 ms splitting, 20 phonemise, 5 styles, 300 run, 15 trim, 200 run, 30 join, 20 until the end of the answer.
    result = times(made, ("phonemise", 10, 30), ("inference", 35, 335), ("inference", 350, 550), chunk=580, end=600)
    assert in_ms(result) == (20, 500, 15 + 30, 10 + 5 + 20)


def test_before_the_next_text_is_phonemised_too(made: Any) -> None:
    result = times(
        made,
        ("phonemise", 0, 10),
        ("inference", 10, 110),
        ("phonemise", 120, 130),
        ("inference", 130, 230),
        chunk=235,
        end=235,
    )
    assert in_ms(result) == (20, 200, 10 + 5, 0)


def test_explicit_marks_are_taken_as_they_are(made: Any) -> None:
    result = times(made, ("phonemise", 0, 10), ("inference", 10, 110), ("postprocess", 115, 125), chunk=140, end=150)
    assert in_ms(result) == (10, 100, 10, 30)


def test_after_a_last_phonemising_comes_the_rest(made: Any) -> None:
    assert in_ms(times(made, ("inference", 0, 50), ("phonemise", 60, 70), chunk=90, end=100)) == (10, 50, 10, 30)


def test_a_chunk_that_came_before_the_run_ended_has_no_postprocessing(made: Any) -> None:
    assert in_ms(times(made, ("inference", 0, 50), chunk=40, end=60)) == (0, 50, 0, 10)


@pytest.mark.parametrize(
    ("stages", "reason"),
    [
        ((), "the engine marks no stages"),
        ((("inference", 0, 50), ("inference", 49, 80)), "stages overlap"),
        ((("inference", 0, 80), ("phonemise", 10, 20)), "stages overlap"),
        ((("inference", -1, 50),), "stages reach beyond the repetition"),
        ((("inference", 50, 101),), "stages reach beyond the repetition"),
    ],
)
def test_where_there_are_no_shares(made: Any, stages: tuple[tuple[str, int, int], ...], reason: str) -> None:
    result = times(made, *stages, chunk=90, end=100)
    assert isinstance(result, str)
    assert result.startswith(reason)


def test_no_time_has_no_shares() -> None:
    mark = StageMark(stage="inference", start_ns=0, end_ns=0)
    assert stage_times([mark], last_chunk_ns=0, total_ns=0) == "it took no time"


def test_sessions_side_by_side_add_up(made: Any) -> None:
    stages = made.repetition(stages=(("inference", 0, 50), ("inference", 10, 70), ("phonemise", 0, 5))).stages
    assert inference_ns(stages) == 110_000_000
    assert inference_ns(()) is None


@given(
    st.lists(
        st.tuples(
            st.sampled_from(["phonemise", "inference", "postprocess", "other"]),
            st.integers(0, 10**9),
            st.integers(0, 10**9),
        ),
        min_size=1,
        max_size=10,
    ),
    st.integers(0, 10**9),
    st.integers(1, 10**9),
    st.booleans(),
)
def test_shares_add_up_to_1(
    stretches: list[tuple[str, int, int]],
    to_chunk: int,
    to_end: int,
    implicit: bool,  # noqa: FBT001 - drawn
) -> None:
    now, marks = 0, []
    for stage, before, length in stretches:
        if implicit and stage == "postprocess":
            continue
        marks.append(StageMark(stage=stage, start_ns=now + before, end_ns=now + before + length))
        now += before + length
    if all(mark.stage == "other" for mark in marks):
        return
    total = now + to_chunk + to_end
    result = stage_times(marks, last_chunk_ns=now + to_chunk, total_ns=total)
    assert isinstance(result, StageTimes)
    assert result.total == total
    assert min(result.phonemise, result.inference, result.postprocess, result.rest) >= 0
    shares = result.shares()
    assert list(shares) == ["phonemise", "inference", "postprocess", "rest"]
    assert sum(shares.values()) == pytest.approx(1.0, rel=0, abs=4e-16)
    assert all(0 <= share <= 1 for share in shares.values())


def test_connecting_is_no_stage_of_the_synthesis() -> None:
    marks = [StageMark(stage="connect", start_ns=0, end_ns=5)]
    assert stage_times(marks, last_chunk_ns=10, total_ns=10) == "the engine marks no stages"
