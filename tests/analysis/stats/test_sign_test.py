import pytest
from scipy.stats import binomtest

from harness.analysis.stats.sign_test import Symmetry, symmetry
from harness.core.records.verdict import Estimate, Verdict, VerdictKind


def verdict(scenario: str, point: float | None, metric: str = "latency") -> Verdict:
    change = None
    if point is not None:
        change = Estimate(point=point, low=point - 1, high=point + 1, level=0.95, method="", n=3, launches=3)
    return Verdict(
        scenario_id=scenario, metric=metric, kind=VerdictKind.INCONCLUSIVE, reference="baseline", change=change
    )


def split(*points: float) -> Symmetry | None:
    return symmetry([verdict(str(number), point) for number, point in enumerate(points)])


def test_a_run_of_few_scenarios_has_no_lean_to_speak_of() -> None:
    assert split(*[0.01] * 7) is None
    assert symmetry([verdict(str(number), None) for number in range(20)]) is None


def test_an_even_split_is_what_chance_gives() -> None:
    found = split(*[0.01, -0.02] * 5)
    assert found is not None
    assert (found.worse, found.better, found.chance, found.is_skewed) == (5, 5, 1.0, False)
    assert found.sentence() == (
        "symmetry: 5 of 10 scenarios point to the worse, 5 to the better, which chance explains (sign test: p = 1)"
    )


@pytest.mark.parametrize(("worse", "better"), [(0, 8), (3, 5), (4, 5), (12, 9), (60, 40), (900, 700)])
def test_the_chance_is_that_of_the_exact_binomial_test(worse: int, better: int) -> None:
    found = split(*[0.01] * worse, *[-0.01] * better)
    assert found is not None
    assert found.chance == pytest.approx(binomtest(worse, worse + better).pvalue, rel=1e-9)


@pytest.mark.parametrize(("sign", "side"), [(1, "worse"), (-1, "better")])
def test_a_run_that_points_one_way_leans_however_little_its_scenarios_moved(sign: int, side: str) -> None:
    found = split(*[sign * 0.0011] * 10)
    assert found is not None
    # Two tails of a fair coin thrown ten times.
    assert found.chance == pytest.approx(2 / 2**10)
    assert found.is_skewed
    assert f"the run as a whole is {side}" in found.sentence()


def test_a_scenario_has_one_voice_however_many_metrics_it_has() -> None:
    many = [verdict("loud", 0.01, metric=str(number)) for number in range(50)]
    found = symmetry([*many, *(verdict(str(number), -0.01) for number in range(7))])
    assert found is not None
    assert (found.worse, found.better) == (1, 7)


@pytest.mark.parametrize("still", [0.0, 0.0009, -0.0009])
def test_what_did_not_move_points_nowhere(still: float) -> None:
    found = split(*[still] * 10, *[0.01] * 4, *[-0.01] * 4)
    assert found is not None
    assert (found.worse, found.better) == (4, 4)
