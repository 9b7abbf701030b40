"""What there is to replay: sees what each worker loads, compares it with the reference, and rebuilds accepted arms.

It works before anything is timed, so that the budget can be divided, and so that a build disturbs no measurement.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from harness.analysis.against_reference import accepted_on, listed_differences
from harness.analysis.subjects import SubjectComparison, SubjectState, compare, subject_of
from harness.core.errors import BenchError
from harness.core.records.reference import LoadedSubject, Reference, ReferenceArm
from harness.core.records.repetition import Launch
from harness.core.records.run import RunData
from harness.core.records.scenario import Arm, Scenario
from harness.engines.declarations import declaration_of
from harness.measure.conductor.requests import load_order
from harness.measure.conductor.worker_factory import LOAD_TIMEOUT_S, ArmFiles
from harness.measure.worker.place import WorkerPlace
from harness.measure.worker.worker_lost import WorkerLost
from harness.plan.matrix import Plan
from harness.runner.measurement import Session, head_of
from harness.runner.rebuild import RestoredArm, UnderTest, rebuild, refuse_another, why_not, with_own_bytecode

NO_PAIRS = "start-ups, concurrent requests and soaks make no pairs"


@dataclass(frozen=True, slots=True, kw_only=True)
class Unit:
    """One accepted arm to measure against: the arm under test with its scenarios, and the restored arm."""

    arm: Arm
    scenarios: tuple[Scenario, ...]
    accepted: ReferenceArm
    restored: RestoredArm
    comparison: SubjectComparison


@dataclass(slots=True, kw_only=True)
class Prepared:
    """What is measured again, and scenario id → why it is not. `unchanged` are the acceptances that still hold.

    `lost` are the reasons why references cannot be restored.
    """

    units: list[Unit] = field(default_factory=list)
    reasons: dict[str, str] = field(default_factory=dict)
    lost: list[str] = field(default_factory=list)
    unchanged: list[ReferenceArm] = field(default_factory=list)
    changed: list[tuple[Arm, ReferenceArm, SubjectComparison]] = field(default_factory=list)


def can_be_replayed(scenario: Scenario) -> bool:
    """Whether a scenario makes pairs: one request at a time, in blocks."""
    return not (scenario.mode.starts_alone or scenario.is_concurrent or scenario.repeats > 1)


class Probe:
    """Starts workers to see what they load. What it depends on is where a worker runs, and its engine."""

    def __init__(self, session: Session, plan: Plan) -> None:
        self._session = session
        self._plan = plan
        self._known: dict[tuple[WorkerPlace, str], Launch] = {}

    def subject(self, arm: Arm) -> LoadedSubject | None:
        """What a worker of an arm of the plan loads; None if it does not start or does not report it."""
        factory = self._session.resources.worker_factory
        return self._subject(arm, factory.place(arm), factory.files(arm), like=arm)

    def subject_of_restored(self, restored: RestoredArm, *, like: Arm) -> LoadedSubject | None:
        """The same of a restored arm, with the scenarios of the arm that it is `like`."""
        return self._subject(restored.arm, restored.place, restored.files, like=like)

    def _subject(self, arm: Arm, place: WorkerPlace, files: ArmFiles, *, like: Arm) -> LoadedSubject | None:
        scenarios = tuple(replace(each, arm=arm) for each in self._plan.scenarios if each.arm == like)
        plan = replace(self._plan, scenarios=scenarios)
        launch = self._known.get((place, arm.engine))
        if launch is None:
            try:
                launch = self._launch(arm, place, files, plan)
            except WorkerLost:
                return None
            if launch.outcome.valid:
                self._known[place, arm.engine] = launch
        launch = replace(launch, arm_id=arm.id)
        return subject_of(arm, RunData(run=head_of(self._session.resources, plan), launches=(launch,)))

    def _launch(self, arm: Arm, place: WorkerPlace, files: ArmFiles, plan: Plan) -> Launch:
        worker = self._session.resources.worker_factory.start(with_own_bytecode(place))
        try:
            order = load_order(arm, files, plan=plan, launch=0, speak_first=False)
            return worker.load(order, timeout_s=LOAD_TIMEOUT_S)
        finally:
            worker.close()


def prepare(session: Session, reference: Reference, plan: Plan, *, refusals: Mapping[str, str]) -> Prepared:
    """Compare every arm of the plan that has a reference, and rebuild the accepted arms that differ.

    With `--replay always` also those that do not, with `never` none.
    """
    prepared, mode, probe = Prepared(), session.config["replay"], Probe(session, plan)
    for arm in plan.arms:
        ours = [scenario for scenario in plan.scenarios if scenario.arm == arm]
        by_acceptance: dict[str, list[Scenario]] = {}
        accepted_arms = {str(each): each for scenario in ours if (each := reference.for_scenario(scenario.id))}
        for scenario in ours:
            if accepted := reference.for_scenario(scenario.id):
                by_acceptance.setdefault(str(accepted), []).append(scenario)
        if not by_acceptance or arm.id in refusals:
            continue
        if mode == "never":
            prepared.reasons |= {each.id: "--replay never" for of in by_acceptance.values() for each in of}
            continue
        subject = probe.subject(arm)
        for key, scenarios in by_acceptance.items():
            accepted = accepted_arms[key]
            found = compare(subject, accepted, arm=arm)
            if found.state is SubjectState.SAME:
                prepared.unchanged.append(accepted)
            elif found.state is SubjectState.ANOTHER:
                prepared.changed.append((arm, accepted, found))
            # Both sides of a server's pairs would ask the same server.
            if subject is None or arm.url or not (found.state is SubjectState.ANOTHER or mode == "always"):
                continue
            _add(prepared, session, probe, UnderTest(arm=arm, subject=subject), accepted, scenarios, found)
    return prepared


def _add(
    prepared: Prepared,
    session: Session,
    probe: Probe,
    under_test: UnderTest,
    accepted: ReferenceArm,
    scenarios: Sequence[Scenario],
    found: SubjectComparison,
) -> None:
    """Rebuild an accepted arm and verify it, or note why its scenarios cannot be measured against it."""
    paired = tuple(each for each in scenarios if can_be_replayed(each))
    prepared.reasons |= {each.id: NO_PAIRS for each in scenarios if each not in paired}
    if not paired:
        return
    factory = session.resources.worker_factory
    try:
        restored = rebuild(session.config, under_test, accepted, factory, report=session.report)
        if not declaration_of(restored.arm.engine).is_scripted:
            refuse_another(probe.subject_of_restored(restored, like=under_test.arm), accepted, note=restored.note)
    except BenchError as error:
        prepared.lost.append(f"the reference cannot be restored ({why_not(error)})")
        prepared.reasons |= {each.id: prepared.lost[-1] for each in paired}
        return
    prepared.units.append(
        Unit(arm=under_test.arm, scenarios=paired, accepted=accepted, restored=restored, comparison=found)
    )


def announcement(prepared: Prepared, *, budget_s: float, figures_s: float) -> list[str]:
    """What is measured and how long it takes, in lines for the beginning of a run."""
    lines = [
        f"{arm.id}: changed since {accepted_on(accepted)}: {listed_differences(found.differences)}"
        for arm, accepted, found in prepared.changed
    ]
    if prepared.unchanged and not prepared.changed:
        same = dict.fromkeys(accepted_on(each) for each in prepared.unchanged)
        lines.append(f"nothing under test changed since {' and '.join(same)}")
    lines += [f"{reason}; the remembered values are compared instead" for reason in dict.fromkeys(prepared.lost)]
    if prepared.units:
        arms = "1 arm" if len(prepared.units) == 1 else f"{len(prepared.units)} arms"
        lines.append(
            f"measuring takes about {clock_time(budget_s)}: {clock_time(figures_s)} for the values of this run, then "
            f"{clock_time(budget_s - figures_s)} for {arms} pair by pair with what was accepted"
        )
    elif prepared.changed or prepared.unchanged:
        lines.append(f"measuring takes up to {clock_time(budget_s)}")
    return lines


def clock_time(seconds: float) -> str:
    """Minutes and seconds: "4:30"."""
    return f"{round(seconds) // 60}:{round(seconds) % 60:02d}"
