"""Summaries, verdicts and targets of synthetic runs, by a simple rule: the gate is not under test here."""

import math
from collections.abc import Iterable, Mapping, Sequence
from statistics import fmean, median, quantiles, stdev
from typing import TYPE_CHECKING

from harness.core.records.repetition import Launch, Phase, Repetition
from harness.core.records.scenario import Scenario
from harness.core.records.value import known, unknown
from harness.core.records.verdict import Estimate, Summary, TargetKind, TargetResult, Verdict, VerdictKind

if TYPE_CHECKING:
    from benchmarks.synthetic_run import Made

LEVEL = 0.999
TOLERANCE = math.log(1.05)
REFERENCE = "the 10 runs promoted for this machine"
LIMITS = {"ttfa": 0.8, "rtf": 1.0, "success_rate": 0.99}
SYNTHESIS = ("ttfa", "ttfc", "latency", "rtf", "rtf_model", "cpu_per_audio", "rss_peak", "success_rate")


def conclude(
    made: "Made",
    scenarios: Sequence[Scenario],
    launches: Sequence[Launch],
    repetitions: Sequence[Repetition],
    night: int,
) -> tuple[tuple[Summary, ...], tuple[Verdict, ...], tuple[TargetResult, ...]]:
    """The verdicts on a synthetic run whose planted steps are known."""
    of_scenario: dict[str, list[Repetition]] = {scenario.id: [] for scenario in scenarios}
    for repetition in repetitions:
        of_scenario[repetition.scenario_id].append(repetition)
    summaries: list[Summary] = []
    for scenario in scenarios:
        if scenario.mode.is_start_up:
            seconds = [sum(part.ns for part in each.parts) / 1e9 for each in launches if each.arm_id == scenario.arm.id]
            summaries.append(summarise(scenario.id, "load_time", {n: [s] for n, s in enumerate(seconds)}))
            continue
        values = _values(of_scenario[scenario.id])
        summaries += [summarise(scenario.id, metric, values.get(metric, {})) for metric in SYNTHESIS]
    verdicts = tuple(_verdict(made, summary, night) for summary in summaries)
    targets = tuple(_target(summary) for summary in summaries if summary.metric in LIMITS)
    return tuple(summaries), verdicts, targets


def _values(repetitions: Iterable[Repetition]) -> Mapping[str, dict[int, list[float]]]:
    values: dict[str, dict[int, list[float]]] = {}

    def add(metric: str, launch: int, value: float) -> None:
        values.setdefault(metric, {}).setdefault(launch, []).append(value)

    for each in repetitions:
        if each.phase is Phase.WARMUP:
            if each.memory.peak is not None:
                add("rss_peak", each.launch, float(each.memory.peak))
            continue
        add("success_rate", each.launch, float(each.outcome.valid))
        if not each.outcome.valid or each.audio is None or each.audio.onset_frame is None:
            continue
        spoken = each.audio.frames / each.audio.sample_rate
        add("ttfc", each.launch, each.chunks[0].at_ns / 1e9)
        add("ttfa", each.launch, each.chunks[0].at_ns / 1e9 + each.audio.onset_frame / each.audio.sample_rate)
        add("latency", each.launch, each.end_ns / 1e9)
        add("rtf", each.launch, each.end_ns / 1e9 / spoken)
        model_ns = sum(stage.end_ns - stage.start_ns for stage in each.stages if stage.stage == "inference")
        add("rtf_model", each.launch, model_ns / 1e9 / spoken)
        if each.cpu_ns is not None:
            add("cpu_per_audio", each.launch, each.cpu_ns / 1e9 / spoken)
    return values


def summarise(scenario_id: str, metric: str, grouped: Mapping[int, Sequence[float]]) -> Summary:
    """Median, quartiles and an interval over values grouped by launch."""
    values = sorted(value for group in grouped.values() for value in group)
    if metric == "success_rate" and values:
        return _success(scenario_id, values, launches=len(grouped))
    if not values:
        reason = "the kernel does not allow a reset of the mark" if metric == "rss_peak" else "no valid repetition"
        return Summary(scenario_id=scenario_id, metric=metric, definition=1, n=0, reason=reason)
    middle = median(values)
    q1, _, q3 = quantiles(values, n=4, method="inclusive") if len(values) > 1 else (middle, middle, middle)
    half = 3.3 * 1.25 * (stdev(values) / math.sqrt(len(values)) if len(values) > 1 else 0.0)
    return Summary(
        scenario_id=scenario_id,
        metric=metric,
        definition=1,
        n=len(values),
        median=middle,
        q1=q1,
        q3=q3,
        minimum=values[0],
        maximum=values[-1],
        interval=Estimate(
            point=middle,
            low=middle - half,
            high=middle + half,
            level=LEVEL,
            method="hierarchical bootstrap",
            n=len(values),
            launches=len(grouped),
        ),
    )


def _success(scenario_id: str, values: Sequence[float], *, launches: int) -> Summary:
    rate, n = fmean(values), len(values)
    middle = (rate + 2 / n) / (1 + 4 / n)
    half = 2 / (1 + 4 / n) * math.sqrt(rate * (1 - rate) / n + 1 / n**2)
    low, high = max(0.0, middle - half), min(1.0, middle + half)
    interval = Estimate(point=rate, low=low, high=high, level=0.95, method="Wilson", n=n, launches=launches)
    return Summary(scenario_id=scenario_id, metric="success_rate", definition=1, n=n, median=rate, interval=interval)


def _verdict(made: "Made", summary: Summary, night: int) -> Verdict:
    from benchmarks.synthetic_run import factor, hash_of

    scenario_id, metric = summary.scenario_id, summary.metric
    if not summary.n or (metric == "success_rate" and summary.median == 0):
        return Verdict(
            scenario_id=scenario_id,
            metric=metric,
            kind=VerdictKind.FAILED,
            reason=summary.reason or "nothing succeeded",
        )
    if night == 0:
        advice = "kokoro-bench baseline promote RUN"
        reason = "no run of this machine was promoted yet"
        return Verdict(
            scenario_id=scenario_id, metric=metric, kind=VerdictKind.NO_BASELINE, reason=reason, advice=advice
        )
    noise = (hash_of(f"{made.seed}/{night}/{scenario_id}/{metric}") % 2001 - 1000) / 1000
    timed = metric not in ("rss_peak", "success_rate", "load_time")
    change = (math.log(factor(made, scenario_id, night)) if timed else 0.0) + 0.006 * noise
    half = 0.018 + (0.05 if metric == "load_time" else 0.0)
    estimate = Estimate(
        point=change,
        low=change - half,
        high=change + half,
        level=LEVEL,
        method="prediction from the accepted runs",
        n=summary.n,
        launches=made.launches,
    )
    kind = _kind(estimate)
    moved = kind in (VerdictKind.REGRESSED, VerdictKind.IMPROVED)
    return Verdict(
        scenario_id=scenario_id,
        metric=metric,
        kind=kind,
        reference=REFERENCE,
        change=estimate,
        tolerance=TOLERANCE,
        detectable=half * 1.4,
        reason="the interval is wider than the tolerance" if kind is VerdictKind.INCONCLUSIVE else "",
        advice="kokoro-bench run --budget 600" if kind is VerdictKind.INCONCLUSIVE else "",
        suspects=(
            "onnxruntime 1.31.1 → 1.32.0",
            "stage inference: +41.2 ms (+36.0 to +46.4 at 99.75 %) of +43.0 ms (400.1 → 441.3)",
        )
        if moved
        else (),
    )


def _kind(change: Estimate) -> VerdictKind:
    if change.low > 0 and change.point >= TOLERANCE:
        return VerdictKind.REGRESSED
    if change.high < 0 and change.point <= -TOLERANCE:
        return VerdictKind.IMPROVED
    if change.low > -TOLERANCE and change.high < TOLERANCE:
        return VerdictKind.UNCHANGED
    return VerdictKind.INCONCLUSIVE


def _target(summary: Summary) -> TargetResult:
    limit = LIMITS[summary.metric]
    if summary.median is None:
        return TargetResult(
            scenario_id=summary.scenario_id,
            metric=summary.metric,
            limit=limit,
            kind=TargetKind.UNKNOWN,
            observed=unknown(summary.reason),
            reason=summary.reason,
        )
    met = summary.median > limit if summary.metric == "success_rate" else summary.median < limit
    return TargetResult(
        scenario_id=summary.scenario_id,
        metric=summary.metric,
        limit=limit,
        kind=TargetKind.MET if met else TargetKind.MISSED,
        observed=known(summary.median),
    )
