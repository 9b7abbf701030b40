"""The best measured combination, its lead, and the arms that are level with it. It never names an unmeasured one.

Arms are compared pair by pair: they ran in the same blocks, so the machine affected both alike. Two arms that shared no
block are compared through a third that shared blocks with both. With several texts, a block's pair is the mean of the
texts' log-ratios.
"""

import math
from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean, median

from harness.analysis.audio_limits import is_known_original
from harness.analysis.stats.paired import deferred_estimates
from harness.core.errors import MeasurementError, UsageError
from harness.core.records.run import RunData
from harness.core.records.scenario import Arm, Mode, Scenario
from harness.core.records.verdict import SPEECH_VERDICT, Estimate, Verdict, VerdictKind
from harness.engines.declarations import declaration_of
from harness.metrics.derive import scenario_values
from harness.metrics.values import Values, log_ratios_through

LEVEL = 0.95
"""Of all intervals over the best together (Bonferroni)."""
NEGLIGIBLE = math.log1p(0.01)
"""A lead below 1 % is none, however sure it is."""

QUALITY = (SPEECH_VERDICT, "mcd", "duration_ratio")
"""Metrics of verdicts that say what an arm sounds like, not whether it could be measured."""

Grouped = tuple[tuple[float, ...], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Objective:
    """The objective: `metric` decides and `then` breaks ties. Lower is better for both."""

    name: str
    metric: str
    then: str
    meaning: str


OBJECTIVES = {
    each.name: each
    for each in (
        Objective(name="ttfa", metric="ttfa", then="rss_peak", meaning="time to first audio"),
        Objective(name="throughput", metric="rtf", then="rss_peak", meaning="seconds of work per second of audio"),
        Objective(name="memory", metric="rss_peak", then="rtf", meaning="peak resident memory"),
        Objective(name="size", metric="model_size", then="rtf", meaning="bytes of the model file"),
    )
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """An arm with its typical value: the geometric mean of the texts' medians, in the metric's unit."""

    arm: Arm
    figure: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Excluded:
    """An arm that is not chosen from, and why."""

    arm_id: str
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Lead:
    """How far an arm lies behind the best: a log-ratio, positive for behind.

    `behind` is None for file sizes, which have no interval, and if there are too few pairs (see `enough_pairs`).
    """

    arm: Arm
    behind: Estimate | None
    level: bool
    enough_pairs: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Recommendation:
    """`best` of all `candidates`, best first; `leads` over each of the others, in the same order."""

    objective: Objective
    texts: tuple[str, ...]
    candidates: tuple[Candidate, ...]
    leads: tuple[Lead, ...]
    excluded: tuple[Excluded, ...]
    run_ids: tuple[str, ...]
    unjudged: tuple[str, ...] = ()
    """Candidates (arm ids) of which it is unknown whether their speech is equivalent to their original's."""

    @property
    def best(self) -> Candidate:
        return self.candidates[0]

    @property
    def level_with(self) -> tuple[Lead, ...]:
        """The arms with enough pairs that the best was not shown to be better than."""
        return tuple(lead for lead in self.leads if lead.level and lead.enough_pairs)

    @property
    def too_few_pairs(self) -> tuple[Lead, ...]:
        """The arms that have too few pairs with the best."""
        return tuple(lead for lead in self.leads if not lead.enough_pairs)


ValuesOf = Callable[[Scenario, RunData], Mapping[str, Values]]


def recommend(
    runs: Sequence[RunData],
    objective: Objective,
    *,
    values_of: ValuesOf = scenario_values,
    ignore_quality: bool = False,
) -> Recommendation:
    """The best arm of `runs`, which must be from one machine. UsageError if there is nothing to choose from.

    Only arms whose speech is equivalent to their original's, or unknown, are candidates, unless `ignore_quality`. A
    caller with several objectives can cache the results of `values_of`.
    """
    if len({data.run.machine.key for data in runs}) > 1:
        raise UsageError("the runs are of different machines", where="RUN", remedy="name runs of one machine")
    found, excluded = _measured(runs, objective, values_of, ignore_quality=ignore_quality)
    if not found:
        reasons = "; ".join(f"{each.arm_id}: {each.reason}" for each in excluded[:3])
        raise UsageError(
            f"no combination was validly measured{': ' if reasons else ''}{reasons}",
            where=", ".join(data.run.id for data in runs),
            remedy="kokoro-bench run --full measures models, providers and session options",
        )
    texts = _common_texts(found)
    complete = {arm: {text: values[text] for text in texts} for arm, values in found.items() if texts <= values.keys()}
    excluded += [
        Excluded(arm_id=arm.id, reason=f"not measured with {', '.join(sorted(texts - values.keys()))}")
        for arm, values in found.items()
        if arm not in complete
    ]
    ordered = _ordered(complete, objective)
    best = ordered[0]
    leads = _leads(complete, best, [each.arm for each in ordered[1:]], objective)
    return Recommendation(
        objective=objective,
        texts=tuple(sorted(texts)),
        candidates=tuple(ordered),
        leads=leads,
        excluded=tuple(excluded),
        run_ids=tuple(data.run.id for data in runs),
        unjudged=() if ignore_quality else _unjudged([each.arm for each in ordered], runs),
    )


Measured = dict[str, dict[str, Mapping[str, Values]]]
"""Text → run id → values of all metrics."""


def _common_texts(found: Mapping[Arm, Measured]) -> frozenset[str]:
    """The text that the most arms have, and every other text that all of these arms have."""
    spoken = Counter(text for values in found.values() for text in values)
    most = max(spoken.values())
    first = min(text for text, count in spoken.items() if count == most)
    having = [values for values in found.values() if first in values]
    return frozenset(text for text in spoken if all(text in values for values in having))


def _measured(
    runs: Sequence[RunData], objective: Objective, values_of: ValuesOf, *, ignore_quality: bool
) -> tuple[dict[Arm, Measured], list[Excluded]]:
    """The values of each arm that may be chosen, and the reasons to exclude the others."""
    found: dict[Arm, Measured] = {}
    reasons: dict[Arm, str] = {}
    for data in runs:
        wrong = _failures(data, ignore_quality=ignore_quality)
        for scenario in data.run.scenarios:
            if scenario.mode not in (Mode.WHOLE, Mode.STREAM) or scenario.speed != 1.0 or scenario.concurrency != 1:
                continue
            values = values_of(scenario, data)
            reason = wrong.get(scenario.id) or _unfit(values, objective)
            if reason:
                reasons.setdefault(scenario.arm, reason)
            text = scenario.request
            found.setdefault(scenario.arm, {}).setdefault(text, {})[data.run.id] = values
    excluded = [Excluded(arm_id=arm.id, reason=reason) for arm, reason in reasons.items()]
    return {arm: values for arm, values in found.items() if arm not in reasons}, excluded


def quality_failures(verdicts: Sequence[Verdict]) -> dict[str, str]:
    """Scenario → why its arm's speech rules it out: broken here, or different in at least half of the arm's texts.

    A recogniser and an estimator also find a difference that nobody notices, so one of many texts does
    not decide.
    """
    judged = [each for each in verdicts if each.metric in QUALITY]
    compared = Counter(map(_arm_of, judged))
    different = Counter(_arm_of(each) for each in judged if each.kind is VerdictKind.DIFFERENT)
    return {
        each.scenario_id: each.reason
        for each in judged
        if each.kind is VerdictKind.FAILED
        or (each.kind is VerdictKind.DIFFERENT and 2 * different[_arm_of(each)] >= compared[_arm_of(each)])
    }


def _arm_of(verdict: Verdict) -> str:
    return verdict.scenario_id.partition("/")[0]


def _failures(data: RunData, *, ignore_quality: bool) -> dict[str, str]:
    """Scenario → why it may not be chosen: crashed, refused, or by its speech unless `ignore_quality`."""
    other = {
        each.scenario_id: each.reason
        for each in data.verdicts
        if each.kind is VerdictKind.FAILED and each.metric not in QUALITY
    }
    return other if ignore_quality else {**quality_failures(data.verdicts), **other}


def _unjudged(arms: Sequence[Arm], runs: Sequence[RunData]) -> tuple[str, ...]:
    """The arms (ids) that are no known original and have no verdict on their speech. Scripted speech has none."""
    judged = {verdict.scenario_id for data in runs for verdict in data.verdicts if verdict.metric == SPEECH_VERDICT}
    known = {each.arm.id for data in runs for each in data.run.scenarios if each.id in judged}
    return tuple(
        arm.id
        for arm in arms
        if arm.model
        and not declaration_of(arm.engine).is_scripted
        and not is_known_original(arm.model)
        and arm.id not in known
    )


def _unfit(values: Mapping[str, Values], objective: Objective) -> str:
    """Why a scenario's values are unfit for the choice, or ""."""
    counts = values["latency"].counts
    if counts.valid < counts.attempted:
        return f"{counts.attempted - counts.valid} of {counts.attempted} repetitions were not valid"
    for name in ("latency", objective.metric):
        if not values[name].n:
            return f"{name} is unknown: {values[name].reason}"
    return ""


def _ordered(measured: Mapping[Arm, Measured], objective: Objective) -> list[Candidate]:
    """The candidates, best first; exact ties (files of equal size) are ordered by the second metric."""
    candidates = [Candidate(arm=arm, figure=_typical(values, objective.metric)) for arm, values in measured.items()]
    return sorted(
        candidates,
        key=lambda each: (each.figure, _typical(measured[each.arm], objective.then), each.arm.id),
    )


def _typical(measured: Measured, metric: str) -> float:
    """Geometric mean of the texts' medians; infinite where one is unknown, which is then never preferred."""
    medians = [
        median(values) if (values := [value for each in runs.values() for value in each[metric].flat]) else math.inf
        for runs in measured.values()
    ]
    return math.exp(fmean(math.log(each) for each in medians)) if min(medians) > 0 else 0.0


def _leads(
    measured: Mapping[Arm, Measured], best: Candidate, others: Sequence[Arm], objective: Objective
) -> tuple[Lead, ...]:
    """How far every other arm lies behind the best."""
    if objective.metric == "model_size":
        # Sizes are read, not estimated: another size is another size.
        return tuple(
            Lead(arm=arm, behind=None, level=_typical(measured[arm], objective.metric) == best.figure) for arm in others
        )
    pairs = [_pairs(measured[arm], measured[best.arm], objective.metric, measured.values()) for arm in others]
    level = 1 - (1 - LEVEL) / max(1, len(others))
    found = deferred_estimates(pairs)
    leads = []
    for arm, deferred in zip(others, found, strict=True):
        behind = deferred.estimate(level) if deferred else None
        ahead = behind is not None and behind.low > 0 and behind.point >= NEGLIGIBLE
        leads.append(Lead(arm=arm, behind=behind, level=not ahead, enough_pairs=behind is not None))
    return tuple(leads)


def _pairs(ours: Measured, theirs: Measured, metric: str, all_arms: Collection[Measured]) -> Grouped:
    """The log-ratios of two arms, launch by launch, over every run that has both; texts averaged within a block."""
    launches: list[tuple[float, ...]] = []
    texts = sorted(ours.keys() & theirs.keys())
    shared = [ours[text].keys() & theirs[text].keys() for text in texts]
    for run_id in sorted(set.intersection(*map(set, shared)) if shared else ()):
        try:
            sheets = [
                log_ratios_through(
                    ours[text][run_id][metric],
                    theirs[text][run_id][metric],
                    (each[text][run_id][metric] for each in all_arms if run_id in each[text]),
                )
                for text in texts
            ]
            launches += _averaged(sheets)
        except MeasurementError:
            return ()
    return tuple(launches)


def _averaged(sheets: Sequence[Grouped]) -> list[tuple[float, ...]]:
    """Mean over texts of each launch's pairs, as far as every text has them."""
    return [
        tuple(fmean(pairs) for pairs in zip(*launch, strict=False)) for launch in zip(*sheets, strict=False) if launch
    ]
