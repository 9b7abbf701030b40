"""A verdict's sentences: the finding (`reason`) and the next step (`advice`)."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from harness.analysis.stats.comparison import AgainstBaseline, Duel
from harness.analysis.stats.power import values_to_settle
from harness.analysis.stats.run_spread import ENOUGH_RUNS
from harness.core.quantities import Figure
from harness.core.records.verdict import Leniency, VerdictKind

if TYPE_CHECKING:
    from harness.analysis.stats.comparison import Comparison, Target
    from harness.analysis.stats.interval import DeferredEstimate
    from harness.core.records.verdict import Estimate, Verdict

LN_2 = math.log(2)
"""A log-ratio's interval that reaches this far to both sides excludes neither a halving nor a doubling."""

LONGEST_BUDGET_S = 4 * 3600.0
"""The advice does not recommend a budget longer than this."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """The facts that a verdict's sentences use.

    `few_launches` is the required number of launches if there were fewer, else None. `too_alike` is True if the
    accepted runs lie too close together to estimate the spread between runs.
    """

    comparison: Comparison
    kind: VerdictKind
    change: Estimate
    deferred: DeferredEstimate
    tolerance: float
    detectable: float
    alpha: float
    rule: str
    few_launches: int | None
    too_alike: bool = False


def leniency(verdict: Verdict) -> str:
    """Why a regression fails nothing, or that its waiver has expired; "" for all other verdicts. No full stop."""
    if verdict.leniency is Leniency.INFORMS:
        return "for information, the metric does not gate"
    waiver = verdict.waiver
    if waiver is None:
        return ""
    if waiver.expired:
        return f"the waiver for {waiver.scenarios} expired, it held until {waiver.until} ({waiver.reason})"
    return f"waived until {waiver.until} ({waiver.reason})"


def percent(log_ratio: float) -> str:
    """A log-ratio as a signed percentage: 0.0488 → "+5.0 %"."""
    if log_ratio > 5:  # a hundredfold and more is no longer read as a percentage
        return "over +14,000 %"
    return f"{Figure(math.expm1(log_ratio)):+.1%}".replace("%", " %")


def unsigned(log_ratio: float) -> str:
    """The absolute log-ratio as a percentage without a sign."""
    return percent(abs(log_ratio)).replace("+", "")


def reason(facts: Facts) -> str:
    """The finding, in one sentence."""
    change = facts.change
    found_at = f"{with_span(change).removesuffix(')')}, level {_level(change.level)})"
    bound = unsigned(facts.tolerance)
    if facts.few_launches is not None:
        made = "one launch" if change.launches == 1 else f"{change.launches} launches"
        found = f"{found_at}, from {made}; with fewer than {facts.few_launches} no change can be attributed"
    elif facts.kind is VerdictKind.REGRESSED:
        found = f"worse by {found_at}, at or beyond the tolerance of {bound}"
    elif facts.kind is VerdictKind.IMPROVED:
        found = f"better: {found_at}, at or beyond the tolerance of {bound}"
    elif facts.kind is VerdictKind.UNCHANGED:
        found = f"shown to be within ±{bound}: {found_at}"
    else:
        found = (
            f"neither a change nor its absence is shown: {found_at}; "
            f"a change of {unsigned(facts.detectable)} would have been found"
        )
    return f"{found}; {facts.rule}" if facts.rule else found


def advice(facts: Facts) -> str:
    """The next step with its command, or "" if there is nothing to do."""
    data = facts.comparison.data
    if facts.few_launches is not None:
        return f"run with `--launches {facts.few_launches}` or more"
    if facts.kind is VerdictKind.REGRESSED:
        if isinstance(data, Duel):
            return "`kokoro-bench report` shows the suspects"
        run = facts.comparison.run_id or "RUN"
        return (
            "`kokoro-bench duel` against the last good revision confirms it; "
            f"if it is meant, accept it: `kokoro-bench baseline promote {run}`"
        )
    if facts.kind is VerdictKind.INCONCLUSIVE:
        return _settle_duel(facts) if isinstance(data, Duel) else _settle_baseline(facts)
    return ""


def advice_without_data(comparison: Comparison, kind: VerdictKind) -> str:
    """The next step for a verdict without a comparison."""
    if kind is VerdictKind.NO_BASELINE:
        return f"make this run the first of a baseline: `kokoro-bench baseline promote {comparison.run_id or 'RUN'}`"
    if kind is VerdictKind.INCOMPARABLE:
        return "`kokoro-bench duel` compares both sides on this machine, now"
    if kind is VerdictKind.MISSING:
        return "measure the whole selection again: `kokoro-bench run`"
    if kind is VerdictKind.FAILED:
        return "`kokoro-bench doctor` checks the engine, the model and the machine"
    return "" if kind is VerdictKind.SAME_SUBJECT else "give it more time: a larger `--budget`"


def target_reason(target: Target, *, value: float, met: bool) -> str:
    """On which side of the limit the value lies, and whether the limit lies within its interval."""
    side = "above" if target.higher_is_better else "below"
    shown = target.shown
    sentence = f"{shown(value)} is {'' if met else 'not '}{side} {shown(target.limit)}"
    interval = target.interval
    if interval is None:
        return f"{sentence}; {no_interval(target.n)}" if target.n else sentence
    if interval.low <= target.limit <= interval.high:
        sentence += f", but the limit lies within its interval, {shown(interval.low)} to {shown(interval.high)}"
    return sentence


def no_interval(n: int) -> str:
    """The text that replaces an interval that `n` values (at least one) cannot give."""
    return "1 value: no interval" if n == 1 else f"{n} values: no interval"


def says_little(change: Estimate) -> bool:
    """Whether a log-ratio's interval contains both a halving and a doubling."""
    return change.low <= -LN_2 and change.high >= LN_2


def span(change: Estimate, *, between: str = " to ") -> str:
    """A log-ratio's interval as percentages, or `no_interval` if it is too wide to be useful."""
    if says_little(change):
        return no_interval(change.n)
    return f"{percent(change.low)}{between}{percent(change.high)}"


def with_span(change: Estimate) -> str:
    """A change and its interval in brackets: "+5.0 % (interval +3.8 % to +7.7 %)"."""
    return f"{percent(change.point)} ({'' if says_little(change) else 'interval '}{span(change)})"


def _settle_duel(facts: Facts) -> str:
    if facts.deferred.freedom < facts.deferred.launches and facts.deferred.launches > 1:
        return f"the launches disagree: use more of them, `--launches {2 * facts.deferred.launches}`"
    needed = values_to_settle(facts.deferred, tolerance=facts.tolerance, alpha=facts.alpha)
    seconds = facts.comparison.seconds_per_value
    if seconds is None:
        return f"about {needed} pairs instead of {facts.deferred.n} would settle it: a larger `--budget`"
    budget = needed * seconds
    if budget > LONGEST_BUDGET_S:
        return f"about {needed} pairs would settle it, which is too long; a wider tolerance or a quieter machine would"
    readable = math.ceil(budget / 10) * 10
    return f"about {needed} pairs instead of {facts.deferred.n} would settle it: `--budget {readable}s`"


def _settle_baseline(facts: Facts) -> str:
    data = facts.comparison.data
    runs = len(data.runs) if isinstance(data, AgainstBaseline) else 0
    if runs < ENOUGH_RUNS:
        return (
            f"accept {ENOUGH_RUNS - runs} more good runs: `kokoro-bench baseline promote RUN`; "
            "or use `kokoro-bench duel`, which needs none"
        )
    if facts.too_alike:
        return (
            "the accepted runs are too similar to show how much runs differ: promote runs from different days; "
            "`kokoro-bench duel` against the baseline's revision needs none"
        )
    return (
        "the accepted runs differ too much for this tolerance, and a longer run does not help; "
        "use `kokoro-bench duel` against the baseline's revision"
    )


def _level(level: float) -> str:
    """A probability near 1 with enough digits to distinguish it from 1: 99.97 %."""
    digits = max(0, math.ceil(-math.log10(1 - level)) - 1) if level < 1 else 0
    return f"{level * 100:.{digits}f} %"
