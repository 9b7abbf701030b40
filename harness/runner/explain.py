"""What lies between the two subjects of a change: versions of a package, several packages, or commits."""

from collections.abc import Callable
from dataclasses import dataclass, replace

from harness.analysis.subjects import subject_of
from harness.core.errors import BenchError
from harness.core.records.bisection import Place
from harness.core.records.differences import differences
from harness.core.records.reference import LoadedSubject, ReferenceArm
from harness.core.records.run import RunData
from harness.core.records.scenario import Scenario
from harness.plan.config import Config
from harness.runner.bisect.places import ABSENT, SHORT, commit_places, package_places, version_places
from harness.runner.confirm import ComparedWith
from harness.runner.resources import Reporter

Load = Callable[[str], RunData | None]
"""A stored run by its id; None if it is not stored."""
FEWEST = 3
"""Good, bad, and something between them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Between:
    """The places from good to bad of a bisection of `subject`; without several steps, `reason` says what differs."""

    subject: str = ""
    places: tuple[Place, ...] = ()
    reason: str = ""

    @property
    def several(self) -> bool:
        """Whether there is more than one step, so that a bisection can tell which."""
        return len(self.places) >= FEWEST


def between(
    config: Config, scenario: Scenario, bad: RunData, compared_with: ComparedWith, *, load: Load, report: Reporter
) -> Between:
    """What lies between what a scenario is compared with and what the run `bad` had under test. BenchError."""
    good = compared_with.reference.for_scenario(scenario.id)
    now = subject_of(scenario.arm, bad)
    if good is None or now is None:
        reason = compared_with.reasons.get(scenario.id, f"what run {bad.run.id} loaded is not known")
        return Between(reason=f"no bisection: {reason}")
    if scenario.arm.url:
        return Between(reason="no bisection: what its server runs is not known")
    found = _packages(good, now, scenario, bad, load=load, report=report) or _commits(config, good, now, bad)
    if found.places and not found.several:
        last = found.places[-1]
        return Between(reason=f"only one step lies between: {found.subject} {last.detail or last.label}")
    return found


def _packages(
    good: ReferenceArm, now: LoadedSubject, scenario: Scenario, bad: RunData, *, load: Load, report: Reporter
) -> Between | None:
    """The versions of the one package that differs, or the packages that differ; None if none does."""
    changed = sorted(differences(good.subject.packages, now.packages, absent=ABSENT))
    if not changed:
        return None
    name, was, version, _ = changed[0]
    if len(changed) == 1 and ABSENT not in (was, version):
        return Between(subject=name, places=version_places(name, was, version, given=(), report=report))
    before = load(good.run)
    if before is None:
        return Between(reason=f"no bisection: run {good.run}, which loaded the other packages, is not stored here")
    return Between(
        subject="packages, one by one,", places=package_places(_alone(before, scenario), _alone(bad, scenario))
    )


def _commits(config: Config, good: ReferenceArm, now: LoadedSubject, bad: RunData) -> Between:
    """The commits between the revisions of an engine whose source differs."""
    newer = bad.run.subject.revision
    if good.subject.engine_source == now.engine_source:
        return Between(reason="no bisection: neither packages nor revisions differ")
    if not good.revision or not newer or good.dirty or bad.run.subject.dirty:
        return Between(reason="no bisection: the source of the engine differs, and not both are commits")
    try:
        return Between(subject="commits", places=commit_places(config, good.revision, newer))
    except BenchError as error:
        return Between(reason=f"no bisection: {error.what} ({good.revision[:SHORT]} to {newer[:SHORT]})")


def _alone(data: RunData, scenario: Scenario) -> RunData:
    """The run as if it had no other arm than that of the scenario."""
    ours = tuple(each for each in data.run.scenarios if each.arm.id == scenario.arm.id)
    return replace(data, run=replace(data.run, scenarios=ours))
