import numpy as np
import pytest

from harness.analysis.advice.additive import against_base

TRUE = {"a": -0.20, "b": -0.02, "c": 0.00, "d": 0.10}


def blocks(names: str, *, moments: list[float], luck: dict[str, float] | None = None) -> list[dict[str, float]]:
    """Blocks without noise: the arm's effect, the moment's, and the luck that the arms of a round had. Base: ""."""
    given = {"": 0.0, **{name: TRUE[name] for name in names}}
    return [{arm: size + moment + (luck or {}).get(arm, 0.0) for arm, size in given.items()} for moment in moments]


def test_without_noise_the_effects_are_exact_whatever_the_moments_were() -> None:
    found = against_base(blocks("abcd", moments=[0.0, 0.7, -0.4]), base="")
    assert found == pytest.approx(TRUE)


def test_a_round_in_which_the_base_was_slow_makes_nothing_look_fast() -> None:
    first = blocks("abcd", moments=[0.0] * 3, luck={"": 0.12})
    later = blocks("ab", moments=[0.3] * 60)
    alone, together = against_base(first, base=""), against_base([*first, *later], base="")
    assert alone["c"] == pytest.approx(-0.12)
    assert together["a"] == pytest.approx(TRUE["a"], abs=0.01)
    assert together["c"] == pytest.approx(TRUE["c"], abs=0.01)
    assert together["d"] == pytest.approx(TRUE["d"], abs=0.01)


def test_one_slow_value_does_not_decide() -> None:
    rng = np.random.default_rng(1)
    noisy = [
        {arm: value + rng.normal(0, 0.01) for arm, value in each.items()} for each in blocks("ab", moments=[0] * 9)
    ]
    noisy[4]["a"] += 3.0
    assert against_base(noisy, base="")["a"] == pytest.approx(TRUE["a"], abs=0.02)


def test_gaussian_noise_gives_the_precision_of_least_squares() -> None:
    rng = np.random.default_rng(2)
    found = []
    for _ in range(200):
        drawn = [
            {arm: value + rng.normal(0, 0.1) for arm, value in each.items()} for each in blocks("abc", moments=[0] * 8)
        ]
        found.append(against_base(drawn, base="")["a"])
    assert np.mean(found) == pytest.approx(TRUE["a"], abs=0.012)
    assert np.std(found) == pytest.approx(0.1 * (2 / 8) ** 0.5, rel=0.15), "two means of eight values"


def test_arms_that_met_the_base_in_no_block_are_reached_through_others_or_left_out() -> None:
    shared = [{"": 0.0, "a": -0.2}, {"a": 0.3, "b": 0.4}, {"c": 1.0, "d": 2.0}]
    assert against_base(shared, base="") == pytest.approx({"a": -0.2, "b": -0.1})
    assert against_base([{"": 1.0}, {"a": 2.0}], base="") == {}
    assert against_base([], base="") == {}
