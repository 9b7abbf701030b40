"""Why a metric may have moved: the differences between the accepted subject and this one, strongest first."""

from collections.abc import Sequence
from math import exp
from statistics import median

from harness.analysis.messages import leniency
from harness.analysis.stats.grouped import Grouped
from harness.analysis.stats.movement import added
from harness.core.records.differences import differences
from harness.core.records.repetition import Phase, Repetition
from harness.core.records.run import RunData
from harness.core.records.suspect import Suspect, SuspectKind
from harness.core.records.verdict import Verdict
from harness.metrics.metric import Per
from harness.metrics.per_request import repetition_figures
from harness.metrics.registry import METRICS
from harness.store.baseline_files import PromotedRun

MOST_METRICS = 4
"""Metrics that a line of suspects names; the rest is a number."""
DISTURBED_SHARE = 0.2
"""With at least this share of disturbed repetitions, the machine itself is a suspect."""


def differences_from_accepted(accepted: PromotedRun, data: RunData, verdict: Verdict) -> tuple[Suspect, ...]:
    """Model, packages, source, and what other work on the machine added."""
    return (
        *_model(accepted, data, verdict.scenario_id),
        *_packages(accepted, data),
        *_source(accepted, data),
        *_machine(data, verdict),
    )


def _model(accepted: PromotedRun, data: RunData, scenario_id: str) -> list[Suspect]:
    model = next(scenario.arm.model for scenario in data.run.scenarios if scenario.id == scenario_id)
    if model is None or not accepted.model or model.sha256 == accepted.model:
        return []
    return [Suspect(SuspectKind.MODEL, f"the model file differs ({accepted.model[:8]} → {model.sha256[:8]})")]


def _packages(accepted: PromotedRun, data: RunData) -> list[Suspect]:
    changed = sorted(differences(accepted.packages, data.run.subject.packages))
    return [Suspect(SuspectKind.PACKAGE, str(each)) for each in changed]


def _source(accepted: PromotedRun, data: RunData) -> list[Suspect]:
    subject = data.run.subject
    found = []
    if accepted.revision and subject.revision and accepted.revision != subject.revision:
        named = f"source {accepted.revision[:8]}..{subject.revision[:8]}"
        found.append(Suspect(SuspectKind.SOURCE, named, (accepted.revision, subject.revision)))
    if subject.dirty:
        found.append(Suspect(SuspectKind.SOURCE, "uncommitted changes in the work tree"))
    return found


def _machine(data: RunData, verdict: Verdict) -> list[Suspect]:
    """How much other work on the machine added to a metric, if the data show it; else empty.

    Other work takes time from a process, so it can only explain a metric that got worse.
    """
    change, metric = verdict.change, METRICS[verdict.metric]
    timed = metric.per is Per.REPETITION and metric.lower_is_better and not metric.unit.startswith("B")
    if not timed or change is None or change.point <= 0:
        return []
    ours = [
        each
        for each in data.counted.repetitions
        if each.scenario_id == verdict.scenario_id and each.phase is Phase.MEASURED and each.outcome.valid
    ]
    marked = [each for each in ours if each.disturbance.marks]
    if not marked or len(marked) / len(ours) < DISTURBED_SHARE:
        return []
    launches = sorted({each.launch for each in ours})
    disturbed = _values(marked, verdict.metric, launches)
    calm = _values([each for each in ours if not each.disturbance.marks], verdict.metric, launches)
    added_by_others = added(disturbed, calm)
    if added_by_others is None or added_by_others.low <= 0:
        return []
    now = median(value for launch in (*disturbed, *calm) for value in launch)
    point, low, high, whole = map(
        metric.format, (added_by_others.point, added_by_others.low, added_by_others.high, now - now / exp(change.point))
    )
    share = f"{len(marked)} of {len(ours)} repetitions were disturbed by other work on the machine"
    span = f"+{low} to +{high} at {100 * added_by_others.level:.0f} %"
    return [Suspect(SuspectKind.MACHINE, f"{share}: +{point} ({span}) of +{whole}")]


def _values(repetitions: Sequence[Repetition], metric: str, launches: Sequence[int]) -> Grouped:
    """The known values of `metric`, launch by launch."""
    known = [
        (each.launch, value) for each in repetitions if (value := repetition_figures(each)[metric].value) is not None
    ]
    return tuple(tuple(value for launch, value in known if launch == wanted) for wanted in launches)


def explained(verdict: Verdict, *, suspects: bool = True) -> str:
    """A verdict's reason, waiver, advice and, if `suspects`, suspects, as sentences on one line."""
    suspected = f"Suspects: {'; '.join(verdict.suspects)}" if verdict.suspects and suspects else ""
    lenient, advice = (each[:1].upper() + each[1:] for each in (leniency(verdict), verdict.advice))
    sentences = (verdict.reason, lenient, advice, suspected)
    parts = [part.strip().removesuffix(".") for part in sentences if part.strip()]
    return f"{'. '.join(parts)}." if parts else verdict.kind.value


def suspect_lines(verdicts: Sequence[Verdict]) -> list[str]:
    """The suspects of all verdicts, each once, with the metrics that it is a suspect of."""
    several = len({verdict.scenario_id for verdict in verdicts if verdict.suspects}) > 1
    metrics: dict[str, list[str]] = {}
    for verdict in verdicts:
        for suspect in verdict.suspects:
            name = f"{verdict.scenario_id} {verdict.metric}" if several else verdict.metric
            metrics.setdefault(suspect, []).append(name)
    found: dict[tuple[str, ...], list[str]] = {}
    for suspect, of in metrics.items():
        found.setdefault(tuple(dict.fromkeys(of)), []).append(suspect)
    return [f"Suspects of {_first(of)}: {'; '.join(each)}." for of, each in found.items()]


def _first(names: Sequence[str]) -> str:
    more = len(names) - MOST_METRICS
    return ", ".join(names[:MOST_METRICS]) + (f" and {more} more" if more > 0 else "")
