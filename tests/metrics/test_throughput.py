from typing import Any

import pytest

from harness.core.errors import UsageError
from harness.core.records.repetition import Outcome, OutcomeKind
from harness.metrics import throughput
from harness.metrics.throughput import Level, Window

ERROR = Outcome(kind=OutcomeKind.ERROR, reason="503")


def five(made: Any) -> list[Any]:
    """A request each second from 100.0 s on; each takes 0.5 s and brings 1 s of audio."""
    return [made.repetition(started_at=100.0 + n, chunks=((500, 1000),)) for n in range(5)]


def test_span_is_from_the_first_start_to_the_last_end(made: Any) -> None:
    repetitions = five(made)
    assert throughput.span(repetitions) == Window(start=100.0, end=104.5)
    assert throughput.span([]) == Window(start=0.0, end=0.0)
    assert Window(start=1.0, end=-1.0).seconds == 0.0


def test_an_answer_belongs_to_the_window_in_which_it_was_complete(made: Any) -> None:
    repetitions = five(made)
    first, second = Window(start=100.0, end=101.5), Window(start=101.5, end=104.5)
    assert throughput.within(repetitions, first) == tuple(repetitions[:2])
    assert throughput.within(repetitions, second) == tuple(repetitions[2:])


def test_throughput_leaves_warm_up_and_failures_out(made: Any) -> None:
    repetitions = [*five(made), made.repetition(started_at=102.0, outcome=ERROR)]
    assert throughput.throughput(repetitions, Window(start=101.0, end=104.0)).value == 3 / 3
    assert throughput.throughput(repetitions, Window(start=101.0, end=103.0)).value == 2 / 2
    assert throughput.throughput(repetitions, Window(start=101.0, end=105.0)).value == 4 / 4
    assert throughput.throughput([repetitions[-1]], Window(start=101.0, end=105.0)).value == 0.0


def test_goodput_counts_what_meets_every_target(made: Any) -> None:
    window = Window(start=100.0, end=105.0)
    good, slow = made.repetition(chunks=((500, 1000),)), made.repetition(chunks=((1500, 2000),))
    broken = made.repetition(chunks=((500, 1000),), outcome=ERROR)
    silent = made.repetition(chunks=((500, 1000),), onset_frame=None)
    targets = {"ttfa": 0.8, "rtf": 1.0, "streaming_efficiency": 0.9, "success_rate": 0.99}
    assert throughput.goodput([good, slow, broken, silent], window, targets=targets).value == 1 / 5
    assert throughput.goodput([good, slow, broken, silent], window, targets={"rtf": 1.0}).value == 3 / 5


def test_a_limit_is_not_met_by_reaching_it(made: Any) -> None:
    exact = made.repetition(chunks=((500, 500), (1000, 500)))
    assert not throughput.meets(exact, targets={"rtf": 1.0})
    assert not throughput.meets(exact, targets={"delivery_speed": 1.0})
    assert throughput.meets(exact, targets={"rtf": 1.001, "delivery_speed": 0.999})


def test_goodput_needs_targets_that_exist_and_time(made: Any) -> None:
    window = Window(start=100.0, end=105.0)
    assert throughput.goodput(five(made), window, targets={}).reason == "no targets to meet"
    empty = Window(start=100.0, end=100.0)
    assert throughput.goodput(five(made), empty, targets={"rtf": 1.0}).reason == "the window has no length"
    assert throughput.throughput(five(made), empty).reason == "the window has no length"
    with pytest.raises(UsageError, match="unknown metric 'rtff'"):
        throughput.goodput(five(made), window, targets={"rtff": 1.0})


def test_the_highest_load_has_no_failure_below_it() -> None:
    def sweep(*held: bool) -> Any:
        levels = [Level(load=2.0**n, targets_met=met) for n, met in enumerate(held)]
        return throughput.highest_sustained(levels[::-1])

    assert sweep(True, True, False, True).value == 2.0
    assert sweep(True, True).value == 2.0
    assert sweep(False, True).reason == "the targets were not all met at the lowest load"
    assert sweep().reason == "no load was tried"
