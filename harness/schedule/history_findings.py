"""Findings of the history: fresh steps of a machine's trends, which need no baseline. Pure functions.

The steps are those that the report marks (`harness.analysis.changepoints.incremental`). They also show slow drifts that
the gate cannot see.
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Final, Protocol

from harness.analysis.changepoints.chain import chains
from harness.analysis.changepoints.detect import WINDOW, ChangePoint, unreported
from harness.analysis.changepoints.incremental import share_of_alpha
from harness.analysis.messages import percent
from harness.core.records.reference import LoadedSubject
from harness.core.records.run import RunData
from harness.core.records.schedule import Alert, AlertKind
from harness.core.records.verdict import REPLAYED, Verdict, VerdictKind
from harness.metrics.registry import METRICS
from harness.schedule.alerts import Finding, Findings, Key, key_of
from harness.schedule.endings import DEFAULT_POLICY, AlertPolicy
from harness.schedule.line_steps import FRESH, line_of, may_have_stepped, steps_on
from harness.store.rows import SeriesPoint

NEAR: Final = 60
"""The newest runs of a trend, in which a fresh step shows if there is one."""


class Trends(Protocol):
    """The points of a machine's trends."""

    def __call__(
        self, scenario_id: str, metric: str, *, newest: int | None = None, verdicts: bool = True
    ) -> Sequence[SeriesPoint]:
        """The points of a trend, oldest first, with their `verdicts`; only the newest `newest` points, or all."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Tested:
    """What the workers of a scenario loaded in a run, None if it is unknown, and the verdict on one of its metrics."""

    subject: LoadedSubject | None = None
    verdict: Verdict | None = None

    @property
    def is_accepted(self) -> bool:
        """Whether the subject was the accepted one."""
        return self.verdict is not None and self.verdict.kind is VerdictKind.SAME_SUBJECT

    def excludes(self, kind: AlertKind) -> bool:
        """Whether pairs with the accepted subject show that the metric is no worse (or no better) by the tolerance."""
        other_way = VerdictKind.IMPROVED if kind is AlertKind.REGRESSION else VerdictKind.REGRESSED
        return (
            self.verdict is not None
            and self.verdict.reference.startswith(REPLAYED)
            and self.verdict.kind in (VerdictKind.UNCHANGED, other_way)
        )


class UnderTest(Protocol):
    """What was under test, run by run."""

    def __call__(self, scenario_id: str, metric: str, run_ids: Sequence[str]) -> Sequence[Tested]:
        """For each run, in their order."""
        ...


def nothing_known(scenario_id: str, metric: str, run_ids: Sequence[str]) -> Sequence[Tested]:
    """An `UnderTest` that knows no subject."""
    del scenario_id, metric
    return [Tested() for _ in run_ids]


def of_history(
    data: RunData,
    trends: Trends,
    alerts: Sequence[Alert],
    *,
    lines: int,
    policy: AlertPolicy = DEFAULT_POLICY,
    tested: UnderTest = nothing_known,
) -> Findings:
    """The fresh steps of every gated trend to which `data` adds a point: the report's steps, if at least the tolerance.

    `lines` is the number of gated trends of the machine. A step over which the subject stayed the same, or which the
    pairs of a replay do not show, is of the machine.
    """
    alpha = share_of_alpha(lines)
    replayed = {(each.scenario_id, each.metric) for each in data.verdicts if each.reference.startswith(REPLAYED)}
    wrong: list[Finding] = []
    right: set[Key] = set()
    of_machine: list[Finding] = []
    for summary in data.summaries:
        scenario_id, metric = summary.scenario_id, summary.metric
        if not METRICS[metric].gated or not policy.gates(metric) or not summary.median or summary.median < 0:
            continue
        if policy.waived(scenario_id, metric, at=data.run.started_at):
            continue
        pairs = (scenario_id, metric) in replayed
        newest = line_of(trends(scenario_id, metric, newest=NEAR, verdicts=pairs))
        tolerance = math.log1p(policy.tolerance(scenario_id, metric))
        logs = [[math.log(point.value) for point in newest if point.value is not None]]
        logs += [list(chain.values()) for chain in chains(newest)] if pairs else []
        if not any(may_have_stepped(each, tolerance) for each in logs):
            continue
        line = line_of(trends(scenario_id, metric))
        run_ids = [point.run_id for point in line]
        steps = [_worse(step, metric) for step in steps_on(line, alpha=alpha)]
        own = [alert for alert in alerts if (alert.subject, alert.metric) == (scenario_id, metric)]
        fresh = [step for step in steps if step.index >= len(run_ids) - FRESH and abs(step.size) >= tolerance]
        for step, kind in _unreported(fresh, run_ids, own):
            # The runs before the step count too, because its place may be off by a few.
            first = max(0, step.index - WINDOW)
            over = tested(scenario_id, metric, run_ids[first:])
            compared_with = _before(over, run_ids[first:], step.index - first)
            finding = _stepped(step, run_ids, key=(kind, scenario_id, metric), compared_with=compared_with)
            (of_machine if _is_of_machine(over, kind) else wrong).append(finding)
        right |= set(_undone(fresh, run_ids, own))
    return Findings(wrong=tuple(wrong), right=frozenset(right), of_machine=tuple(of_machine))


def _unreported(
    fresh: Sequence[ChangePoint], run_ids: Sequence[str], own: Sequence[Alert]
) -> list[tuple[ChangePoint, AlertKind]]:
    """The fresh steps that no alert reported, and their kind. A step back after an open regression is its recovery."""
    found = []
    for kind, steps in (
        (AlertKind.REGRESSION, [step for step in fresh if step.low > 0]),
        (AlertKind.IMPROVEMENT, [step for step in fresh if step.high < 0 and not _is_recovery(step, run_ids, own)]),
    ):
        reported = [_place(alert.run_id, run_ids, late=-FRESH * 10) for alert in own if alert.kind is kind]
        found += [(step, kind) for step in unreported(steps, reported)]
    return found


def _is_recovery(step: ChangePoint, run_ids: Sequence[str], own: Sequence[Alert]) -> bool:
    """Whether a step to the better ends a regression that is open, or that was closed about then."""
    return any(
        alert.kind is AlertKind.REGRESSION
        and _place(alert.run_id, run_ids, late=-1) < step.index
        and (alert.closed_at is None or _place(alert.closed_by, run_ids, late=-1) >= step.index - WINDOW)
        for alert in own
    )


def _undone(fresh: Sequence[ChangePoint], run_ids: Sequence[str], own: Sequence[Alert]) -> Iterable[Key]:
    """The keys of the open alerts on a change that a later step takes back."""
    for alert in own:
        back = [step for step in fresh if (step.high < 0 if alert.kind is AlertKind.REGRESSION else step.low > 0)]
        if alert.closed_at is None and back and _place(alert.run_id, run_ids, late=-1) < back[-1].index:
            yield key_of(alert)


def _is_of_machine(runs: Sequence[Tested], kind: AlertKind) -> bool:
    """Whether a step over these runs cannot come from what was under test.

    The subject may change once, from the accepted one to one that pairs with it show to be no worse (or no better).
    Several such changes may add up to more than the tolerance.
    """
    if any(run.subject is None for run in runs):
        return False
    changes = [(one, other) for one, other in pairwise(runs) if one.subject != other.subject]
    return len(changes) <= 1 and all(one.is_accepted and other.excludes(kind) for one, other in changes)


def _before(over: Sequence[Tested], run_ids: Sequence[str], index: int) -> str:
    """The run whose subject stands for the time before a step at `index`: the last one with another subject than now.

    If no subject before the step is known to be another one, it is the run before the step.
    """
    now = over[-1].subject
    for place in range(index - 1, -1, -1):
        if over[place].subject is not None and over[place].subject != now:
            return run_ids[place]
    return run_ids[max(0, index - 1)]


def _stepped(step: ChangePoint, run_ids: Sequence[str], *, key: Key, compared_with: str) -> Finding:
    kind, scenario_id, metric = key
    run_id = run_ids[step.index]
    span = f"{percent(step.size)} (interval {percent(step.low)} to {percent(step.high)})"
    if METRICS[metric].lower_is_better:
        moved = "stepped up by" if kind is AlertKind.REGRESSION else "stepped down by"
    else:
        moved = "got worse by" if kind is AlertKind.REGRESSION else "got better by"
    return Finding(
        kind=kind, subject=scenario_id, metric=metric, run_id=run_id, size=step.size, low=step.low, high=step.high,
        sentence=f"{metric} of {scenario_id} {moved} {span} at run {run_id}", compared_with=compared_with,
    )  # fmt: skip


def _place(run_id: str, run_ids: Sequence[str], *, late: int) -> int:
    return run_ids.index(run_id) if run_id in run_ids else late


def _worse(step: ChangePoint, metric: str) -> ChangePoint:
    """The step with the sign of its size changed so that positive is worse."""
    return step if METRICS[metric].lower_is_better else replace(step, size=-step.size)
