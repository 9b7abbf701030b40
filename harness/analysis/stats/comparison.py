"""The gate's input: two sides of one metric of one scenario, or the reason why they cannot be compared."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

from harness.metrics.metric import RUN_SPREAD, RunSpread

if TYPE_CHECKING:
    from collections.abc import Callable

    from harness.analysis.stats.grouped import Grouped
    from harness.core.records.value import Reading
    from harness.core.records.verdict import Estimate, VerdictKind, Waiver


@dataclass(frozen=True, slots=True, kw_only=True)
class Duel:
    """Two arms of one run: log(candidate / reference) per block, grouped by launch.

    `pair_sd` is the presumed standard deviation of values of which a launch has one; 0 if nothing is known of them.
    """

    pairs: Grouped
    pair_sd: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class BaselineRun:
    """One accepted run of one metric of one scenario.

    `log_median` is the natural logarithm of its median; `canary_log` that of the canary's median, None where the run
    has none.
    """

    run_id: str
    log_median: float
    n: int
    launches: int
    canary_log: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class AgainstBaseline:
    """A run's values (in the metric's unit, grouped by launch) and the accepted runs to compare with.

    `canary_log` is the natural logarithm of the new run's canary median, None where it has none. `prior` is what is
    known of the metric's spread between runs.
    """

    values: Grouped
    runs: tuple[BaselineRun, ...]
    canary_log: float | None = None
    prior: RunSpread = RUN_SPREAD


@dataclass(frozen=True, slots=True, kw_only=True)
class NotComparable:
    """Why there is nothing to compare. `kind` is the verdict: no baseline, incomparable, missing or failed.

    `reason` names the difference, the missing data or the failure; `advice`, if given, replaces the gate's own advice.
    """

    kind: VerdictKind
    reason: str
    advice: str = ""


ComparisonData: TypeAlias = "Duel | AgainstBaseline | NotComparable"


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """One gated (scenario, metric) pair.

    `tolerance` is a ratio (0.05: 5 %). `reference` names the other side for a reader (a run, a baseline, an arm).
    The advice names the run `run_id`, and computes a budget from `seconds_per_value`, if that is known: the time that
    one value took with all that belongs to it (start-ups, the other arm). `share` is the fraction of the error rate
    that this analysis may spend, if earlier analyses of the same data spent some of it.
    """

    scenario_id: str
    metric: str
    tolerance: float
    data: ComparisonData
    reference: str = ""
    higher_is_better: bool = False
    run_id: str = ""
    seconds_per_value: float | None = None
    share: float = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """A target: `observed` (a median, a rate) must lie below `limit`, or above it if `higher_is_better`.

    `interval` belongs to the observed value, or is None; it does not decide, it shows how near the limit is. `n` is the
    number of values if they have no interval, and 0 if they have one or need none. `shown` formats a value with its
    unit. A target that does not `gate` informs, and never decides the exit code.
    """

    scenario_id: str
    metric: str
    limit: float
    higher_is_better: bool
    observed: Reading
    interval: Estimate | None = None
    n: int = 0
    shown: Callable[[float], str] = "{:.4g}".format
    gates: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """How strict the gate is.

    `fdr` is the false-discovery rate over all gated pairs of a run. `power` is the probability that `detectable` refers
    to. With fewer than `min_launches` launches every verdict is inconclusive, because one process may differ by chance.
    `launch_inflation` is the presumed variance ratio of a duel's launches to what their pairs explain
    (`paired.launch_inflation` measures it). `launch_sd` is a presumed additional standard deviation of the launches'
    log-ratios. `require_answer` turns inconclusive and incomparable verdicts and unknown targets into exit code 4;
    `require_baseline` does so for a missing baseline. `allow_missing` accepts that baseline scenarios are missing. Only
    `gate_metrics` decide the exit code, or all if there are none; the others inform. `waivers` excuse regressions.
    """

    fdr: float = 0.01
    power: float = 0.9
    min_launches: int = 2
    launch_inflation: float = 1.0
    launch_sd: float = 0.0
    require_answer: bool = False
    require_baseline: bool = False
    allow_missing: bool = False
    gate_metrics: tuple[str, ...] = ()
    waivers: tuple[Waiver, ...] = ()

    def gates(self, metric: str) -> bool:
        """Whether a comparison of this metric decides the exit code."""
        return not self.gate_metrics or metric in self.gate_metrics
