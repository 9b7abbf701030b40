"""The pairs of an arm under test with its restored reference: their plan and analysis, and what starts their workers.

A run's replays and the duels that confirm its findings are measured with them.
"""

from collections.abc import Sequence
from dataclasses import replace

from harness.core.records.scenario import Arm, Scenario
from harness.measure.conductor.worker_factory import ArmFiles, WorkerFactory
from harness.measure.worker.place import WorkerPlace
from harness.metrics.registry import METRICS
from harness.plan.config import Config
from harness.plan.matrix import Plan
from harness.plan.patterns import of_scenario
from harness.runner.duel import DuelAnalysis, DuelArms, why_whole
from harness.runner.duel_terms import both_terms, launches_known_here, with_duel_defaults
from harness.runner.placement import verify_placement
from harness.runner.rebuild import UNDER_TEST, with_own_bytecode
from harness.runner.replay_preparation import Unit

TOLERANCE = 0.02
"""A pair's tolerance, unless the metric's own is smaller. A change of 3 % lies well beyond it, one of 5 % far."""
EFFECT = 2 * TOLERANCE


def sides_of(unit: Unit) -> DuelArms:
    """The two arms of a unit's duel."""
    return DuelArms(candidate=replace(unit.arm, side=UNDER_TEST), reference=unit.restored.arm)


def pair_plan(
    config: Config,
    plan: Plan,
    sides: DuelArms,
    scenarios: Sequence[Scenario],
    *,
    budget_s: float,
    other_scenarios: int = 0,
) -> tuple[Plan, DuelAnalysis]:
    """The plan of a duel of `scenarios` within a budget, made from that of the run, and its analysis.

    `other_scenarios` are those whose metrics are decided together with the duel's.
    """
    unfit = why_whole(sides) if config["slice"] else ""
    terms, otherwise = both_terms(config, launches_known_here(config), unfit=unfit)
    duel_config = with_duel_defaults(config, budget_s=budget_s, launches=terms.launches)
    run_limits = replace(
        plan.run_limits,
        budget_s=budget_s,
        launches=duel_config["launches"],
        blocks=duel_config["blocks"],
        launch_policy=terms.launch_policy,
    )
    both = tuple(replace(scenario, arm=arm) for scenario in scenarios for arm in (sides.candidate, sides.reference))
    names = {replace(each, arm=sides.candidate).id: each.id for each in scenarios}
    analysis = DuelAnalysis(
        effect=EFFECT,
        budget_s=budget_s,
        terms=terms,
        otherwise=otherwise,
        # A pattern of the user's may name an arm, and those of the duel have other ids.
        tolerance=lambda scenario_id, metric: tolerance_of(config, names[scenario_id], metric),
        other_scenarios=other_scenarios,
    )
    return replace(plan, scenarios=both, run_limits=run_limits), analysis


def pair_factory(usual: WorkerFactory, unit: Unit, sides: DuelArms) -> WorkerFactory:
    """Starts the workers of both sides."""

    def place(arm: Arm) -> WorkerPlace:
        return with_own_bytecode(unit.restored.place if arm == sides.reference else usual.place(unit.arm))

    def files(arm: Arm) -> ArmFiles:
        return unit.restored.files if arm == sides.reference else usual.files(unit.arm)

    return replace(usual, place=place, files=files)


def placed(unit: Unit, factory: WorkerFactory, plan: Plan) -> WorkerFactory:
    """The factory; it refuses an accepted arm that falls back to the CPU."""
    voices = {scenario.arm: scenario.voice for scenario in plan.scenarios}
    seed = plan.run_limits.seed + 1
    found = verify_placement([unit.restored.arm], worker_factory=factory, voices=voices, seed=seed)
    return replace(factory, refusals=found.refusals)


def tolerance_of(config: Config, scenario_id: str, metric: str) -> float:
    """The tolerance (a ratio) of a pair: the user's, else smaller than of remembered values, since pairs show more."""
    own: float | None = of_scenario(config["tolerance"], scenario_id).get(metric)
    return own or min(TOLERANCE, METRICS[metric].tolerance or TOLERANCE)
