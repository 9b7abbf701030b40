"""Confirms the findings of a run: duels of what ran with what was accepted, or with what ran before a step.

There is one duel for each arm, over all its scenarios in question. It is stored as a run that names the confirmed run.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from harness.analysis.against_reference import listed_differences
from harness.analysis.finished import Finished
from harness.analysis.promotion import Acceptance, FindSource, reference_arm
from harness.analysis.subjects import compare, subject_of
from harness.core.errors import ExitCode, UsageError
from harness.core.records.reference import Reference, ReferenceArm
from harness.core.records.run import CONFIRMATION, Concluded, RunData, confirmation_selection
from harness.measure.conductor.events import EventHandler
from harness.plan.config import Config, with_defaults
from harness.plan.matrix import ALL_LAUNCHES, Plan
from harness.runner.duel_causes import explain_changes
from harness.runner.measurement import Session
from harness.runner.replay_pairs import Turns, pair_run
from harness.runner.replay_preparation import Prepared, Unit, prepare
from harness.runner.replay_texts import affordable, costs_of
from harness.runner.resources import Reporter, prepare_resources, resolve_all
from harness.runner.run import measure_plan, open_session, plan_of
from harness.runner.source_changes import with_commits

if TYPE_CHECKING:
    from harness.core.records.scenario import Arm, Scenario


@dataclass(slots=True, kw_only=True)
class Confirmed:
    """The measured duels, and scenario id → why it is in none of them."""

    duels: list[Finished] = field(default_factory=list)
    reasons: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class ComparedWith:
    """The reference of scenarios, and scenario id → why it cannot be compared."""

    reference: Reference = field(default_factory=Reference)
    reasons: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def merged(cls, parts: "Sequence[ComparedWith]") -> "ComparedWith":
        """Merge the references of different scenarios."""
        return cls(
            reference=Reference(arms=tuple(arm for part in parts for arm in part.reference.arms)),
            reasons={scenario_id: reason for part in parts for scenario_id, reason in part.reasons.items()},
        )


def accepted_for(scenario_ids: Sequence[str], accepted: Reference) -> ComparedWith:
    """The accepted arms of the scenarios, each with these alone. A scenario without an accepted arm gets a reason."""
    arms = [
        replace(arm, scenarios=ours)
        for arm in accepted.arms
        if (ours := tuple(each for each in arm.scenarios if each in scenario_ids))
    ]
    known = {each for arm in arms for each in arm.scenarios}
    missing = [each for each in scenario_ids if each not in known]
    return ComparedWith(
        reference=Reference(arms=tuple(arms)), reasons=dict.fromkeys(missing, "no reference was accepted for it")
    )


def ran_in(scenario_ids: Sequence[str], before: Concluded, find_source: FindSource) -> ComparedWith:
    """What the workers of an earlier run loaded for the scenarios, as their reference."""
    date = datetime.fromtimestamp(before.run.started_at, tz=UTC).date().isoformat()
    by_arm: dict[Arm, list[str]] = {}
    for scenario in before.run.scenarios:
        if scenario.id in scenario_ids:
            by_arm.setdefault(scenario.arm, []).append(scenario.id)
    arms: list[ReferenceArm] = []
    reasons: dict[str, str] = {}
    for arm, ids in by_arm.items():
        made = reference_arm(arm, ids, before, Acceptance(date=date, find_source=find_source))
        if made is None:
            reasons |= dict.fromkeys(ids, f"what run {before.run.id} loaded is not known")
        else:
            arms.append(made)
    found = {each for ids in by_arm.values() for each in ids}
    reasons |= {each: f"run {before.run.id} does not have it" for each in scenario_ids if each not in found}
    return ComparedWith(reference=Reference(arms=tuple(arms)), reasons=reasons)


def confirm(
    config: Config,
    data: RunData,
    compared_with: ComparedWith,
    *,
    handlers: Sequence[EventHandler],
    report: Reporter,
) -> Confirmed:
    """Measure the scenarios of a run again, in pairs with their reference, within the budget.

    BenchError if nothing can be prepared on this machine.
    """
    scenarios = [each for each in data.run.scenarios if compared_with.reference.for_scenario(each.id)]
    if not scenarios:
        return Confirmed(reasons=dict(compared_with.reasons))
    # The duel has its own budget, and so its own launches and blocks.
    config = with_defaults(config, ("replay", "launches", "blocks"))
    resources = prepare_resources(config, report=report)
    machine = resources.machine.key
    if machine != data.run.machine.key:
        raise UsageError(
            f"it was measured on {data.run.machine.key}, and this is {machine}",
            where=f"run {data.run.id}",
            remedy="run the command there",
        )
    selection = f"{CONFIRMATION}{data.run.id}"
    with open_session(config, resources, selection, handlers=handlers, report=report) as session:
        arms, refusals = resolve_all(resources, [each.arm for each in scenarios])
        resolved = [replace(each, arm=arms[each.arm]) for each in scenarios]
        plan = plan_of(config, resources, resolved, selection, ALL_LAUNCHES)
        return _measure_all(session, plan, data, compared_with, refusals)


def _measure_all(
    session: Session, plan: Plan, data: RunData, compared_with: ComparedWith, refusals: Mapping[str, str]
) -> Confirmed:
    """Measure the arms in turn. Each gets an equal share of the remaining time.

    Scenarios that did not fit into the share of their arm get another turn at the end, if time is left.
    """
    clock, budget_s = session.resources.clock, session.config["budget"]
    began_ns = clock.now_ns()
    prepared = prepare(session, compared_with.reference, plan, refusals=refusals)
    reasons = {**compared_with.reasons, **_left_out(prepared, plan, data, compared_with.reference, refusals)}
    units = [unit for unit in prepared.units if not any(each.id in reasons for each in unit.scenarios)]
    turns = Turns(waiting=units, clock=clock, budget_s=budget_s, began_ns=began_ns)
    found = Confirmed(reasons=reasons)
    for unit, left_s in turns:
        scenarios = _affordable(unit, data, plan, budget_s=left_s, reasons=reasons)
        if not scenarios:
            continue
        part = replace(plan, scenarios=scenarios, selection=confirmation_selection(data.run.id, unit.arm.id))
        found.duels.append(_measure(session, part, unit, budget_s=left_s))
        if found.duels[-1].code is ExitCode.INTERRUPTED:
            break
        turns.again(unit, reasons)
    return found


def _left_out(
    prepared: Prepared, plan: Plan, data: RunData, reference: Reference, refusals: Mapping[str, str]
) -> dict[str, str]:
    """Scenario id → why it is in no duel, for scenarios that cannot be prepared or have not changed."""
    reasons = dict(prepared.reasons)
    for unit in prepared.units:
        if changed := _changed_since(unit, data):
            reasons |= {each.id: changed for each in unit.scenarios}
    measured = {each.id for unit in prepared.units for each in unit.scenarios}
    for scenario in plan.scenarios:
        accepted = reference.for_scenario(scenario.id)
        if scenario.id in measured or scenario.id in reasons or accepted is None:
            continue
        if accepted in prepared.unchanged:
            reasons[scenario.id] = f"nothing under test differs from run {accepted.run}"
        else:
            why = compare(None, accepted, arm=scenario.arm).reason
            why = f"what its server at {scenario.arm.url} runs is not known" if scenario.arm.url else why
            reasons[scenario.id] = refusals.get(scenario.arm.id, why)
    return reasons


def _changed_since(unit: Unit, data: RunData) -> str:
    """A reason if the subject is no longer that of the run; "" if it is the same."""
    arm = next((each.arm for each in data.run.scenarios if each.arm.id == unit.arm.id), unit.arm)
    then = compare(subject_of(arm, data), unit.accepted, arm=arm)
    if then.reason or then.differences == unit.comparison.differences:
        return ""
    return f"what is under test has changed since the run ({listed_differences(unit.comparison.differences)})"


def _affordable(
    unit: Unit, data: RunData, plan: Plan, *, budget_s: float, reasons: dict[str, str]
) -> "tuple[Scenario, ...]":
    """The scenarios of an arm that the budget suffices for. Adds to `reasons` why the others are left out."""
    found = affordable(costs_of(unit.scenarios, data), budget_s=budget_s, warmups=plan.run_limits.warmups)
    for scenario in unit.scenarios:
        if scenario in found.needed_s:
            reasons[scenario.id] = f"it needs a budget of about {found.needed_s[scenario]:.0f} s"
        elif scenario not in found.scenarios:
            reasons[scenario.id] = "the run has no valid value of it"
        else:
            reasons.pop(scenario.id, None)
    return found.scenarios


def _measure(session: Session, plan: Plan, unit: Unit, *, budget_s: float) -> Finished:
    """Measure the plan's scenarios of one arm as a duel."""
    duel = pair_run(session, plan, unit, plan.scenarios, budget_s=budget_s, profiled=True)
    usual = duel.run_analysis
    run_analysis = replace(
        usual,
        # A waiver excuses a regression; whether there is one is the question here.
        policy=replace(usual.policy, waivers=()),
        explain=with_commits(explain_changes, session.config.directory),
    )
    session.report(f"pair by pair with run {unit.accepted.run}: {unit.arm.id}")
    return measure_plan(
        replace(session, resources=replace(session.resources, worker_factory=duel.worker_factory)),
        duel.plan,
        run_analysis,
        notes=[each for each in (unit.restored.note,) if each],
        refusals={},
    )
