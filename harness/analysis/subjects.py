"""Whether what a run's workers loaded is what was accepted, and what differs."""

from dataclasses import dataclass
from enum import StrEnum

from harness.core.records.differences import Difference
from harness.core.records.reference import LoadedSubject, ReferenceArm
from harness.core.records.repetition import LoadedSoftware
from harness.core.records.run import Concluded
from harness.core.records.scenario import PASSING, Arm
from harness.core.redaction import published_record


class SubjectState(StrEnum):
    """How a subject relates to the accepted one."""

    SAME = "same"
    """Nothing under test changed since the acceptance."""
    ANOTHER = "another"
    """Something under test changed."""
    UNKNOWN = "unknown"
    """One of the two is not known, or not completely."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SubjectComparison:
    """`differences` go from the accepted subject to this one. `reason` says why the state is unknown; "" otherwise."""

    state: SubjectState
    differences: tuple[Difference, ...] = ()
    reason: str = ""


def software_of(arm: Arm, data: Concluded) -> LoadedSoftware | None:
    """What the workers of an arm reported at their launches.

    None if no worker of the arm was launched, if they are of a revision that does not report it, or if two of them
    loaded different software because it changed during the run.
    """
    reports = {each.software for each in data.launches if each.arm_id == arm.id and each.software.engine_source}
    return next(iter(reports)) if len(reports) == 1 else None


def subject_of(arm: Arm, data: Concluded) -> LoadedSubject | None:
    """The subject of a resolved arm, by the reports of its workers in the run; None if it is unknown."""
    software = software_of(arm, data)
    if software is None:
        return None
    arm = published_record(arm)
    return LoadedSubject(
        engine=arm.engine,
        engine_version=software.engine_version,
        engine_source=software.engine_source,
        interpreter=software.interpreter,
        packages=tuple(sorted(software.packages)),
        model_sha256=arm.model.sha256 if arm.model else "",
        voices_sha256=arm.model.voices_sha256 if arm.model else "",
        provider=arm.provider,
        threads=arm.threads,
        provider_options=tuple(sorted(arm.provider_options)),
        session_options=tuple(sorted(each for each in arm.session_options if not (arm.url and each[0] in PASSING))),
        local_packages=tuple(sorted(software.local_packages)),
    )


def compare(subject: LoadedSubject | None, reference: ReferenceArm | None, *, arm: Arm) -> SubjectComparison:
    """Compare an arm's subject with the accepted one.

    What runs behind a URL is unknown. So its arm is never the same, and never another one that a replay could decide:
    both sides of its pairs would ask the same server.
    """
    if reference is None:
        return SubjectComparison(state=SubjectState.UNKNOWN, reason="no reference was accepted for it")
    if subject is None:
        return SubjectComparison(state=SubjectState.UNKNOWN, reason="its workers did not report what they loaded")
    found = tuple(
        each._replace(name=f"model {arm.model.name}") if each.name == "model" and arm.model else each
        for each in reference.subject.differences(subject)
    )
    if arm.url:
        reason = f"what the server {arm.server or f'at {arm.url}'} runs is not known"
        return SubjectComparison(state=SubjectState.UNKNOWN, differences=found, reason=reason)
    if found:
        return SubjectComparison(state=SubjectState.ANOTHER, differences=found)
    return SubjectComparison(state=SubjectState.SAME)
