"""The machine and the subject of a run, its differences from the reference, and the values that are missing."""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from harness.core.comma_lists import listed
from harness.core.records.differences import differences as changed
from harness.core.records.environment import Conditions, Machine, Subject
from harness.core.records.run import Concluded, RunData, RunRecord
from harness.core.records.scenario import Scenario
from harness.core.records.value import Reading
from harness.core.records.verdict import SPEECH_VERDICT, VerdictKind
from harness.models.licences import Licence, notices
from reports.text.format import NOTHING, count, in_order, metric_of, moment, number, sentence, span
from reports.text.naming import Label, Names


@dataclass(frozen=True, slots=True, kw_only=True)
class Fact:
    """A line of a table of facts. `before` is the value of the reference, if it differs."""

    name: str
    value: str
    before: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """Machine, conditions and subject of a run."""

    run: tuple[Fact, ...]
    machine: tuple[Fact, ...]
    conditions: tuple[Fact, ...]
    subject: tuple[Fact, ...]
    differences: tuple[Fact, ...]
    differs_from: str
    notes: tuple[str, ...]
    licences: tuple[str, ...]
    """Notices of the models under test, one per set of models."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Gap:
    """A missing value: the metrics, the scenarios and the reason.

    `tail` is the end of the lost worker's stderr.
    """

    reason: str
    what: str
    count: str
    scenarios: tuple[Label, ...]
    tail: str
    failed: bool


COMPARED_READINGS = ("frequency_mhz", "load_", "pressure_", "memory_available_bytes", "temperature_c")
"""Readings that may explain why two runs differ."""
FAR_APART = 0.1
"""Two readings that differ by less than this ratio are alike."""
LEAST_LOAD, LEAST_SHARE = 0.5, 0.05
"""Loads (tasks) and shares that differ by less are alike, however small they are."""

_BINARY = (("GiB", 1 << 30), ("MiB", 1 << 20))


def facts(run: RunRecord, *, before: RunRecord | None) -> Facts:
    """The facts of a run. `before` is the run that it is compared with, or None if unknown or several runs."""
    return Facts(
        run=tuple(_run(run)),
        machine=tuple(_machine(run.machine)),
        conditions=tuple(_conditions(run.conditions, run.conditions_at_end)),
        subject=tuple(_subject(run.subject)),
        differences=tuple(differences(run, before)) if before else (),
        differs_from=f"run {before.id}, the newest accepted before it" if before else "",
        notes=run.notes,
        licences=tuple(_licences(run.scenarios)),
    )


def _licences(scenarios: Iterable[Scenario]) -> Iterable[str]:
    """The notices of public models and of models made from them, with the names of these."""
    models = dict.fromkeys(each.arm.model for each in scenarios if each.arm.model)
    alike: dict[tuple[Licence, ...], list[str]] = {}
    for model in models:
        alike.setdefault(notices(model), []).append(model.name)
    for licences, names in alike.items():
        if licences:
            parts = "; ".join(each.sentence for each in licences)
            yield f"{listed(list(dict.fromkeys(names)))}: {parts}."


def differences(run: RunRecord, before: RunRecord) -> Iterable[Fact]:
    """The differences of two runs: of the subject, then of the machine, then of conditions that are not numbers."""
    pairs = (
        (_subject(run.subject), _subject(before.subject)),
        (_machine(run.machine), _machine(before.machine)),
        (_texts(run.conditions), _texts(before.conditions)),
    )
    for now, then in pairs:
        for each in changed(*([(fact.name, fact.value) for fact in facts] for facts in (then, now))):
            yield Fact(name=each.name, value=each.after, before=each.before)


def conditions_apart(run: RunRecord, before: RunRecord) -> Iterable[Fact]:
    """The readings of the machine that differ much between two runs: clock frequency, load, pressure, free memory."""
    then = dict(before.conditions.readings)
    for name, reading in run.conditions.readings:
        old = then.get(name)
        if not name.startswith(COMPARED_READINGS) or old is None or old.value is None or reading.value is None:
            continue
        least = LEAST_LOAD if name.startswith("load_") else LEAST_SHARE if name.endswith("_share") else 0.0
        if abs(reading.value - old.value) > max(least, FAR_APART * abs(old.value)):
            yield Fact(
                name=f"{_named(name)} (condition)",
                value=_reading(name, reading, _at_end(run).get(name)),
                before=_reading(name, old, _at_end(before).get(name)),
            )


def _at_end(run: RunRecord) -> Mapping[str, Reading]:
    return dict(run.conditions_at_end.readings) if run.conditions_at_end else {}


def _run(run: RunRecord) -> Iterable[Fact]:
    yield Fact(name="Run", value=run.id)
    yield Fact(name="Status", value=run.status.value)
    yield Fact(name="Started", value=moment(run.started_at))
    if run.ended_at is not None:
        yield Fact(name="Lasted", value=f"{span(run.ended_at - run.started_at)} of a budget of {span(run.budget_s)}")
    if run.reason:
        yield Fact(name="Ended", value=run.reason)
    yield Fact(name="Selection", value=run.selection or NOTHING)
    yield Fact(name="Scenarios", value=str(len(run.scenarios)))
    yield Fact(name="Seed", value=str(run.seed))
    texts = [f"{language} {digest[:12]}" for language, digest in run.setting.corpora]
    yield Fact(name="Texts", value=listed([run.setting.corpus[:12], *texts]))
    yield Fact(name="Protocol", value=f"version {run.setting.protocol}; format {run.format}")


def _machine(machine: Machine) -> list[Fact]:
    cores = f"{count(machine.logical_cpus, 'logical CPU')}"
    if machine.physical_cpus is not None:
        cores += f", {count(machine.physical_cpus, 'core')}"
    if machine.cpu_limit is not None:
        cores += f", limited to {machine.cpu_limit:g}"
    return [
        Fact(name="Machine", value=machine.key),
        Fact(name="System", value=f"{machine.system}, {machine.architecture}"),
        Fact(name="CPU", value=machine.cpu),
        Fact(name="CPUs", value=cores),
        Fact(name="Memory", value=f"{number(machine.memory / 2**30, 0)} GiB"),
        Fact(name="Accelerators", value=", ".join(machine.accelerators) or "none found"),
    ]


def _conditions(start: Conditions, end: Conditions | None) -> Iterable[Fact]:
    later = dict(end.readings) if end else {}
    for name, reading in start.readings:
        yield Fact(name=_named(name), value=_reading(name, reading, later.get(name)))
    yield from _texts(start)


def _texts(conditions: Conditions) -> list[Fact]:
    return [Fact(name=_named(name), value=value) for name, value in conditions.texts]


def _named(name: str) -> str:
    for suffix in _UNITS:
        name = name.removesuffix(suffix)
    return name.replace("_", " ").capitalize()


_UNITS = {"_mhz": " MHz", "_bytes": " B", "_celsius": " °C", "_c": " °C", "_share": "", "_s": " s", "_percent": " %"}


def _reading(name: str, reading: Reading, later: Reading | None) -> str:
    if reading.value is None:
        return f"unknown: {reading.reason}"
    first = _amount(name, reading.value)
    last = _amount(name, later.value) if later and later.value is not None else first
    return first if first == last else f"{first} at the start, {last} at the end"


def _amount(name: str, value: float) -> str:
    if name.endswith("_bytes"):
        for unit, size in _BINARY:
            if value >= size:
                return f"{number(value / size, 1)} {unit}"
    if name.endswith("_share"):
        return f"{number(100 * value, 1)} %"
    unit = next((text for suffix, text in _UNITS.items() if name.endswith(suffix)), "")
    places = 0 if float(value).is_integer() or abs(value) >= 100 else 2
    return f"{number(value, places)}{unit}"


def _subject(subject: Subject) -> list[Fact]:
    revision = subject.revision[:12] + (" with uncommitted changes" if subject.dirty else "")
    return [
        *(Fact(name=name, value=version) for name, version in subject.packages),
        Fact(name="Python", value=subject.python or NOTHING),
        Fact(name="Revision", value=revision or NOTHING),
        *(Fact(name=f"Model {name}", value=f"sha256 {digest[:16]}") for name, digest in subject.models),
    ]


def gaps(data: Concluded, named: Names) -> tuple[Gap, ...]:
    """The missing values, one entry per reason: failures first, then metrics that do not apply or are unknown."""
    reasons: dict[tuple[bool, str], dict[str, set[str]]] = {}

    def add(scenario_id: str, metric: str, reason: str, *, failed: bool) -> None:
        reasons.setdefault((failed, reason or "no reason was recorded"), {}).setdefault(scenario_id, set()).add(metric)

    lost = {(each.scenario_id, each.metric) for each in data.verdicts if each.kind in _LOST}
    never = _never_started(data)
    for scenario_id, reason in never.items():
        add(scenario_id, "", reason, failed=True)
    for verdict in data.verdicts:
        # Broken speech was measured: the sections on speech show it.
        if verdict.kind in _LOST and verdict.metric != SPEECH_VERDICT:
            add(verdict.scenario_id, verdict.metric, verdict.reason, failed=True)
    for summary in data.summaries:
        untold = summary.scenario_id not in never and (summary.scenario_id, summary.metric) not in lost
        if summary.n == 0 and untold:
            add(summary.scenario_id, summary.metric, summary.reason, failed=False)
    for repetition_reason, scenario_ids in _invalid(data).items():
        for scenario_id in scenario_ids:
            add(scenario_id, "", repetition_reason, failed=True)
    tails = _tails(data)
    everything = len(data.run.scenarios)
    return tuple(
        Gap(
            reason=sentence(reason),
            what=_what(found),
            count=count(len(found), "scenario"),
            scenarios=() if len(found) == everything and not failed else tuple(named.of(each) for each in found),
            tail=tails[min(found)] if failed and all(each in tails for each in found) else "",
            failed=failed,
        )
        for (failed, reason), found in sorted(reasons.items(), key=lambda item: not item[0][0])
    )


_LOST = (VerdictKind.FAILED, VerdictKind.MISSING)


def _never_started(data: Concluded) -> dict[str, str]:
    """Scenario → why no worker of its arm could start, for scenarios without a verdict that says so."""
    valid = {each.arm_id for each in data.launches if each.outcome.valid}
    reasons = {each.arm_id: each.outcome.reason for each in data.launches if each.arm_id not in valid}
    judged = {each.scenario_id for each in data.verdicts}
    arms = {each.id: each.arm.id for each in data.run.scenarios} if reasons else {}
    return {each: reasons[arm] for each, arm in arms.items() if arm in reasons and each not in judged}


def _what(found: dict[str, set[str]]) -> str:
    metrics = in_order({metric for those in found.values() for metric in those if metric})
    if not metrics:
        return "Repetitions"
    if len(metrics) > 6:
        return f"{count(len(metrics), 'metric')}, {metric_of(metrics[0]).title} among them"
    return listed([metric_of(metric).title for metric in metrics])


def _invalid(data: Concluded) -> dict[str, list[str]]:
    """Reason with its count → scenarios in which some but not all repetitions failed."""
    made = tries(data)
    failures = Counter(
        (each.scenario_id, f"{each.outcome.kind.value}: {each.outcome.reason}")
        for each in data.repetitions
        if not each.outcome.valid
    )
    found: dict[str, list[str]] = {}
    for (scenario_id, reason), failed in failures.items():
        if failed < made[scenario_id]:
            found.setdefault(f"{reason} ({failed} of {made[scenario_id]})", []).append(scenario_id)
    return found


def tries(data: Concluded) -> Mapping[str, int]:
    """Scenario → the number of its repetitions."""
    return Counter(each.scenario_id for each in data.repetitions) if isinstance(data, RunData) else data.tries


def _tails(data: Concluded) -> dict[str, str]:
    """Scenario → the end of its lost worker's stderr."""
    by_arm = {each.arm_id: each.outcome.stderr_tail for each in data.launches if each.outcome.stderr_tail}
    lost = [each for each in data.run.scenarios if each.arm.id in by_arm] if by_arm else []
    tails = {each.id: by_arm[each.arm.id] for each in lost}
    tails |= {each.scenario_id: each.outcome.stderr_tail for each in data.repetitions if each.outcome.stderr_tail}
    return tails
