"""Which texts a replay takes on, by what they cost: the cheapest first, and no more than get enough pairs."""

import pytest

from harness.core.records.scenario import Arm, Mode, Scenario
from harness.runner.replay_texts import Costs, affordable, costs_of, whole_budget
from tests.conftest import Laboratory

SHORT, MIDDLE, LONG = (
    Scenario(arm=Arm(engine="kokoro"), mode=Mode.WHOLE, text_class=text, voice="v") for text in ("a", "b", "c")
)
COSTS = Costs(pairs={LONG: 10.0, SHORT: 1.0, MIDDLE: 3.0}, loading_s=5.0)


@pytest.mark.parametrize(
    ("budget_s", "chosen"),
    # Two launches and three pairs of the shortest; then four launches and twelve pairs of all.
    [(14.0, ()), (15.0, (SHORT,)), (95.0, (SHORT,)), (96.0, (SHORT, MIDDLE)), (336.0, (SHORT, MIDDLE, LONG))],
)
def test_as_many_texts_as_get_enough_pairs(budget_s: float, chosen: tuple[Scenario, ...]) -> None:
    found = affordable(COSTS, budget_s=budget_s, warmups=1)
    assert found.scenarios == chosen
    assert set(found.needed_s) == set(COSTS.pairs) - set(chosen)


def test_the_budget_that_is_named_suffices() -> None:
    needed = affordable(COSTS, budget_s=20.0, warmups=1).needed_s[MIDDLE]
    assert MIDDLE in affordable(COSTS, budget_s=needed, warmups=1).scenarios
    # Two replays share 55 % of it.
    whole = whole_budget(needed, replays=2, share=0.55)
    assert whole * 0.55 / 2 >= needed
    assert whole % 10 == 0


def test_costs_are_those_of_the_run_itself(lab: Laboratory) -> None:
    data = lab.run().data
    scenarios = data.run.scenarios[1:]
    costs = costs_of(scenarios, data)
    latency = {each.scenario_id: each.median for each in data.summaries if each.metric == "latency"}
    overhead = {each: costs.pairs[each] / (2 * (latency[each.id] or 0)) for each in scenarios}
    assert all(1.0 <= each < 1.5 for each in overhead.values())
    assert costs.loading_s == pytest.approx(2 * 1.4, abs=0.4)
