"""How scenarios are named for people: by what tells them apart; what they all share is stated once."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache

from harness.core.records.run import Concluded
from harness.core.records.scenario import Scenario
from reports.text.format import arm_parts, request_parts

Key = tuple[str, str]
"""Scenario id and metric."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Label:
    """A scenario's name: what it asks for, of which arm ("" where there is but one), and its id."""

    what: str
    arm: str
    id: str

    @property
    def full(self) -> str:
        """Both parts in running text."""
        return f"{self.what} on {self.arm}" if self.arm else self.what


@dataclass(frozen=True, slots=True, kw_only=True)
class Names:
    """The labels of some scenarios by id, in their order, and what all of them have in common.

    `starts` are those that measure a start-up.
    """

    labels: Mapping[str, Label]
    common: str
    starts: frozenset[str]

    def of(self, scenario_id: str) -> Label:
        """The label of a scenario, also of one that is not among them."""
        return self.labels.get(scenario_id) or Label(what=scenario_id, arm="", id=scenario_id)


@lru_cache(maxsize=16)  # one run after the other has the same scenarios
def names(scenarios: tuple[Scenario, ...]) -> Names:
    """Labels that leave out what two or more scenarios all share; the model, the text and the mode always stay."""
    arms = [set(arm_parts(each)[1:]) for each in scenarios]
    requests = [set(request_parts(each)[2:]) for each in scenarios if not each.mode.is_start_up]
    shared = set.intersection(*arms) if len(arms) > 1 else set()
    asked = set.intersection(*requests) if len(requests) > 1 else set()
    first_arm = arm_parts(scenarios[0]) if scenarios else ()
    first_request = next((request_parts(each) for each in scenarios if not each.mode.is_start_up), ())
    one_model = len(scenarios) > 1 and len({arm_parts(each) for each in scenarios}) == 1
    common = [part for index, part in enumerate(first_arm) if (index == 0 and one_model) or (index and part in shared)]
    return Names(
        labels={each.id: _label(each, shared=shared, asked=asked, one_model=one_model) for each in scenarios},
        common=", ".join([*common, *(part for part in first_request[2:] if part in asked)]),
        starts=frozenset(each.id for each in scenarios if each.mode.is_start_up),
    )


def names_of(data: Concluded) -> Names:
    """The labels of a run's scenarios."""
    return names(data.run.scenarios)


def _label(scenario: Scenario, *, shared: set[str], asked: set[str], one_model: bool) -> Label:
    arm, request = arm_parts(scenario), request_parts(scenario)
    return Label(
        what=", ".join((*request[:2], *(part for part in request[2:] if part not in asked))),
        arm="" if one_model else " · ".join((arm[0], *(part for part in arm[1:] if part not in shared))),
        id=scenario.id,
    )
