import math

import numpy as np
import pytest

from benchmarks.launch_table import ended_early
from harness.analysis.stats.precision import Precision

ASKED = Precision(half_width=0.02, launches=3)


@pytest.mark.parametrize(("blocks", "looked"), [(1, False), (5, False), (6, True), (7, False), (12, True), (18, False)])
def test_a_launch_is_looked_at_when_its_blocks_have_doubled(blocks: int, *, looked: bool) -> None:
    assert ASKED.looks_at(blocks) is looked


def test_without_a_width_nothing_is_looked_at() -> None:
    assert not any(Precision(half_width=0.0, launches=3).looks_at(blocks) for blocks in range(50))


def scattered(sd: float, *, level: float = 1.0, blocks: int = 6) -> list[float]:
    return list(level * np.exp(np.random.default_rng(3).normal(0.0, sd, blocks)))


def test_how_much_the_values_scatter_decides_and_not_where_they_lie() -> None:
    for level in (0.001, 1.0, 1e9):
        assert ASKED.reached(scattered(0.01, level=level))
        assert not ASKED.reached(scattered(0.10, level=level))


def test_more_blocks_or_more_launches_reach_what_few_did_not() -> None:
    sd = 0.03
    assert not ASKED.reached(scattered(sd))
    assert ASKED.reached(scattered(sd, blocks=48))
    assert Precision(half_width=0.02, launches=12).reached(scattered(sd))


def test_the_width_is_that_of_students_t_over_the_launchs_blocks() -> None:
    values = [0.99, 1.0, 1.0, 1.0, 1.0, 1.01]
    from harness.analysis.stats.estimate import median_estimate

    found = median_estimate((tuple(values),), level=0.95)
    assert found is not None
    half = math.log(found.high / found.low) / 2
    assert Precision(half_width=math.expm1(half) * 1.001, launches=1).reached(values)
    assert not Precision(half_width=math.expm1(half) * 0.999, launches=1).reached(values)


def test_values_about_zero_are_measured_by_their_median() -> None:
    assert ASKED.reached([-1.0, -1.001, -1.0, -0.999, -1.0, -1.0])
    assert not ASKED.reached([-1.0, 0.5, 1.0, -0.2, 0.1, 0.0])


def test_what_never_varies_and_what_was_not_measured_are_not_waited_for() -> None:
    assert ASKED.reached([5.0] * 6)
    assert ASKED.reached([])
    assert ASKED.reached([1.0])


def test_the_simulations_end_launches_as_the_rule_does() -> None:
    values = np.random.default_rng(7).normal(0.0, 0.025, (20, 3, 24))
    ended = ended_early(values)
    for run, shortened in zip(values, ended, strict=True):
        for launch, kept in zip(run, shortened, strict=True):
            looks = [n for n in range(24) if ASKED.looks_at(n) and ASKED.reached(np.exp(launch[:n]))]
            assert np.isfinite(kept).sum() == (looks[0] if looks else 24)
    assert {int(n) for n in np.isfinite(ended).sum(-1).flat} == {6, 12, 24}
