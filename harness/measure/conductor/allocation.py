"""Chooses what each block of a launch measures, when the budget has no time for all blocks in full.

The relative spread of a latency hardly depends on the length of the text, but its cost does. For equal spreads, a
number of repetitions in proportion to 1/√cost gives the smallest sum of variances for the time (Neyman 1934).
"""

import math
from collections.abc import Sequence

from harness.core.records.scenario import Scenario


class Allocation:
    """The requests of one group of arms over all launches of a run. A request is measured with every arm of the group.

    The first block of a launch measures every request, so that each launch has each value.
    """

    def __init__(self) -> None:
        self._costs_ns: dict[Scenario, int] = {}
        self._counts: dict[str, int] = {}

    def cost_s(self, scenarios: Sequence[Scenario]) -> float:
        """Seconds for one repetition of each of `scenarios`, as the latest took; 0 for one that never ran."""
        return sum(self._costs_ns.get(scenario, 0) for scenario in scenarios) / 1e9

    def add(self, scenario: Scenario, cost_ns: int) -> None:
        """Record that all repetitions of `scenario` in a block took `cost_ns`."""
        self._costs_ns[scenario] = cost_ns

    def due(self, scenarios: Sequence[Scenario], *, in_full: bool) -> list[Scenario]:
        """Those of `scenarios` that the next block measures, in their order; all of them with `in_full`.

        The cheapest request is in every block. Another one is, if it is behind its share of the blocks so far.
        """
        requests: dict[str, list[Scenario]] = {}
        for scenario in scenarios:
            requests.setdefault(scenario.request, []).append(scenario)
        costs = {request: self.cost_s(arms) / len(arms) for request, arms in requests.items()}
        chosen = set(requests) if in_full or not all(costs.values()) else self._behind(costs)
        return [scenario for scenario in scenarios if scenario.request in chosen]

    def count(self, scenarios: Sequence[Scenario]) -> None:
        for request in {scenario.request for scenario in scenarios}:
            self._counts[request] = self._counts.get(request, 0) + 1

    def _behind(self, costs: dict[str, float]) -> set[str]:
        """The requests that are at or behind their share of the cheapest request's repetitions after the next block."""
        cheapest = min(costs, key=lambda request: costs[request])
        blocks = self._counts.get(cheapest, 0) + 1
        shares = {request: math.sqrt(costs[cheapest] / cost) for request, cost in costs.items()}
        return {request for request, share in shares.items() if self._counts.get(request, 0) + 0.5 <= share * blocks}
