"""What a bisection answers, from probes whose truth is known."""

from collections.abc import Sequence

import pytest

from benchmarks.bisection import CASES, tally
from harness.analysis.bisection.answer import Pairs, State, estimates_of, pooled
from harness.core.records.bisection import BisectionAnswer, Known, Probe

WHOLE = 0.1


def probe(place: int, level: float, error: float = 0.004) -> Probe:
    """A probe of a place whose log-ratio to good is `level` of the whole difference."""

    def known(point: float) -> Known:
        return Known(point=point, error=error, freedom=20.0)

    return Probe(
        place=place,
        run_id=f"run-{place}",
        ratio=known(level * WHOLE),
        centred=known((level - 0.5) * WHOLE),
        whole=known(WHOLE),
        pairs=9,
        launches=3,
        seconds=30.0,
    )


def state(levels: Sequence[tuple[int, float]], *, count: int = 8, skipped: Sequence[int] = ()) -> State:
    first = Known(point=WHOLE, error=0.005, freedom=20.0)
    probes = tuple(probe(place, level) for place, level in levels)
    return State(count=count, probes=probes, first=first, skipped=skipped)


def test_one_step_is_named_with_its_size_and_share() -> None:
    found = state([(2, 0.0), (3, 0.02), (4, 0.97), (6, 1.02)]).answer()
    assert found.answer is BisectionAnswer.STEP
    (step,) = found.steps
    assert (step.before, step.after) == (3, 4)
    assert step.change.low < step.change.point < step.change.high
    assert step.change.point == pytest.approx(WHOLE, rel=0.02)
    assert step.share == pytest.approx(1.0, abs=0.02)
    assert found.confidence > 0.99
    assert len(found.changes) == 7


def test_one_probe_is_not_enough() -> None:
    found = state([(3, 0.0)]).answer()
    assert found.answer is BisectionAnswer.UNDECIDED
    assert found.confidence < 0.5


def test_skipped_places_make_a_range() -> None:
    found = state([(2, 0.0), (5, 1.0)], skipped=(3, 4)).answer()
    assert found.answer is BisectionAnswer.RANGE
    assert (found.steps[0].before, found.steps[0].after) == (2, 5)


def test_a_difference_may_be_spread_over_several_steps() -> None:
    found = state([(2, 0.0), (3, 0.5), (4, 0.51), (5, 0.49), (6, 1.0)] * 2).answer()
    assert found.answer is BisectionAnswer.SPREAD
    assert [(step.before, step.after) for step in found.steps] == [(2, 3), (5, 6)]
    assert [step.share for step in found.steps] == pytest.approx([0.5, 0.5], abs=0.02)


def test_a_change_may_come_back() -> None:
    found = state([(1, 1.0), (2, 1.0), (3, 0.0), (4, 0.0), (5, 0.0), (6, 1.0)] * 2).answer()
    assert found.answer is BisectionAnswer.CAME_BACK
    assert [step.after for step in found.steps] == [1, 3, 6]
    assert found.steps[1].change.point < 0


def test_neighbours_need_no_probe() -> None:
    found = State(count=2, first=Known(point=WHOLE, error=0.005, freedom=20.0)).answer()
    assert found.answer is BisectionAnswer.STEP
    assert found.steps[0].change.point == pytest.approx(WHOLE)


def test_a_fall_is_followed_as_a_rise_is() -> None:
    fall = State(
        count=4,
        first=Known(point=-WHOLE, error=0.005, freedom=20.0),
        probes=tuple(
            Probe(
                place=place,
                run_id="",
                ratio=Known(point=-level * WHOLE, error=0.004, freedom=20.0),
                centred=Known(point=-(level - 0.5) * WHOLE, error=0.004, freedom=20.0),
                whole=Known(point=-WHOLE, error=0.004, freedom=20.0),
                pairs=9,
                launches=3,
                seconds=1.0,
            )
            for place, level in ((1, 0.0), (2, 1.0))
        ),
    )
    assert fall.answer().answer is BisectionAnswer.STEP
    assert fall.answer().steps[0].after == 2


def test_values_that_repeat_exactly_are_certain_at_once() -> None:
    exact = state([(3, 0.0)])
    exact = State(count=8, first=Known(point=WHOLE, error=0.0, freedom=2.0), probes=())
    assert exact.is_certain(probe(4, 1.0, error=0.0))
    assert not exact.is_certain(probe(4, 0.5, error=0.2))


def test_a_place_that_is_known_exactly_is_not_measured_again_for_its_level() -> None:
    # A level of 0.37 lies between two of the model, whatever the number of probes.
    levels = ((1, 0.37), (2, 0.37), (3, 1.0))
    first = Known(point=WHOLE, error=0.005, freedom=20.0)
    found = State(count=20, probes=tuple(probe(place, level, error=0.002) for place, level in levels), first=first)
    assert found.next_place() not in (1, 2, 3)


def test_estimates_need_three_pairs() -> None:
    few = ((0.1,), (0.1,))
    assert estimates_of(Pairs(ratio=few, centred=few, whole=few), launch_inflation=1.0, launch_sd=0.0) is None


def test_exact_estimates_weigh_most() -> None:
    found = pooled([Known(point=1.0, error=0.5, freedom=3.0), Known(point=2.0, error=0.0, freedom=4.0)])
    assert found.point == pytest.approx(2.0, abs=1e-6)
    assert found.freedom == 7.0


def test_a_planted_change_is_found_in_nineteen_of_twenty() -> None:
    case = next(case for case in CASES if "2.1 %" in case.name)
    found = tally(case, count=20, seed=1)
    assert found.answers["right"] >= 19
    assert max(found.seconds) <= 900
