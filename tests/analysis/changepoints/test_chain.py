"""Ratios to accepted references, linked over acceptances, and the stretches of a line that are searched."""

import math

import pytest

from harness.analysis.changepoints.chain import LinePoint, chains, ratio_to_reference, stretches
from harness.analysis.changepoints.incremental import steps_of
from harness.core.records.verdict import REPLAYED, Estimate, Verdict, VerdictKind


def line(*ratios: tuple[str, float] | None, value: float = 2.0) -> list[LinePoint]:
    """Runs "0", "1", …, each with its accepted run and the ratio to it, or with neither."""
    return [
        LinePoint(run_id=str(place), value=value, accepted=each[0], ratio=each[1])
        if each
        else LinePoint(run_id=str(place), value=value)
        for place, each in enumerate(ratios)
    ]


def rounded(chain: dict[int, float]) -> dict[int, float]:
    return {place: round(level, 9) for place, level in chain.items()}


class TestChains:
    def test_an_acceptance_links_the_next_ratios_to_the_ones_before(self) -> None:
        (chain,) = chains(line(None, ("0", 0.0), ("0", 0.1), ("2", 0.0), ("2", 0.05)))
        assert rounded(chain) == {0: 0.0, 1: 0.0, 2: 0.1, 3: 0.1, 4: 0.15}

    def test_a_run_that_was_accepted_without_a_ratio_begins_a_new_chain(self) -> None:
        found = chains(line(None, ("0", 0.1), None, ("2", 0.2)))
        assert [rounded(chain) for chain in found] == [{0: 0.0, 1: 0.1}, {2: 0.0, 3: 0.2}]

    def test_a_return_to_an_earlier_reference_goes_on_with_its_chain(self) -> None:
        (chain,) = chains(line(None, ("0", 0.1), ("1", 0.1), ("0", 0.0)))
        assert rounded(chain) == {0: 0.0, 1: 0.1, 2: 0.2, 3: 0.0}

    def test_a_reference_of_another_machine_has_no_place_in_the_line(self) -> None:
        (chain,) = chains(line(("elsewhere", 0.1), ("elsewhere", 0.0)))
        assert rounded(chain) == {0: 0.1, 1: 0.0}


class TestStretches:
    def test_without_a_measured_ratio_the_whole_line_is_one_stretch_of_its_values(self) -> None:
        points = [*line(*[("0", 0.0)] * 12), LinePoint(run_id="none", value=None)]
        (stretch,) = stretches(points)
        assert stretch.places == tuple(range(12))
        assert set(stretch.values) == {2.0}
        assert stretches([]) == []

    def test_a_chain_is_searched_in_place_of_the_values_and_what_lies_outside_as_it_was(self) -> None:
        ratios = [None] * 20 + [("19", 0.1 if place >= 30 else 0.0) for place in range(20, 40)] + [None] * 10
        before, chain, after = stretches(line(*ratios))
        assert before.places == tuple(range(24)), "the first runs of the chain are too few before a step in it"
        assert chain.places == tuple(range(19, 40))
        assert chain.values[0] == 1.0
        assert math.isclose(chain.values[-1], math.exp(0.1))
        assert after.places == tuple(range(35, 50))

    def test_a_chain_that_is_too_short_for_a_search_changes_nothing(self) -> None:
        ratios = [None] * 20 + [("19", 0.1)] * 8
        (stretch,) = stretches(line(*ratios))
        assert stretch.places == tuple(range(28))

    def test_steps_that_were_accepted_one_by_one_add_up(self) -> None:
        """Each of 2 % is below the tolerance of every acceptance; the levels of the chain show all of it."""
        ratios: list[tuple[str, float] | None] = [None]
        for place in range(1, 40):
            reference = 10 * (place // 10)
            ratios.append((str(reference), 0.0) if place % 10 else (str(reference - 10), 0.02))
        (stretch,) = stretches(line(*ratios))
        assert math.isclose(stretch.values[-1], math.exp(0.06))
        assert [step.index for step in steps_of(stretch.values)] == [10, 20, 30]


@pytest.mark.parametrize(
    ("metric", "kind", "reference", "ratio"),
    [
        ("latency", VerdictKind.REGRESSED, f"{REPLAYED}r", 0.1),
        ("throughput", VerdictKind.REGRESSED, f"{REPLAYED}r", -0.1),
        ("latency", VerdictKind.REGRESSED, "baseline", None),
        ("latency", VerdictKind.SAME_SUBJECT, "", 0.0),
        ("no such metric", VerdictKind.REGRESSED, f"{REPLAYED}r", None),
    ],
)
def test_the_ratio_has_the_sign_of_the_value(
    metric: str, kind: VerdictKind, reference: str, ratio: float | None
) -> None:
    change = Estimate(point=0.1, low=0.0, high=0.2, level=0.99, method="made", n=12, launches=3)
    verdict = Verdict(scenario_id="s", metric=metric, kind=kind, reference=reference, change=change)
    assert ratio_to_reference(verdict) == ratio
