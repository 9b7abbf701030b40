"""The first measurement of a bisection: a duel of bad against good, which must show that a metric differs."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from harness.analysis.bisection.answer import known_of
from harness.analysis.finished import Finished
from harness.analysis.sequential import EARLIEST_BLOCKS
from harness.analysis.stats.paired import deferred_estimates
from harness.core.errors import MeasurementError
from harness.core.records.bisection import Known
from harness.core.records.run import RunData
from harness.core.records.scenario import Arm
from harness.core.records.verdict import Verdict, VerdictKind
from harness.metrics.derive import RunValues
from harness.metrics.values import paired_log_ratios
from harness.plan.config import Config, with_values
from harness.runner.bisect.probe import FEWEST_LAUNCHES, mode_of, once_a_launch, policy_for
from harness.runner.duel import DuelArms
from harness.runner.duel_causes import CHANGED, pairs_of
from harness.runner.duel_terms import launches_known_here
from harness.runner.run_duel import run_duel

FIRST_SHARE = 0.25
"""The greatest share of the budget for this duel, which ends as soon as a difference is shown."""
LAUNCHES_OF_STARTS = 4
"""Launches where a metric has one value for each."""
OPEN = VerdictKind.INCONCLUSIVE
BY_URGENCY = (VerdictKind.FAILED, VerdictKind.REGRESSED, VerdictKind.IMPROVED, OPEN)


@dataclass(frozen=True, slots=True, kw_only=True)
class Ends:
    """What the duel of bad against good showed.

    `kind` is the gate's verdict on `metric`. `whole` is the log-ratio of bad to good; None without a difference.
    `least_s` is the least time (s) that its launches and blocks take. Without a difference `reason` says what was
    found, and `advice` what would decide.
    """

    run_id: str
    started_at: float
    metric: str
    kind: VerdictKind
    whole: Known | None = None
    least_s: float = 0.0
    reason: str = ""
    advice: str = ""
    too_few: bool = False
    """Whether it has too few pairs for an interval."""

    @property
    def differ(self) -> bool:
        """Whether a difference is shown."""
        return self.kind in CHANGED and self.whole is not None


def measure_ends(
    config: Config, *, good: Arm, bad: Arm, metric: str, effect: float, streamed: bool, selection: str
) -> Finished:
    """Run and store the duel within its share of the budget; it may be interrupted."""
    whole_s = config["budget"]
    config = for_metric(with_values(config, {"budget": FIRST_SHARE * whole_s}), metric)
    return run_duel(
        config,
        DuelArms(candidate=bad, reference=good),
        effect=effect,
        selection=selection,
        launches=launches_known_here(config),
        mode=mode_of(metric, streamed=streamed),
        part_of_s=whole_s,
    )


def for_metric(config: Config, metric: str) -> Config:
    """The configuration with the launches and blocks that a metric needs; it alone gates. "": all metrics gate."""
    if not metric:
        return config
    settled: dict[str, object] = {"gate-metrics": (metric,)}
    if once_a_launch(metric):
        settled |= {"launches": config.chosen("launches", LAUNCHES_OF_STARTS), "blocks": config.chosen("blocks", 1)}
    return replace(with_values(config, settled), origins={**config.origins, **dict.fromkeys(settled, "bisect")})


def judge_ends(config: Config, values: RunValues, *, metric: str) -> Ends:
    """What a duel of bad and good shows of a metric; of "", of the first that differs.

    Raises MeasurementError if one of the two could not be measured.
    """
    data = values.data
    verdict = _deciding(data.verdicts, metric)
    if verdict is None or verdict.kind is VerdictKind.FAILED:
        reason = verdict.reason if verdict else f"they have no value of {metric or 'any compared metric'}"
        raise MeasurementError(
            f"good and bad cannot be compared: {reason}",
            where=f"run {data.run.id}",
            remedy=f"`kokoro-bench runs show {data.run.id}` has every failure",
        )
    ends = Ends(
        run_id=data.run.id,
        started_at=data.run.started_at,
        metric=verdict.metric,
        kind=verdict.kind,
        least_s=_least_s(data, once=once_a_launch(verdict.metric)),
    )
    if verdict.kind not in CHANGED:
        advice = verdict.advice or ("" if metric else _others(data.verdicts))
        reason = f"{verdict.metric}: {verdict.reason}"
        return replace(ends, reason=reason, advice=advice, too_few=verdict.change is None)
    candidate, reference = pairs_of(data)[0]
    pairs = paired_log_ratios(values.of(candidate)[verdict.metric], values.of(reference)[verdict.metric])
    policy = policy_for(config, [candidate.arm, reference.arm], data)
    (found,) = deferred_estimates([pairs], launch_inflation=policy.launch_inflation, launch_sd=policy.launch_sd)
    return replace(ends, whole=known_of(found) if found else None)


def _deciding(verdicts: Sequence[Verdict], metric: str) -> Verdict | None:
    """The verdict on the metric; without one the first regression, else improvement, else whatever else there is.

    Metrics of which a duel has too few values come last.
    """
    ours = [each for each in verdicts if not metric or each.metric == metric or each.kind is VerdictKind.FAILED]
    ours.sort(key=lambda each: each.change is None)
    found = (each for kind in BY_URGENCY for each in ours if each.kind is kind and (kind is not OPEN or each.change))
    return next(found, ours[0] if ours else None)


def _others(verdicts: Sequence[Verdict]) -> str:
    """What to do about metrics of which a duel has too few values to show a difference; "" if there are none."""
    few = [each.metric for each in verdicts if each.change is None and once_a_launch(each.metric)]
    return f"`--metric {few[0]}` follows a metric with one value a launch, which needs more launches" if few else ""


def _least_s(data: RunData, *, once: bool) -> float:
    """The time (s) that the least launches and blocks of the duel's arms take."""
    if not data.blocks:
        return data.seconds
    first = data.blocks[0]
    launch_s, block_s = max(0.0, first.started_at - data.run.started_at), first.wall_ns / 1e9
    return LAUNCHES_OF_STARTS * launch_s if once else FEWEST_LAUNCHES * launch_s + EARLIEST_BLOCKS * block_s
