"""Steps of lines that grow: what is found of a line is the same however it has grown, and what has settled stays."""

import tracemalloc

import numpy as np
import pytest

from harness.analysis.changepoints import incremental
from harness.analysis.changepoints.detect import ALPHA, STRICTEST
from harness.analysis.changepoints.incremental import (
    SEGMENT,
    SETTLED,
    Changes,
    share_of_alpha,
    steps_of,
    steps_of_lines,
)


def line(seed: int, *steps: tuple[int, float], runs: int = 260, sd: float = 0.02) -> list[float]:
    """Medians with noise, and with steps: the first run at the new level, and by how many per cent."""
    logs = np.random.default_rng(seed).normal(0.0, sd, runs)
    for at, per_cent in steps:
        logs[at:] += np.log1p(per_cent / 100)
    return [float(value) for value in 0.4 * np.exp(logs)]


def places(changes: Changes) -> list[int]:
    return [change.index for change in changes]


def test_every_step_of_a_long_history_is_found_once() -> None:
    found = steps_of(line(1, (30, 8), (120, -10), (240, 20)), alpha=STRICTEST)
    assert places(found) == pytest.approx([30, 120, 240], abs=2)
    assert [change.size for change in found] == pytest.approx(np.log([1.08, 0.9, 1.2]), abs=0.02)
    assert (found[1].low < np.log(0.9) < found[1].high, found[1].before > 50) == (True, True)


@pytest.mark.parametrize("steps", [(), ((70, 8),), ((98, 12), (150, -12)), ((40, 5), (44, -5), (201, 9))])
def test_a_line_that_grew_run_by_run_has_the_steps_of_one_that_is_there_at_once(
    steps: tuple[tuple[int, float], ...],
) -> None:
    values = line(2, *steps)
    known: dict[str, Changes] = {}
    for runs in (5, 40, 49, 50, 51, 74, 99, 101, 149, 150, 151, 152, 199, 200, 226, len(values)):
        kept: dict[str, Changes] = {}
        (found,) = steps_of_lines([values[:runs]], known=known, kept=kept)
        assert found == steps_of(values[:runs])
        known = kept
    assert len(known) <= 3


def test_of_a_line_with_a_run_more_only_what_has_not_settled_is_searched(monkeypatch: pytest.MonkeyPatch) -> None:
    searched: list[int] = []
    detector = incremental.change_points_of

    def spy(series: list[list[float]], **options: float) -> object:
        searched.extend(len(each) for each in series)
        return detector(series, **options)

    monkeypatch.setattr(incremental, "change_points_of", spy)
    values = line(3, (120, 10), runs=231)
    known: dict[str, Changes] = {}
    (before,) = steps_of_lines([values[:230]], known={}, kept=known)
    assert len(searched) == 5
    searched.clear()
    (after,) = steps_of_lines([values], known=known)
    assert places(after) == places(before)
    assert searched == [231 - after[-1].index]
    steps_of_lines([values[:230]], known=known)
    assert len(searched) == 1


def test_a_settled_step_stays_whatever_follows() -> None:
    values = line(4, (60, 8), runs=300)
    settled = places(steps_of(values[: 2 * SEGMENT]))
    assert settled == pytest.approx([60], abs=2)
    assert settled[0] <= 2 * SEGMENT - SETTLED
    for runs in range(2 * SEGMENT, len(values), 30):
        assert places(steps_of([*values[:runs], *line(5, (10, 40), runs=40)]))[:1] == settled


def test_alpha_is_shared_as_far_as_it_can_be_told_from_nothing() -> None:
    assert share_of_alpha(0) == share_of_alpha(1) == ALPHA
    assert share_of_alpha(4) == ALPHA / 4
    assert share_of_alpha(300) == STRICTEST


def test_no_line_and_an_empty_line_have_no_steps() -> None:
    assert steps_of_lines([]) == []
    assert steps_of([]) == ()


def test_search_of_a_line_that_grows_holds_little() -> None:
    """Each night has a length of its own, which the next one does not need."""
    whole = line(3, runs=200)
    steps_of(whole[:30], alpha=ALPHA)
    tracemalloc.start()
    try:
        for runs in range(40, 200, 4):
            steps_of(whole[:runs], alpha=ALPHA)
        held, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert held < 8_000_000
