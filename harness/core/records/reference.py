"""The accepted reference: for each arm everything that its worker loaded, enough to build the arm again anywhere."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import StrEnum

from harness.core.records.differences import Difference, differences
from harness.core.records.git_package import GitPackage
from harness.core.records.suspect import SuspectKind

_KINDS = {
    "engine": SuspectKind.ENGINE,
    "model": SuspectKind.MODEL,
    "voices": SuspectKind.MODEL,
    "interpreter": SuspectKind.INTERPRETER,
    "provider": SuspectKind.OPTION,
    "threads": SuspectKind.OPTION,
}
"""Name of a setting → kind; that of the source names its engine."""
_SHOWN = 8  # characters of a digest in a difference


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadedSubject:
    """What is under test: everything that a worker loads. Two arms have the same subject if these are equal.

    `engine_source` is the SHA-256 of the modules that start the engine, synthesise and stamp; "" if it is unknown.
    `packages` is the full pinned set without kokoro-bench, sorted by name. `local_packages` are those that were
    installed from a folder, a repository or a file, or changed afterwards, with a digest of their content.
    """

    engine: str
    engine_version: str
    engine_source: str
    interpreter: str
    packages: tuple[tuple[str, str], ...]
    model_sha256: str
    voices_sha256: str
    provider: str
    threads: int
    provider_options: tuple[tuple[str, str], ...] = ()
    session_options: tuple[tuple[str, str], ...] = ()
    local_packages: tuple[tuple[str, str], ...] = ()

    def differences(self, other: "LoadedSubject") -> list[Difference]:
        """What differs from this subject to `other`, named as users name it; none if the two are equal.

        A version of the engine that a package already explains is not listed a second time.
        """
        packages = differences(self.packages, other.packages, absent="none", kind=SuspectKind.PACKAGE)
        local = differences(_shortened(self.local_packages), _shortened(other.local_packages), absent="as published")
        found = [
            *packages,
            *(Difference(f"content of {each.name}", each.before, each.after, SuspectKind.PACKAGE) for each in local),
            *(
                each._replace(kind=_KINDS.get(each.name, SuspectKind.SOURCE))
                for each in differences(_settings(self, other.engine), _settings(other, other.engine))
            ),
        ]
        explained = any(self.engine_version == each.before for each in packages)
        if self.engine_version != other.engine_version and not explained:
            name = f"version of engine {other.engine}"
            found.append(Difference(name, self.engine_version, other.engine_version, SuspectKind.ENGINE))
        for prefix, before, after in (
            ("provider option ", self.provider_options, other.provider_options),
            ("option ", self.session_options, other.session_options),
        ):
            changed = differences(before, after, absent="default")
            found += [each._replace(name=prefix + each.name, kind=SuspectKind.OPTION) for each in changed]
        return found or _hidden(self, other)


class AcceptedBy(StrEnum):
    """Who accepted an arm."""

    PERSON = "person"
    SCHEDULE = "schedule"
    """A job that promotes clean runs."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ReferenceArm:
    """One accepted arm. `scenarios` are the ids of the scenarios that were accepted with it, sorted.

    `model_name`, `model_recipe` and `model_parent` (SHA-256) say how to obtain or make the model of the subject's
    digest. `revision` is the commit of the engine's source; "" if the engine came with the package kokoro-bench in
    `harness_version`. `dirty` marks a source with uncommitted changes. `date` is the day of the acceptance (ISO 8601).
    `git_packages` are the commits of packages whose version does not tell their content.
    `not_rebuildable` lists in words what cannot be restored once it changes; empty if all can.
    """

    arm_id: str
    subject: LoadedSubject
    model_name: str = ""
    model_recipe: str = ""
    model_parent: str = ""
    revision: str = ""
    dirty: bool = False
    harness_version: str = ""
    run: str
    date: str
    reason: str = ""
    accepted_by: AcceptedBy = AcceptedBy.PERSON
    scenarios: tuple[str, ...]
    not_rebuildable: tuple[str, ...] = ()
    git_packages: tuple[GitPackage, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Reference:
    """All accepted arms.

    An arm may stand here twice, with two subjects, after a change was accepted for some of its scenarios only. A
    scenario belongs to one of them.
    """

    arms: tuple[ReferenceArm, ...] = ()

    def for_scenario(self, scenario_id: str) -> ReferenceArm | None:
        """The accepted arm of a scenario; None if the scenario was never accepted."""
        return next((arm for arm in self.arms if scenario_id in arm.scenarios), None)

    def of_arm(self, arm_id: str) -> tuple[ReferenceArm, ...]:
        """The accepted subjects of an arm, in the order of the file."""
        return tuple(arm for arm in self.arms if arm.arm_id == arm_id)


@dataclass(frozen=True, slots=True, kw_only=True)
class ReferenceChange:
    """What accepting an arm changes. `added` are the scenarios that it was not accepted for before.

    `differences` go from the subject that was accepted for one of its scenarios; none for a new arm, and none for the
    same subject.
    """

    arm: ReferenceArm
    added: tuple[str, ...]
    differences: tuple[Difference, ...] = ()


def accepting(
    reference: Reference, arm: ReferenceArm, *, renew: bool = False
) -> tuple[Reference, ReferenceChange | None]:
    """The reference with one more accepted arm, and what that changes; None for nothing.

    The same subject keeps the run, the day and the reason of its acceptance, because nothing new was accepted; with
    `renew` it takes those of `arm`. Another subject takes over its scenarios from the arms that had them.
    """
    same = next((each for each in reference.arms if (each.arm_id, each.subject) == (arm.arm_id, arm.subject)), None)
    known = same.scenarios if same else ()
    added = tuple(each for each in arm.scenarios if each not in known)
    facts = arm if renew or same is None else _kept(same, arm)
    merged = replace(facts, scenarios=tuple(sorted({*known, *arm.scenarios})))
    if merged == same:
        return reference, None
    before = next(
        (each for each in reference.arms if each is not same and set(each.scenarios) & set(arm.scenarios)), None
    )
    others = [
        replace(each, scenarios=tuple(name for name in each.scenarios if name not in arm.scenarios))
        for each in reference.arms
        if each is not same
    ]
    found = Reference(arms=in_order([*(each for each in others if each.scenarios), merged]))
    changed = tuple(before.subject.differences(arm.subject)) if before else ()
    return found, ReferenceChange(arm=merged, added=added, differences=changed)


def _kept(same: ReferenceArm, arm: ReferenceArm) -> ReferenceArm:
    """The facts to keep of an acceptance when `arm`, of the same subject, is accepted again."""
    if same.dirty > arm.dirty or len(same.not_rebuildable) > len(arm.not_rebuildable):
        # The same subject can now be obtained from a commit or from a package.
        return replace(arm, run=same.run, date=same.date, reason=same.reason, accepted_by=same.accepted_by)
    return same


def in_order(arms: Sequence[ReferenceArm]) -> tuple[ReferenceArm, ...]:
    """The arms in the order of the file: by id, then by their first scenario."""
    return tuple(sorted(arms, key=lambda arm: (arm.arm_id, arm.scenarios)))


def _settings(subject: LoadedSubject, engine: str) -> tuple[tuple[str, str], ...]:
    """What every subject has, for people. `engine` is the engine that both sides of a difference are named after."""
    return (
        ("engine", subject.engine),
        ("model", subject.model_sha256[:_SHOWN] or "none"),
        ("voices", subject.voices_sha256[:_SHOWN] or "none"),
        (f"source of engine {engine}", subject.engine_source[:_SHOWN] or "unknown"),
        ("interpreter", subject.interpreter or "unknown"),
        ("provider", subject.provider),
        ("threads", str(subject.threads) if subject.threads else "default"),
    )


def _shortened(digests: tuple[tuple[str, str], ...]) -> list[tuple[str, str]]:
    return [(name, digest[:_SHOWN]) for name, digest in digests]


def _hidden(one: LoadedSubject, other: LoadedSubject) -> list[Difference]:
    """For unequal subjects whose shown values are equal: two digests that begin alike, shown whole."""
    if one == other:
        return []
    fields = {
        "model_sha256": SuspectKind.MODEL,
        "voices_sha256": SuspectKind.MODEL,
        "engine_source": SuspectKind.SOURCE,
        "local_packages": SuspectKind.PACKAGE,
    }
    return [
        Difference(name, str(getattr(one, name)), str(getattr(other, name)), kind)
        for name, kind in fields.items()
        if getattr(one, name) != getattr(other, name)
    ]
