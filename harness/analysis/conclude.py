"""Conclusions from a run's observations: summaries, comparisons with the baseline, targets, and the gate's verdicts."""

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace

from harness.analysis.against_reference import AgainstReference
from harness.analysis.engine_notes import engine_notes
from harness.analysis.explain import differences_from_accepted
from harness.analysis.gate import check_targets, run_gate
from harness.analysis.length_changes import length_notes
from harness.analysis.messages import no_interval
from harness.analysis.promotion import median_of_known
from harness.analysis.self_reports import server_notes
from harness.analysis.stats.comparison import AgainstBaseline, BaselineRun, Comparison, NotComparable, Policy, Target
from harness.analysis.stats.estimate import summarise
from harness.analysis.stats.launch_prior import EarlierLaunches, launch_prior
from harness.analysis.stats.sign_test import symmetry
from harness.core.records.repetition import OutcomeKind
from harness.core.records.run import RunData, RunStatus
from harness.core.records.scenario import Arm, Mode, Scenario
from harness.core.records.value import Reading, unknown
from harness.core.records.verdict import Summary, TargetResult, Verdict, VerdictKind
from harness.core.redaction import published_selection
from harness.metrics.derive import RunValues
from harness.metrics.metric import RUN_SPREAD, RunSpread
from harness.metrics.registry import METRICS, lacks_interval
from harness.metrics.values import Values
from harness.plan.config import DEFAULT_TOLERANCE, Config
from harness.plan.corpus import text_language
from harness.plan.patterns import of_scenario
from harness.store.baseline_files import BaselinePoint
from harness.store.baselines import Baselines, load_baselines

SUMMARY_LEVEL = 0.95
ALWAYS_GATES = ("success_rate",)
"""Built-in targets that decide every exit code: those of speed depend on the machine, failed requests do not."""
NOT_MEASURED = "the scenario was not validly measured"
LOST = (OutcomeKind.CRASHED, OutcomeKind.TIMEOUT)


@dataclass(frozen=True, slots=True, kw_only=True)
class Conclusions:
    """The conclusions of a run; `notes` are sentences about the run as a whole."""

    summaries: tuple[Summary, ...]
    verdicts: tuple[Verdict, ...]
    targets: tuple[TargetResult, ...]
    notes: tuple[str, ...] = ()


ScenarioValues = Mapping[str, Mapping[str, Values]]
"""Scenario id → metric → values."""


def policy_of(config: Config) -> Policy:
    """The user's policy. `--require baseline` wants a baseline, `--require answer` wants a decision too."""
    return Policy(
        require_answer=config["require"] == "answer",
        require_baseline=config["require"] in ("baseline", "answer"),
        gate_metrics=config["gate-metrics"],
        waivers=config.waivers,
    )


def conclude(
    data: RunData, *, config: Config, derived: RunValues | None = None, against: AgainstReference | None = None
) -> Conclusions:
    """The conclusions from a run's observations and the baseline; `derived` are the run's values, if known.

    `against` compares what is under test with the accepted reference; None: only values are compared.
    """
    values = all_values(derived or RunValues(data), config.targets)
    baselines = load_baselines(config.baselines, data.run.machine.key)
    summaries = summarise_all(data, values, baselines)
    comparisons = [
        comparison
        for scenario in data.run.scenarios
        for comparison in _comparisons(scenario, values[scenario.id], data=data, baselines=baselines)
    ]
    comparisons += _missing(data, baselines)
    comparisons = [replace(each, tolerance=config.tolerance(each.scenario_id, each.metric)) for each in comparisons]
    if against is None:
        verdicts = run_gate(comparisons, policy_of(config))
    else:
        # Pairs and remembered values together: the rate of false findings holds for the run as a whole.
        verdicts = run_gate(against.decided_together(comparisons), against.policy(policy_of(config)))
        verdicts = tuple(map(against.worded, verdicts))
    verdicts = tuple(
        each if against and against.is_replayed(each) else _with_suspects(each, data, baselines) for each in verdicts
    )
    lost = {scenario.id for scenario in data.run.scenarios if loss(scenario, data)}
    targets = check_targets(_targets(summaries, config, lost=lost))
    split = symmetry(verdicts)
    notes = (*server_notes(data), *engine_notes(data), *length_notes(data), *([split.sentence()] if split else []))
    notes = (*(against.notes() if against else ()), *notes)
    return Conclusions(summaries=summaries, verdicts=verdicts, targets=targets, notes=notes)


def all_values(derived: RunValues, targets: Sequence[tuple[str, str, float | None]] = ()) -> ScenarioValues:
    """Every metric of every scenario; goodput against `targets`: (pattern of scenario ids, metric, limit)."""
    return {
        scenario.id: derived.against(scenario, limits(targets, scenario.id)) for scenario in derived.data.run.scenarios
    }


def limits(targets: Sequence[tuple[str, str, float | None]], scenario_id: str) -> dict[str, float]:
    """Metric → limit for one scenario. The last matching pattern wins; the user's patterns come last."""
    return {name: limit for name, limit in of_scenario(targets, scenario_id).items() if limit is not None}


def summarise_all(data: RunData, values: ScenarioValues, baselines: Baselines | None = None) -> tuple[Summary, ...]:
    """One summary per scenario and metric; a summary without values has a reason.

    `baselines` are the machine's. The spread between the launches of accepted runs is the prior for this run's.
    """
    priors = {name: launch_prior(METRICS[name].launch_sd, _earlier_launches(name, baselines)) for name in METRICS}
    return tuple(
        replace(summary, interval=found.interval) if found.interval else summary
        for scenario in data.run.scenarios
        for name, found in values[scenario.id].items()
        for summary in [
            summarise(
                scenario_id=scenario.id,
                metric=name,
                definition=METRICS[name].definition,
                values=found.grouped,
                level=SUMMARY_LEVEL,
                bounds=METRICS[name].bounds,
                prior=priors[name],
                reason=found.reason,
            )
        ]
    )


def _earlier_launches(name: str, baselines: Baselines | None) -> list[EarlierLaunches]:
    """What the accepted runs of all scenarios tell of the launches of this metric, under today's definition."""
    points = [point for file in baselines.files.values() for point in file.metrics.get(name, ())] if baselines else []
    return [
        EarlierLaunches(spread=point.spread, launches=point.launches, values=point.n / point.launches)
        for point in points
        if point.spread is not None and point.definition == METRICS[name].definition
    ]


def _comparisons(
    scenario: Scenario, values: Mapping[str, Values], *, data: RunData, baselines: Baselines
) -> list[Comparison]:
    """One comparison per gated metric. A lost scenario, or one without a valid measurement, gives a single failure."""
    primary = values["load_time" if scenario.mode.is_start_up else "latency"]
    if lost := loss(scenario, data):
        reason = f"lost after {primary.n} valid: {lost}" if primary.n else lost
        failed = NotComparable(kind=VerdictKind.FAILED, reason=reason, advice=look_at(data))
        return [_comparison(scenario, primary.metric, failed, data)]
    if not primary.n:
        # A scenario that an interrupted run did not reach has not failed.
        ended_early = data.run.status in (RunStatus.INTERRUPTED, RunStatus.PARTIAL)
        kind = VerdictKind.FAILED if primary.counts.attempted or not ended_early else VerdictKind.MISSING
        failed = NotComparable(kind=kind, reason=primary.reason, advice=look_at(data))
        return [_comparison(scenario, primary.metric, failed, data)]
    found = []
    for name, each in values.items():
        if not METRICS[name].gated:
            continue
        points = baselines.for_pair(scenario.id, name)
        if each.n or points:
            found.append(
                _comparison(scenario, name, _sides(scenario, each, points, data=data, baselines=baselines), data)
            )
    return found


def loss(scenario: Scenario, data: RunData) -> str:
    """Why a scenario was abandoned: its worker was lost or could not be loaded. "" if it was not abandoned."""
    other_cache = "warm" if scenario.mode is Mode.LOAD_COLD else "cold"
    outcomes = [
        launch.outcome
        for launch in data.launches
        if launch.arm_id == scenario.arm.id
        and launch.dedicated == scenario.mode.starts_alone
        and launch.page_cache != other_cache
    ]
    outcomes += [
        repetition.outcome
        for repetition in data.repetitions
        # An engine that tells of a failure names the fault; of a worker that is gone only its end is known.
        if repetition.scenario_id == scenario.id and repetition.outcome.kind in LOST and not repetition.outcome.fault
    ]
    return next((outcome.reason for outcome in outcomes if not outcome.valid), "")


def _comparison(scenario: Scenario, name: str, sides: AgainstBaseline | NotComparable, data: RunData) -> Comparison:
    return Comparison(
        scenario_id=scenario.id,
        metric=name,
        tolerance=METRICS[name].tolerance or DEFAULT_TOLERANCE,
        data=sides,
        reference="baseline",
        higher_is_better=not METRICS[name].lower_is_better,
        run_id=data.run.id,
    )


def _sides(
    scenario: Scenario, values: Values, points: tuple[BaselinePoint, ...], *, data: RunData, baselines: Baselines
) -> AgainstBaseline | NotComparable:
    if not points:
        reason = baselines.missing_reason(scenario.id, values.metric)
        return NotComparable(kind=VerdictKind.NO_BASELINE, reason=reason)
    if not values.n:
        return NotComparable(kind=VerdictKind.MISSING, reason=f"in the baseline, but unknown here: {values.reason}")
    language = text_language(scenario)
    alike = [point for point in points if not _unlike(point, values.metric, data, language=language)]
    if not alike:
        fields = ", ".join(_unlike(points[-1], values.metric, data, language=language))
        return NotComparable(
            kind=VerdictKind.INCOMPARABLE,
            reason=f"measured otherwise than every accepted run: {fields}",
            advice=f"if this is the new way of measuring, `kokoro-bench baseline promote {data.run.id}`",
        )
    return AgainstBaseline(
        values=values.grouped,
        runs=tuple(
            BaselineRun(
                run_id=point.run.id,
                log_median=math.log(point.median),
                n=point.n,
                launches=point.launches,
                canary_log=math.log(point.run.canary_graph_ns) if point.run.canary_graph_ns else None,
            )
            for point in alike
            if point.median > 0
        ),
        canary_log=_canary_log(data),
        prior=_run_prior(scenario.arm, values.metric),
    )


def _unlike(point: BaselinePoint, name: str, data: RunData, *, language: str) -> list[str]:
    """The differences that make a baseline value, of a text in `language`, incomparable with this run's."""
    setting = data.run.setting
    found = []
    if point.definition != METRICS[name].definition:
        found.append(f"definition of {name} ({point.definition} there, {METRICS[name].definition} here)")
    corpus = setting.texts_in(language)
    if point.run.corpus != corpus:
        found.append(f"texts (corpus {point.run.corpus[:8]} there, {corpus[:8]} here)")
    if point.run.protocol != setting.protocol:
        found.append(f"way of measuring (protocol {point.run.protocol} there, {setting.protocol} here)")
    return found


def _missing(data: RunData, baselines: Baselines) -> list[Comparison]:
    """Scenarios that are in a baseline of the same selection, but not in this run."""
    present = {scenario.id for scenario in data.run.scenarios}
    selection = published_selection(data.run.selection)
    found = []
    for scenario_id, file in sorted(baselines.files.items()):
        points = [point for points in file.metrics.values() for point in points]
        selections = {published_selection(point.run.selection) for point in points}
        if scenario_id in present or selection not in selections:
            continue
        found.append(
            Comparison(
                scenario_id=scenario_id,
                metric="latency" if "latency" in file.metrics else min(file.metrics),
                tolerance=DEFAULT_TOLERANCE,
                data=NotComparable(
                    kind=VerdictKind.MISSING,
                    reason=f"in the baseline of the selection {selection!r}, but not in this run",
                    advice="bring it back, or remove its file from baselines/ if it is gone for good",
                ),
                reference="baseline",
                run_id=data.run.id,
            )
        )
    return found


def _targets(summaries: tuple[Summary, ...], config: Config, *, lost: Collection[str]) -> list[Target]:
    """Every limit on every scenario whose id its pattern matches.

    A metric without a value neither meets nor misses its target, and neither does an abandoned scenario. A scenario
    whose requests all failed still has a success rate. A built-in limit gates only where the user configured it.
    """
    return [
        Target(
            scenario_id=summary.scenario_id,
            metric=summary.metric,
            limit=limit,
            higher_is_better=not METRICS[summary.metric].lower_is_better,
            observed=unknown(NOT_MEASURED)
            if summary.scenario_id in lost
            else Reading(value=summary.median, reason=summary.reason),
            interval=None if summary.scenario_id in lost else summary.interval,
            n=summary.n if lacks_interval(summary) else 0,
            shown=METRICS[summary.metric].format,
            gates=summary.metric in (*ALWAYS_GATES, *limits(config["targets"], summary.scenario_id)),
        )
        for summary in summaries
        if (limit := limits(config.targets, summary.scenario_id).get(summary.metric)) is not None
    ]


def without_interval(data: RunData) -> Mapping[tuple[str, str], str]:
    """(Scenario id, metric) → "2 values: no interval", for each value without an interval."""
    return {(each.scenario_id, each.metric): no_interval(each.n) for each in data.summaries if lacks_interval(each)}


def _with_suspects(verdict: Verdict, data: RunData, baselines: Baselines) -> Verdict:
    if verdict.kind not in (VerdictKind.REGRESSED, VerdictKind.IMPROVED):
        return verdict
    points = baselines.for_pair(verdict.scenario_id, verdict.metric)
    if not points:
        return verdict
    return verdict.with_suspects(differences_from_accepted(points[-1].run, data, verdict))


def _canary_log(data: RunData) -> float | None:
    found = median_of_known([block.canary.graph_ns for block in data.blocks])
    return math.log(found) if found else None


def look_at(data: RunData) -> str:
    """Where to look after a failure."""
    return f"`kokoro-bench runs show {data.run.id}` has every failure with the end of its worker's stderr"


def _run_prior(arm: Arm, metric: str) -> RunSpread:
    """The registry's prior of `metric`; for a server that somebody else started, at least as wide as that of times.

    The launches of such an arm all meet the same process. What differs from one process to the next, such as memory,
    then differs between runs only, and no launch of the new run can contradict the prior.
    """
    spread = METRICS[metric].run_spread
    return RUN_SPREAD if arm.url and spread.sd < RUN_SPREAD.sd else spread
