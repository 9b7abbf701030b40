"""What the gate is asked: two sides of one metric of one scenario, or the reason why there are not two."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Callable

    from harness.analysis.stats.grouped import Grouped
    from harness.core.records.value import Reading
    from harness.core.records.verdict import Estimate, VerdictKind


@dataclass(frozen=True, slots=True, kw_only=True)
class Duel:
    """Two arms of one run: log(candidate / reference) per block, grouped by launch (`paired.log_ratios`)."""

    pairs: Grouped


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
    """A run's values (in the metric's unit, grouped by launch) and the accepted runs that they are held against.

    `canary_log` is the natural logarithm of the new run's canary median, None where it has none.
    """

    values: Grouped
    runs: tuple[BaselineRun, ...]
    canary_log: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class NotComparable:
    """Why there is nothing to compare: `kind` is no baseline, incomparable, missing or failed, and is the verdict.

    `reason` names what differs, is absent or went wrong; `advice` stands in for the gate's own where it is given.
    """

    kind: VerdictKind
    reason: str
    advice: str = ""


ComparisonData: TypeAlias = "Duel | AgainstBaseline | NotComparable"


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """One gated (scenario, metric) pair.

    `tolerance` is a ratio (0.05: 5 %); `reference` names the other side for a reader (a run, a baseline, an arm);
    `run_id` is the run being judged, for the advice; `seconds_per_block` lets the advice speak of a budget.
    """

    scenario_id: str
    metric: str
    tolerance: float
    data: ComparisonData
    reference: str = ""
    higher_is_better: bool = False
    run_id: str = ""
    seconds_per_block: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """What a user is owed: `observed` (a median, a rate) must lie below `limit`, or above it if `higher_is_better`.

    `interval` is the observed figure's, where there is one: it does not decide, it says how near the limit is. `n` is
    how many values have no interval, 0 where there is one or none is needed. `shown` writes a figure with its unit.
    """

    scenario_id: str
    metric: str
    limit: float
    higher_is_better: bool
    observed: Reading
    interval: Estimate | None = None
    n: int = 0
    shown: Callable[[float], str] = "{:.4g}".format


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """How strict the gate is.

    `fdr` is the false-discovery rate over all gated pairs of a run; `power` the probability that `detectable` refers
    to; with fewer than `min_launches` launches nothing is decided, since a process cannot be told from a change;
    `launch_inflation` is how many times more the launches of a duel are presumed to differ than their pairs explain
    (`paired.launch_inflation` measures it), and `launch_sd` a standard deviation of the launches' own log-ratios that
    is presumed beside it.
    `require_answer` turns inconclusive and incomparable verdicts and unknown targets into exit code 4,
    `require_baseline` a missing baseline; `allow_missing` forgives scenarios that the baseline has and the run has not.
    """

    fdr: float = 0.01
    power: float = 0.9
    min_launches: int = 2
    launch_inflation: float = 1.0
    launch_sd: float = 0.0
    require_answer: bool = False
    require_baseline: bool = False
    allow_missing: bool = False
