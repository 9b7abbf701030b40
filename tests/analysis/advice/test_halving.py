import pytest

from harness.analysis.advice.halving import budgets, combined, survivors


@pytest.mark.parametrize(("candidates", "parts"), [(1, 2), (2, 2), (3, 3), (4, 3), (7, 4), (8, 4), (9, 5)])
def test_the_budget_is_parted_into_the_halvings_and_the_duel(candidates: int, parts: int) -> None:
    found = budgets(candidates, budget_s=600.0)
    assert len(found) == parts
    assert sum(found) == pytest.approx(600.0)


def test_the_better_half_survives_the_best_first() -> None:
    assert survivors({"a": 0.1, "b": -0.2, "c": 0.0, "d": -0.1, "e": 0.3}) == ("b", "d")


def test_of_two_one_goes_and_one_alone_stays() -> None:
    assert survivors({"a": 0.2, "b": 0.1}) == ("b",)
    assert survivors({"a": 0.2}) == ("a",)


def test_what_could_not_be_measured_goes() -> None:
    assert survivors({"a": None, "b": None, "c": 0.5, "d": None}) == ("c",)
    assert survivors({"a": None}) == ()


def test_changes_of_different_settings_join_the_better_first() -> None:
    settings = {
        "threads=1": frozenset({"threads"}),
        "threads=2": frozenset({"threads"}),
        "arena=off": frozenset({"arena"}),
    }
    assert combined(["threads=1", "threads=2", "arena=off"], settings) == "threads=1,arena=off"
    assert combined(["threads=1", "threads=2"], settings) == ""
    assert combined(["arena=off"], settings) == ""
