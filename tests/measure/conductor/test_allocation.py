"""Where the time of a run goes that cannot measure every scenario in every block."""

import math
from collections import Counter

import pytest

from harness.core.clock import SCRIPTED_EPOCH
from harness.plan.matrix import LaunchPolicy
from tests.measure.conducting import FOUR, LATENCY_MS, Played, brief, perform, plan

BY_COST = LaunchPolicy(by_cost=True)
SHARE = math.sqrt(
    sum(cost for (_, text), cost in LATENCY_MS.items() if text == "short")
    / sum(cost for (_, text), cost in LATENCY_MS.items() if text == "long")
)


def counts(played: Played) -> Counter[str]:
    return Counter(brief(name) for event in played.blocks for name in event.block.order)


@pytest.mark.parametrize("budget_s", [60.0, 100.0, 200.0])
def test_repetitions_go_by_the_inverse_root_of_their_cost(budget_s: float) -> None:
    played = perform(plan(blocks=200, launches=3, budget_s=budget_s, launch_policy=BY_COST))
    found = counts(played)
    assert found["fp32 long"] == found["8bit long"]
    assert found["fp32 short"] == found["8bit short"] == len(played.blocks)
    assert found["fp32 long"] == pytest.approx(SHARE * len(played.blocks), abs=3)  # three first blocks have all
    spent_s = played.blocks[-1].block.started_at + played.blocks[-1].block.wall_ns / 1e9 - SCRIPTED_EPOCH
    assert budget_s - 1.5 * sum(LATENCY_MS.values()) / 1e3 <= spent_s <= budget_s


def test_the_first_block_of_each_launch_measures_everything_and_every_block_both_arms() -> None:
    played = perform(plan(blocks=200, launches=3, budget_s=100.0, launch_policy=BY_COST))
    first: dict[int, set[str]] = {}
    for event in played.blocks:
        names = {brief(name) for name in event.block.order}
        first.setdefault(event.block.launch, names)
        assert {name.split()[1] for name in names if "fp32" in name} == {
            name.split()[1] for name in names if "8bit" in name
        }
        assert [each.scenario_id for each in event.repetitions] == list(event.block.order)
    assert list(first.values()) == [{brief(each.id) for each in FOUR}] * 3


def test_where_all_blocks_fit_every_block_measures_everything() -> None:
    played = perform(plan(blocks=5, launches=2, launch_policy=BY_COST))
    assert set(counts(played).values()) == {10}


def test_the_blocks_of_a_duel_are_whole() -> None:
    played = perform(plan(blocks=200, launches=2, budget_s=60.0))
    assert len(set(counts(played).values())) == 1
