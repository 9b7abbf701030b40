"""Duels of arms under test with their restored references: how they share a budget, and how each is measured.

A run's replays and the duels that confirm its findings are such duels.
"""

from collections.abc import Container, Iterator, Sequence
from dataclasses import dataclass, replace

from harness.core.clock import Clock
from harness.core.records.scenario import Arm, Scenario
from harness.measure.conductor.worker_factory import ArmFiles, WorkerFactory
from harness.measure.worker.place import WorkerPlace
from harness.metrics.registry import METRICS
from harness.plan.config import Config
from harness.plan.matrix import Plan
from harness.plan.patterns import of_scenario
from harness.runner.duel import DuelAnalysis, DuelArms, DuelBudget
from harness.runner.duel_terms import both_terms, launches_known_here, why_whole, with_duel_defaults
from harness.runner.measurement import Session
from harness.runner.placement import verify_placement
from harness.runner.rebuild import UNDER_TEST, with_own_bytecode
from harness.runner.replay_preparation import Unit
from harness.runner.run_analysis import RunAnalysis, of_duel

TOLERANCE = 0.02
"""A pair's tolerance, unless the metric's own is smaller. A change of 3 % lies well beyond it, one of 5 % far."""
EFFECT = 2 * TOLERANCE


@dataclass(slots=True, kw_only=True)
class Turns:
    """Units that share a budget: at its turn each gets an equal part of the time that is left then."""

    waiting: list[Unit]
    clock: Clock
    budget_s: float
    began_ns: int

    def __iter__(self) -> Iterator[tuple[Unit, float]]:
        """Each unit with its part of the budget (s)."""
        while self.waiting:
            unit = self.waiting.pop(0)
            left_s = self.budget_s - (self.clock.now_ns() - self.began_ns) / 1e9
            yield unit, max(0.0, left_s) / (len(self.waiting) + 1)

    def again(self, unit: Unit, left_out: Container[str]) -> None:
        """Give the unit's scenarios that were left out (by their ids) another turn at the end."""
        if scenarios := tuple(each for each in unit.scenarios if each.id in left_out):
            self.waiting.append(replace(unit, scenarios=scenarios))


@dataclass(frozen=True, slots=True, kw_only=True)
class PairRun:
    """How the duel of a unit is measured and analysed. `worker_factory` starts the workers of both sides."""

    unit: Unit
    plan: Plan
    analysis: DuelAnalysis
    worker_factory: WorkerFactory

    @property
    def run_analysis(self) -> RunAnalysis:
        return of_duel(self.analysis, self.plan.run_limits.launch_policy)

    def placed(self) -> WorkerFactory:
        """The factory; it refuses an accepted arm that falls back to the CPU."""
        voices = {scenario.arm: scenario.voice for scenario in self.plan.scenarios}
        seed = self.plan.run_limits.seed + 1
        restored = [self.unit.restored.arm]
        found = verify_placement(restored, worker_factory=self.worker_factory, voices=voices, seed=seed)
        return replace(self.worker_factory, refusals=found.refusals)


def pair_run(
    session: Session,
    plan: Plan,
    unit: Unit,
    scenarios: Sequence[Scenario],
    *,
    budget_s: float,
    other_scenarios: int = 0,
    profiled: bool = False,
) -> PairRun:
    """A duel of some scenarios of a unit within a budget, made from the plan of the run.

    `other_scenarios` are those whose metrics are decided together with the duel's. `profiled`: whether changes are
    profiled afterwards, within the budget.
    """
    config = session.config
    sides = DuelArms(candidate=replace(unit.arm, side=UNDER_TEST), reference=unit.restored.arm)
    unfit = why_whole(sides) if config["slice"] else ""
    terms, otherwise = both_terms(config, launches_known_here(config), unfit=unfit)
    duel_config = with_duel_defaults(config, budget_s=budget_s, launches=terms.launches)
    run_limits = replace(
        plan.run_limits,
        budget_s=budget_s,
        launches=duel_config["launches"],
        blocks=duel_config["blocks"],
        launch_policy=terms.launch_policy,
        whole_s=None,
    )
    both = tuple(replace(scenario, arm=arm) for scenario in scenarios for arm in (sides.candidate, sides.reference))
    names = {replace(each, arm=sides.candidate).id: each.id for each in scenarios}
    analysis = DuelAnalysis(
        effect=EFFECT,
        budget=DuelBudget(s=budget_s, profiled=profiled),
        terms=terms,
        otherwise=otherwise,
        # A pattern of the user's may name an arm, and those of the duel have other ids.
        tolerance=lambda scenario_id, metric: tolerance_of(config, names[scenario_id], metric),
        other_scenarios=other_scenarios,
    )
    return PairRun(
        unit=unit,
        plan=replace(plan, scenarios=both, run_limits=run_limits),
        analysis=analysis,
        worker_factory=_pair_factory(session.resources.worker_factory, unit),
    )


def _pair_factory(usual: WorkerFactory, unit: Unit) -> WorkerFactory:
    def place(arm: Arm) -> WorkerPlace:
        return with_own_bytecode(unit.restored.place if arm == unit.restored.arm else usual.place(unit.arm))

    def files(arm: Arm) -> ArmFiles:
        return unit.restored.files if arm == unit.restored.arm else usual.files(unit.arm)

    return replace(usual, place=place, files=files)


def tolerance_of(config: Config, scenario_id: str, metric: str) -> float:
    """The tolerance (a ratio) of a pair: the user's, else smaller than of remembered values, since pairs show more."""
    own: float | None = of_scenario(config["tolerance"], scenario_id).get(metric)
    return own or min(TOLERANCE, METRICS[metric].tolerance or TOLERANCE)
