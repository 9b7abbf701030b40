"""What promoting a run adds to the baseline."""

import math
import os
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from fnmatch import fnmatchcase
from pathlib import Path
from statistics import median, stdev

from harness.analysis.messages import unsigned, with_span
from harness.analysis.subjects import software_of, subject_of
from harness.core.errors import UsageError
from harness.core.records.environment import SCRIPTED_KEY
from harness.core.records.git_package import GitPackage
from harness.core.records.reference import AcceptedBy, ReferenceArm
from harness.core.records.repetition import LoadedSoftware
from harness.core.records.run import Concluded, RunData, RunStatus
from harness.core.records.scenario import Arm
from harness.core.records.verdict import Verdict, VerdictKind, is_against_reference
from harness.core.redaction import published_record, published_selection, published_text
from harness.metrics.derive import RunValues
from harness.metrics.registry import METRICS
from harness.metrics.values import Values
from harness.plan.corpus import text_language
from harness.plan.package_sources import local_repository
from harness.store.baseline_files import BaselinePoint, PromotedRun
from harness.store.baselines import BaselineEntry

KEEPS_BACK = (VerdictKind.REGRESSED, VerdictKind.FAILED, VerdictKind.MISSING)
BEYOND_CHANCE = 2
"""An estimate is more than chance if it is so many times as large as what chance stays within in nine of ten runs.

By chance that is one run in fifty with one accepted run, and one in two hundred with many. To leave out more would be
to select by noise: a baseline without the slow half of its nights lies too low, and later nights alarm.
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Promotion:
    """What promoting a run accepts. `unknown` are the arms whose workers did not report what they loaded."""

    entries: tuple[BaselineEntry, ...]
    arms: tuple[ReferenceArm, ...]
    unknown: tuple[str, ...] = ()

    @property
    def scenario_ids(self) -> frozenset[str]:
        """The scenarios of which values are accepted."""
        return frozenset(each.scenario_id for each in self.entries)


FindSource = Callable[[str, str, str, bool], tuple[str, bool]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Acceptance:
    """Who accepts what and why. `only` are patterns of scenario ids, such as `*/chars-12/*`; empty accepts all.

    `project` is the folder that paths of repositories begin at in a file that others read; "" keeps them as they are.
    `find_source` takes an engine, the digest of its source, and the commit and state of the project's tree at the time
    of the run. It returns the commit that has the source ("" for none), and whether it had uncommitted changes.
    """

    date: str
    reason: str = ""
    by: AcceptedBy = AcceptedBy.PERSON
    only: tuple[str, ...] = ()
    project: str = ""
    find_source: FindSource = lambda _engine, _digest, revision, dirty: (revision, dirty)


def why_not_clean(data: Concluded) -> str:
    """Why only a person may accept a run, or "".

    A metric that is undecided and whose estimate is worse by the tolerance and by more than chance counts: the run may
    be a regression that it could not show. A run of which nothing can be compared is clean: it is the first.
    """
    if data.run.status is not RunStatus.COMPLETE:
        return f"the run is {data.run.status.value}"
    worse = [each for each in data.verdicts if each.kind in KEEPS_BACK and each.gates]
    sentences = [f"{each.metric} of {each.scenario_id} is {each.kind.value}" for each in worse]
    sentences += map(undecided_sentence, filter(_beyond_chance, perhaps_worse(data.verdicts)))
    more = f" (and {len(sentences) - 1} more)" if len(sentences) > 1 else ""
    return f"{sentences[0]}{more}" if sentences else ""


def perhaps_worse(verdicts: Sequence[Verdict], among: Collection[str] | None = None) -> list[Verdict]:
    """The undecided verdicts that gate and whose estimate is worse by the tolerance or more, the largest first.

    `among` are the ids of the scenarios that count; None for all.
    """
    found = [
        (each.change.point, each)
        for each in verdicts
        if each.kind is VerdictKind.INCONCLUSIVE and each.gates and each.change and each.tolerance is not None
        if each.change.point >= each.tolerance and (among is None or each.scenario_id in among)
    ]
    return [each for _, each in sorted(found, key=lambda one: -one[0])]


def _beyond_chance(verdict: Verdict) -> bool:
    """Whether the estimate of an undecided verdict is larger than the noise between runs explains.

    Pairs have none of that noise, and a subject that they leave undecided can be measured again.
    """
    if is_against_reference(verdict) or verdict.change is None or verdict.detectable is None:
        return True
    # What a comparison can find is the half-width of its interval and what chance stays within in nine of ten runs.
    nine_in_ten = verdict.detectable - (verdict.change.point - verdict.change.low)
    return verdict.change.point >= BEYOND_CHANCE * nine_in_ten


def undecided_sentence(verdict: Verdict) -> str:
    """How large an undecided change may be: "latency of … is undecided at +40.0 % (interval …), tolerance 5.0 %"."""
    assert verdict.change is not None  # noqa: S101 - `perhaps_worse` has none without
    assert verdict.tolerance is not None  # noqa: S101 - likewise
    where = f"{verdict.metric} of {verdict.scenario_id}"
    return f"{where} is undecided at {with_span(verdict.change)}, tolerance {unsigned(verdict.tolerance)}"


def promotion_of(data: RunData, acceptance: Acceptance) -> Promotion:
    """The values and the arms that promoting this run would accept. UsageError where no scenario matches `only`."""
    chosen = chosen_scenarios(data, acceptance.only)
    entries = tuple(each for each in baseline_entries(data) if each.scenario_id in chosen)
    measured = {each.scenario_id for each in entries}
    by_arm: dict[Arm, list[str]] = {}
    for scenario in data.run.scenarios:
        if scenario.id in measured:
            by_arm.setdefault(scenario.arm, []).append(scenario.id)
    arms, unknown = [], []
    for arm, scenarios in by_arm.items():
        accepted = reference_arm(arm, scenarios, data, acceptance)
        if accepted is None:
            unknown.append(arm.id)
        else:
            arms.append(accepted)
    return Promotion(entries=entries, arms=tuple(arms), unknown=tuple(unknown))


def chosen_scenarios(data: RunData, only: Sequence[str]) -> frozenset[str]:
    """The ids of the run's scenarios that match one of the patterns `only`; all for no pattern. UsageError for none."""
    ids = [scenario.id for scenario in data.run.scenarios]
    if not only:
        return frozenset(ids)
    for pattern in only:
        if not any(fnmatchcase(each, pattern) for each in ids):
            raise UsageError(
                f"no scenario of {data.run.id} matches {pattern!r}",
                where="--only",
                remedy=f"its scenarios are {', '.join(ids[:3])}{', …' if len(ids) > 3 else ''}",
            )
    return frozenset(each for each in ids if any(fnmatchcase(each, pattern) for pattern in only))


def baseline_entries(data: RunData) -> tuple[BaselineEntry, ...]:
    """What promoting this run would accept: every gated value that was validly measured.

    Each has the definition under which the run was concluded, so values of an earlier definition are not compared with
    those of today's.
    """
    run, values = _promoted(data), RunValues(data)
    # What a worker finds in the audio, such as the onset, stays as an earlier version found it.
    concluded = {(each.scenario_id, each.metric): each.definition for each in data.summaries if each.n}
    entries = []
    for scenario in data.run.scenarios:
        model = scenario.arm.model.sha256 if scenario.arm.model else ""
        for name, found in values.of(scenario).items():
            if not METRICS[name].gated or not found.n:
                continue
            point = BaselinePoint(
                run=replace(run, model=model, corpus=data.run.setting.texts_in(text_language(scenario))),
                definition=concluded.get((scenario.id, name), METRICS[name].definition),
                median=median(found.flat),
                n=found.n,
                launches=len(found.grouped),
                spread=_spread(found),
            )
            entries.append(
                BaselineEntry(machine_key=data.run.machine.key, scenario_id=scenario.id, metric=name, point=point)
            )
    return tuple(entries)


def reference_arm(arm: Arm, scenarios: Sequence[str], data: Concluded, acceptance: Acceptance) -> ReferenceArm | None:
    """The arm of a run as it is accepted for some of its scenarios; None if its subject is unknown."""
    subject, software = subject_of(arm, data), software_of(arm, data)
    if subject is None or software is None:
        return None
    model = published_record(arm.model) if arm.model else None
    revision, dirty = _revision(arm, software, data, acceptance)
    return ReferenceArm(
        arm_id=arm.id,
        subject=subject,
        model_name=model.name if model else "",
        model_recipe=model.recipe if model else "",
        model_parent=model.parent if model else "",
        revision=revision,
        dirty=dirty,
        harness_version=software.harness_version,
        run=data.run.id,
        date=acceptance.date,
        reason=acceptance.reason,
        accepted_by=acceptance.by,
        scenarios=tuple(sorted(scenarios)),
        git_packages=tuple(_portable(each, acceptance.project) for each in software.git_packages),
        not_rebuildable=() if data.run.machine.key == SCRIPTED_KEY else _not_rebuildable(arm, software, revision),
    )


def _revision(arm: Arm, software: LoadedSoftware, data: Concluded, acceptance: Acceptance) -> tuple[str, bool]:
    """The commit of the engine's source, and whether it had uncommitted changes.

    The commit is "" if the source came with a package, or if no commit of the project has it.
    """
    if arm.revision or not software.from_checkout:
        return arm.revision, False
    subject = data.run.subject
    return acceptance.find_source(arm.engine, software.engine_source, subject.revision, subject.dirty)


def _not_rebuildable(arm: Arm, software: LoadedSoftware, revision: str) -> tuple[str, ...]:
    """What another machine cannot obtain, in words."""
    found = []
    if arm.url:
        server = arm.server or f"at {published_text(arm.url)}"
        found.append(f"what runs on the server {server}, which is not known")
    if software.from_checkout and not revision:
        found.append("the engine's source, which is in no commit of this project")
    versions, commits = dict(software.packages), {each.name for each in software.git_packages}
    found += [
        f"{name} {versions.get(name, '')}, which was installed from a folder or a file, or changed later"
        for name, _ in software.local_packages
        if name not in commits
    ]
    return tuple(found)


def _portable(package: GitPackage, project: str) -> GitPackage:
    """A package as a file of references names it: a repository on this disk by its path from the project on.

    "" for a repository that is neither in the project, nor around it, nor beside it: elsewhere it lies elsewhere.
    """
    path = local_repository(package)
    if not project or path is None:
        return package
    try:
        parts = Path(os.path.relpath(path, project)).parts
    except ValueError:  # another drive
        return replace(package, repository="")
    near = parts[:1] != ("..",) or len(parts) == 2 or set(parts) == {".."}
    return replace(package, repository="/".join(parts) or "." if near else "")


def _promoted(data: RunData) -> PromotedRun:
    run = data.run
    return PromotedRun(
        id=run.id,
        date=datetime.fromtimestamp(run.started_at, tz=UTC).isoformat(timespec="seconds"),
        corpus=run.setting.corpus,
        protocol=run.setting.protocol,
        selection=published_selection(run.selection),
        canary_numpy_ns=median_of_known([block.canary.numpy_ns for block in data.blocks]),
        canary_graph_ns=median_of_known([block.canary.graph_ns for block in data.blocks]),
        packages=run.subject.packages,
        revision=run.subject.revision,
        dirty=run.subject.dirty,
    )


def _spread(values: Values) -> float | None:
    """How far the launches lay apart: standard deviation of the logs of their medians."""
    if len(values.grouped) < 2 or min(values.flat) <= 0:
        return None
    return stdev(math.log(median(launch)) for launch in values.grouped)


def median_of_known(readings: list[int | None]) -> float | None:
    """The median of the readings that are known; None where none is."""
    known = [reading for reading in readings if reading is not None]
    return median(known) if known else None
