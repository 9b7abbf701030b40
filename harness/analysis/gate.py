"""The gate: the only place where values become verdicts.

For tolerance τ, estimate e and interval [l, u] on the log-ratio, signed so that positive is worse:

    regressed     l > 0 and e ≥ τ
    improved      u < 0 and e ≤ −τ
    unchanged     −τ < l and u < τ
    inconclusive  none of these

The levels are set for the whole run, in two families. An estimate at or beyond the tolerance can only be a difference;
an estimate within it can only be an equivalence. So each pair belongs to exactly one family. Each family's intervals
have the level that controls its false-discovery rate (`stats.fdr`). A verdict stores the interval that decided it.

Where the user's policy names the metrics that gate, the others inform: their verdicts are in families of their own, so
that they cost the metrics that gate no power, and decide no exit code.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from harness.analysis import messages
from harness.analysis.stats.baseline import against_baselines
from harness.analysis.stats.comparison import AgainstBaseline, Duel, NotComparable, Policy
from harness.analysis.stats.fdr import cut
from harness.analysis.stats.grouped import logs, occupied
from harness.analysis.stats.paired import deferred_estimates
from harness.analysis.stats.power import detectable
from harness.core.errors import ExitCode, UsageError
from harness.core.records.verdict import TargetKind, TargetResult, Verdict, VerdictKind

if TYPE_CHECKING:
    from collections.abc import Sequence

    from harness.analysis.stats.baseline import Against
    from harness.analysis.stats.comparison import Comparison, Target
    from harness.analysis.stats.fdr import Cut
    from harness.analysis.stats.interval import DeferredEstimate
    from harness.core.records.verdict import Estimate

DEFAULT_POLICY = Policy()

SCENARIOS_TO_POOL = 5
"""With at least this many scenarios, the variances of their baselines are shrunk towards a common value."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Case:
    """A comparison with its estimate (positive is worse), or with the verdict that replaces an estimate."""

    comparison: Comparison
    tolerance: float
    deferred: DeferredEstimate | None = None
    rule: str = ""
    too_alike: bool = False
    exact: bool = False
    instead: NotComparable | None = None
    gates: bool = True

    def few(self, policy: Policy) -> bool:
        """Whether the launches are too few to attribute a change. A value that repeats exactly needs one."""
        return self.deferred is not None and not self.exact and self.deferred.launches < policy.min_launches

    @property
    def beyond(self) -> bool:
        """Whether the estimate is at or beyond the tolerance: then it can only be a difference."""
        return self.deferred is not None and abs(self.deferred.point) >= self.tolerance


@dataclass(frozen=True, slots=True, kw_only=True)
class _Levels:
    """The levels of both families of a group of cases."""

    differences: Cut
    equivalences: Cut


def run_gate(
    comparisons: Sequence[Comparison], policy: Policy = DEFAULT_POLICY, *, share: float = 1.0, others: int = 0
) -> tuple[Verdict, ...]:
    """Decide every comparison of a run together: one verdict per comparison, in the given order.

    `share` is the fraction of the error rate that this analysis may spend. It is 1 for a single analysis. After earlier
    analyses of the data, pass the stopping rule's `Decision.share` (`sequential`), or give each comparison its own.
    `others` is the number of further comparisons of the run that are decided later: they count as not rejected.
    """
    cases = _cases(comparisons, policy)
    levels = {
        gates: _levels([case for case in cases if case.gates == gates], policy, share=share, others=others)
        for gates in (True, False)
    }
    return tuple(replace(_verdict(case, policy, levels[case.gates]), gates=case.gates) for case in cases)


def _levels(cases: Sequence[_Case], policy: Policy, *, share: float, others: int) -> _Levels:
    judged = [case for case in cases if case.deferred is not None and not case.few(policy)]
    later = [1.0] * others
    return _Levels(
        differences=cut([*map(_p_difference, judged), *later], fdr=policy.fdr, share=share),
        equivalences=cut([*map(_p_equivalence, judged), *later], fdr=policy.fdr, share=share),
    )


def decide(change: Estimate, tolerance: float) -> VerdictKind:
    """Apply the table of verdicts to a log-ratio whose sign is positive for worse."""
    if change.low > 0 and change.point >= tolerance:
        return VerdictKind.REGRESSED
    if change.high < 0 and change.point <= -tolerance:
        return VerdictKind.IMPROVED
    if -tolerance < change.low and change.high < tolerance:
        return VerdictKind.UNCHANGED
    return VerdictKind.INCONCLUSIVE


def check_targets(targets: Sequence[Target]) -> tuple[TargetResult, ...]:
    """One result per target. Only the observed value decides: a target is a limit, not a test for change."""
    return tuple(_target(target) for target in targets)


def exit_code(
    verdicts: Sequence[Verdict], targets: Sequence[TargetResult], policy: Policy = DEFAULT_POLICY
) -> ExitCode:
    """The command's exit code. The first condition that holds wins: worse (1), not measured (3), undecided (4), ok (0).

    A regression outranks every other problem, so a crash elsewhere never hides it. A failed measurement outranks an
    undecided verdict, because nothing can be decided without a measurement. Waived regressions and verdicts that inform
    decide nothing.
    """
    kinds = {verdict.kind for verdict in verdicts if verdict.gates and verdict.leniency is None}
    target_kinds = {target.kind for target in targets}
    if VerdictKind.REGRESSED in kinds or TargetKind.MISSED in target_kinds:
        return ExitCode.WORSE
    if VerdictKind.FAILED in kinds or (VerdictKind.MISSING in kinds and not policy.allow_missing):
        return ExitCode.MEASUREMENT
    undecided = {VerdictKind.INCONCLUSIVE, VerdictKind.INCOMPARABLE} & kinds or TargetKind.UNKNOWN in target_kinds
    if policy.require_answer and undecided:
        return ExitCode.UNDECIDED
    if policy.require_baseline and VerdictKind.NO_BASELINE in kinds:
        return ExitCode.UNDECIDED
    return ExitCode.OK


def _cases(comparisons: Sequence[Comparison], policy: Policy) -> list[_Case]:
    """Estimate all duels together and all baselines together, because they share a machine."""
    duels = [one.data for one in comparisons if isinstance(one.data, Duel)]
    baselines = [one.data for one in comparisons if isinstance(one.data, AgainstBaseline)]
    # The metrics of one scenario come from the same repetitions, so they are not independent evidence on the machine.
    scenarios = {one.scenario_id for one in comparisons if isinstance(one.data, AgainstBaseline)}
    played = [one.scenario_id for one in comparisons if isinstance(one.data, Duel)]
    pairs = iter(
        deferred_estimates(
            [each.pairs for each in duels],
            scenarios=played,
            launch_inflation=policy.launch_inflation,
            launch_sd=policy.launch_sd,
            pair_sds=[each.pair_sd for each in duels],
        )
    )
    against = iter(against_baselines(baselines, pool=len(scenarios) >= SCENARIOS_TO_POOL))
    cases = []
    for comparison in comparisons:
        if isinstance(comparison.data, Duel):
            cases.append(_duel(comparison, next(pairs)))
        elif isinstance(comparison.data, AgainstBaseline):
            cases.append(_baseline(comparison, comparison.data, next(against)))
        else:
            cases.append(_Case(comparison=comparison, tolerance=_log_tolerance(comparison), instead=comparison.data))
    return [replace(case, gates=_gates(case, policy)) for case in cases]


def _gates(case: _Case, policy: Policy) -> bool:
    """Whether a case decides the exit code. A failure does, whichever metric stands for it."""
    failed = case.instead is not None and case.instead.kind is VerdictKind.FAILED
    return failed or policy.gates(case.comparison.metric)


def _duel(comparison: Comparison, deferred: DeferredEstimate | None) -> _Case:
    if deferred is None:
        return _instead(comparison, VerdictKind.INCONCLUSIVE, "fewer than three pairs were measured")
    return _case(comparison, deferred, "")


def _baseline(comparison: Comparison, data: AgainstBaseline, against: Against | None) -> _Case:
    if against is not None:
        case = _case(comparison, against.deferred, against.rule)
        return replace(case, too_alike=against.too_alike, exact=against.exact)
    values = occupied(data.values)
    if not data.runs:
        return _instead(comparison, VerdictKind.NO_BASELINE, "no accepted run has this metric of this scenario")
    if logs(values) is None:
        return _instead(
            comparison,
            VerdictKind.INCOMPARABLE,
            "values of zero or below have no ratio; a target can gate this metric",
        )
    return _instead(comparison, VerdictKind.INCONCLUSIVE, "fewer than two values were measured")


def _case(comparison: Comparison, deferred: DeferredEstimate, rule: str) -> _Case:
    signed = deferred.mirrored() if comparison.higher_is_better else deferred
    return _Case(comparison=comparison, tolerance=_log_tolerance(comparison), deferred=signed, rule=rule)


def _instead(comparison: Comparison, kind: VerdictKind, reason: str) -> _Case:
    instead = NotComparable(kind=kind, reason=reason)
    return _Case(comparison=comparison, tolerance=_log_tolerance(comparison), instead=instead)


def _log_tolerance(comparison: Comparison) -> float:
    if not 0 < comparison.tolerance < math.inf:
        raise UsageError(
            f"a tolerance of {comparison.tolerance} is not a ratio above zero",
            where=f"{comparison.scenario_id} {comparison.metric}",
            remedy="write 0.05 for 5 %",
        )
    return math.log1p(comparison.tolerance)


def _p_difference(case: _Case) -> float:
    """The p-value, or by Bonferroni over its analyses p / share, where earlier analyses spent the rest."""
    return case.deferred.p_difference() / case.comparison.share if case.deferred and case.beyond else 1.0


def _p_equivalence(case: _Case) -> float:
    deferred = case.deferred
    return deferred.p_equivalence(case.tolerance) / case.comparison.share if deferred and not case.beyond else 1.0


def _verdict(case: _Case, policy: Policy, levels: _Levels) -> Verdict:
    comparison, deferred = case.comparison, case.deferred
    if deferred is None:
        assert case.instead is not None  # noqa: S101 — a case has one or the other
        return Verdict(
            scenario_id=comparison.scenario_id,
            metric=comparison.metric,
            kind=case.instead.kind,
            reference=comparison.reference,
            tolerance=case.tolerance,
            reason=case.instead.reason,
            advice=case.instead.advice or messages.advice_without_data(comparison, case.instead.kind),
        )
    alpha = (levels.differences.alpha if case.beyond else levels.equivalences.alpha) * comparison.share
    change = deferred.estimate(1 - alpha)
    few = case.few(policy)
    kind = VerdictKind.INCONCLUSIVE if few else decide(change, case.tolerance)
    found = detectable(
        deferred, tolerance=case.tolerance, alpha=levels.differences.alpha * comparison.share, power=policy.power
    )
    facts = messages.Facts(
        comparison=comparison,
        kind=kind,
        change=change,
        deferred=deferred,
        tolerance=case.tolerance,
        detectable=found,
        alpha=alpha,
        rule=case.rule,
        few_launches=policy.min_launches if few else None,
        too_alike=case.too_alike,
    )
    return Verdict(
        scenario_id=comparison.scenario_id,
        metric=comparison.metric,
        kind=kind,
        reference=comparison.reference,
        change=change,
        tolerance=case.tolerance,
        detectable=found,
        reason=messages.reason(facts),
        advice=messages.advice(facts),
    )


def _target(target: Target) -> TargetResult:
    value = target.observed.value
    if value is None:
        kind, reason = TargetKind.UNKNOWN, target.observed.reason or "not measured"
    else:
        met = value > target.limit if target.higher_is_better else value < target.limit
        kind = TargetKind.MET if met else TargetKind.MISSED if target.gates else TargetKind.UNMET
        reason = messages.target_reason(target, value=value, met=met)
    return TargetResult(
        scenario_id=target.scenario_id,
        metric=target.metric,
        limit=target.limit,
        kind=kind,
        observed=target.observed,
        reason=reason,
    )
