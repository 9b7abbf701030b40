"""Which texts of an arm a replay can decide within its budget: the cheapest first."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from statistics import median

from harness.core.records.repetition import Phase
from harness.core.records.run import RunData
from harness.core.records.scenario import Scenario

FEWEST_LAUNCHES, FEWEST_PAIRS = 2, 3
"""With fewer of them no replay begins. So few find a large change only, but the time is there."""
MARGIN = 1.25
ENOUGH_LAUNCHES, ENOUGH_PAIRS = 4, 12
"""A further text is added only if every text then has about so many."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Costs:
    """Durations (s) as the run itself has seen them: a pair of each scenario, and a launch of both arms without it."""

    pairs: Mapping[Scenario, float]
    loading_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Affordable:
    """The scenarios to measure, and for each of the others the replay's budget (s) that it would need."""

    scenarios: tuple[Scenario, ...]
    needed_s: Mapping[Scenario, float]


def costs_of(scenarios: tuple[Scenario, ...], data: RunData) -> Costs:
    """What the scenarios of one arm cost in a replay, by the run's own repetitions, blocks and launches."""
    taken: dict[str, list[float]] = {}
    for each in data.repetitions:
        if each.phase is Phase.MEASURED and each.outcome.valid:
            taken.setdefault(each.scenario_id, []).append(each.end_ns / 1e9)
    latency = {name: median(found) for name, found in taken.items()}
    walls = [
        block.wall_ns / 1e9 / asked
        for block in data.blocks
        if (asked := sum(latency.get(scenario_id, 0.0) for scenario_id in block.order))
    ]
    overhead = max(1.0, median(walls)) if walls else 1.0
    arms = {scenario.arm.id for scenario in scenarios}
    loads = [
        sum(part.ns for part in launch.parts) / 1e9
        for launch in data.launches
        if launch.arm_id in arms and launch.outcome.valid and not launch.dedicated
    ]
    return Costs(
        pairs={each: 2 * latency[each.id] * overhead for each in scenarios if each.id in latency},
        loading_s=2 * median(loads) if loads else 0.0,
    )


def affordable(costs: Costs, *, budget_s: float, warmups: int) -> Affordable:
    """The scenarios that a replay of `budget_s` can decide: the cheapest, and more while all get enough pairs."""
    ordered = sorted(costs.pairs, key=lambda each: (costs.pairs[each], each.id))
    chosen: list[Scenario] = []
    needed: dict[Scenario, float] = {}
    for number, scenario in enumerate(ordered):
        block_s = sum(costs.pairs[each] for each in ordered[: number + 1])
        launch_s = costs.loading_s + warmups * block_s
        if number:
            # Launches may take more than half of the budget of a duel in slices.
            wanted_s = max(ENOUGH_LAUNCHES * launch_s + ENOUGH_PAIRS * block_s, 2 * ENOUGH_PAIRS * block_s)
        else:
            wanted_s = FEWEST_LAUNCHES * launch_s + FEWEST_PAIRS * block_s
        if wanted_s <= budget_s:
            chosen.append(scenario)
        else:
            needed[scenario] = wanted_s
    return Affordable(scenarios=tuple(chosen), needed_s=needed)


def whole_budget(needed_s: float, *, replays: int, share: float) -> int:
    """The run's budget (s, in tens) of which each of `replays` replays gets `needed_s`; `share` is that of all.

    With a margin, because the run's own values and the durations of pairs take more time on some days.
    """
    return math.ceil(MARGIN * needed_s * replays / share / 10) * 10
