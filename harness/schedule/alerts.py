"""Which findings are new: a step is reported once when it appears and once when it has ended. Pure functions.

A step shows in two ways: the gate calls a figure regressed against the baseline, or the history of nights steps up
(`harness.analysis.changepoints.incremental`, as in the report), which needs no baseline and
finds slow drifts that the gate cannot see. The first to find a step reports it. A step that was reported, or that
appears in another metric of the same scenario, is not reported again. A metric that does not gate and a waived
regression are not reported at all.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise
from typing import Final, Protocol

from harness.analysis.changepoints.chain import chains
from harness.analysis.changepoints.detect import WINDOW, ChangePoint, unreported
from harness.analysis.changepoints.incremental import share_of_alpha
from harness.analysis.conclude import without_interval
from harness.analysis.messages import leniency, percent
from harness.core.records.reference import LoadedSubject
from harness.core.records.run import RunData
from harness.core.records.schedule import Alert, AlertEnding, AlertKind
from harness.core.records.verdict import REPLAYED, TargetKind, Verdict, VerdictKind
from harness.metrics.registry import METRICS
from harness.schedule.endings import DEFAULT_POLICY, AlertPolicy
from harness.schedule.line_steps import FRESH, line_of, may_have_stepped, steps_on
from harness.store.rows import SeriesPoint

NEAR: Final = 60
"""The newest runs of a trend, in which a fresh step shows if there is one."""

Key = tuple[AlertKind, str, str]
"""Kind, subject (a scenario or a job), metric."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """A problem that a run shows. `size` with its interval is a log-ratio, positive is worse."""

    kind: AlertKind
    subject: str
    metric: str
    run_id: str
    sentence: str
    size: float | None = None
    low: float | None = None
    high: float | None = None
    suspects: tuple[str, ...] = ()

    @property
    def key(self) -> Key:
        """Kind, subject and metric."""
        return self.kind, self.subject, self.metric


@dataclass(frozen=True, slots=True, kw_only=True)
class Findings:
    """The result of a run: its problems, and the keys of those that it shows to be recovered."""

    wrong: tuple[Finding, ...] = ()
    right: frozenset[Key] = frozenset()
    of_machine: tuple[Finding, ...] = ()
    """Steps of the history that do not come from what was under test."""


@dataclass(frozen=True, slots=True, kw_only=True)
class News:
    """`reported`: new findings; `joined`: the same step in another metric, stored but not sent; `ended`: to close."""

    reported: tuple[Finding, ...] = ()
    joined: tuple[Finding, ...] = ()
    ended: Mapping[AlertEnding, tuple[Alert, ...]] = field(default_factory=dict)

    @property
    def recovered(self) -> tuple[Alert, ...]:
        """The alerts whose problem is gone."""
        return self.ended.get(AlertEnding.RECOVERED, ())


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

    @property
    def is_no_worse(self) -> bool:
        """Whether pairs with the accepted subject show that the metric is no worse by the tolerance."""
        return (
            self.verdict is not None
            and self.verdict.reference.startswith(REPLAYED)
            and self.verdict.kind in (VerdictKind.UNCHANGED, VerdictKind.IMPROVED)
        )


class UnderTest(Protocol):
    """What was under test, run by run."""

    def __call__(self, scenario_id: str, metric: str, run_ids: Sequence[str]) -> Sequence[Tested]:
        """For each run, in their order."""
        ...


def nothing_known(scenario_id: str, metric: str, run_ids: Sequence[str]) -> Sequence[Tested]:
    """No subject is known."""
    del scenario_id, metric
    return [Tested() for _ in run_ids]


def of_job(job: str, *, run_id: str, failed: str) -> Findings:
    """The finding on whether a job's run was completed. `failed` is the reason if it was not."""
    key = (AlertKind.FAILURE, job, "")
    if not failed:
        return Findings(right=frozenset({key}))
    finding = Finding(
        kind=AlertKind.FAILURE, subject=job, metric="", run_id=run_id, sentence=f"job {job} failed: {failed}"
    )
    return Findings(wrong=(finding,))


def of_verdicts(data: RunData) -> Findings:
    """The findings of the gate and of the targets on a run."""
    wrong: list[Finding] = []
    right: set[Key] = set()
    for verdict in data.verdicts:
        key = (AlertKind.REGRESSION, verdict.scenario_id, verdict.metric)
        if verdict.kind in (VerdictKind.UNCHANGED, VerdictKind.SAME_SUBJECT, VerdictKind.IMPROVED):
            right.add(key)
        elif verdict.fails and verdict.change is not None:
            change = verdict.change
            span = f"{percent(change.point)} (interval {percent(change.low)} to {percent(change.high)})"
            wrong.append(
                Finding(
                    kind=key[0], subject=key[1], metric=key[2], run_id=data.run.id, size=change.point, low=change.low,
                    high=change.high, suspects=verdict.suspects,
                    sentence="; ".join(
                        filter(
                            None,
                            (f"{verdict.metric} of {verdict.scenario_id} is worse by {span}", leniency(verdict)),
                        )
                    ),
                )
            )  # fmt: skip
    alone = without_interval(data)
    for target in data.targets:
        key = (AlertKind.TARGET, target.scenario_id, target.metric)
        if target.kind is TargetKind.MET:
            right.add(key)
        elif target.kind is TargetKind.MISSED:
            shown = METRICS[target.metric].format
            observed = "unknown" if target.observed.value is None else shown(target.observed.value)
            sentence = f"{target.metric} of {target.scenario_id} misses its target: {observed}, {shown(target.limit)}"
            if key[1:] in alone:
                sentence += f"; {alone[key[1:]]}"
            wrong.append(Finding(kind=key[0], subject=key[1], metric=key[2], run_id=data.run.id, sentence=sentence))
    return Findings(wrong=tuple(wrong), right=frozenset(right))


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
        key = (AlertKind.REGRESSION, scenario_id, metric)
        own = [alert for alert in alerts if _key(alert) == key]
        worse, better = _fresh(steps, run_ids, tolerance=tolerance, own=own)
        for step in worse:
            # The runs before the step count too, because its place may be off by a few.
            over = tested(scenario_id, metric, run_ids[max(0, step.index - WINDOW) :])
            (of_machine if _is_of_machine(over) else wrong).append(_stepped(step, run_ids, key=key))
        if better and any(
            alert.closed_at is None and _place(alert.run_id, run_ids, late=-1) < better[-1].index for alert in own
        ):
            right.add(key)
    return Findings(wrong=tuple(wrong), right=frozenset(right), of_machine=tuple(of_machine))


def _is_of_machine(runs: Sequence[Tested]) -> bool:
    """Whether a step over these runs cannot come from what was under test.

    The subject may change once, from the accepted one to one that pairs with it show to be no worse. Several such
    changes may add up to more than the tolerance.
    """
    if any(run.subject is None for run in runs):
        return False
    changes = [(one, other) for one, other in pairwise(runs) if one.subject != other.subject]
    return len(changes) <= 1 and all(one.is_accepted and other.is_no_worse for one, other in changes)


def news(
    findings: Sequence[Findings],
    alerts: Sequence[Alert],
    *,
    runs: Sequence[str] = (),
    ended: Mapping[int, AlertEnding] | None = None,
    policy: AlertPolicy = DEFAULT_POLICY,
) -> News:
    """The `findings` that no stored alert covers. `runs` are the machine's runs, oldest first.

    `ended` (`harness.schedule.endings`) are the keys of alerts that are accepted or waived. They cover no finding: what
    is worse than an accepted level is news.
    """
    ended = ended or {}
    open_alerts = [alert for alert in alerts if alert.closed_at is None and alert.key not in ended]
    places = {run_id: place for place, run_id in enumerate(runs)}
    wrong = {finding.key: finding for found in reversed(findings) for finding in reversed(found.wrong)}
    right = {key for found in findings for key in found.right} - wrong.keys()
    reported: list[Finding] = []
    joined: list[Finding] = []
    for finding in wrong.values():
        own = [alert for alert in open_alerts if _key(alert) == finding.key]
        if own and not all(_further(finding, alert, policy) for alert in own):
            continue
        same_step = not own and any(
            alert.kind is AlertKind.REGRESSION
            and alert.subject == finding.subject
            and alert.run_id in places
            and abs(places.get(finding.run_id, len(runs)) - places[alert.run_id]) <= WINDOW
            for alert in open_alerts
        )
        (joined if finding.kind is AlertKind.REGRESSION and same_step else reported).append(finding)
    closed: dict[AlertEnding, tuple[Alert, ...]] = {
        AlertEnding.RECOVERED: tuple(alert for alert in open_alerts if _key(alert) in right)
    }
    for ending in (AlertEnding.ACCEPTED, AlertEnding.WAIVED):
        closed[ending] = tuple(alert for alert in alerts if ended.get(alert.key) is ending)
    return News(
        reported=tuple(reported), joined=tuple(joined), ended={ending: of for ending, of in closed.items() if of}
    )


def alert_of(finding: Finding, *, machine_key: str, now: float) -> Alert:
    """The alert to store for a finding."""
    return Alert(
        key=0, machine_key=machine_key, kind=finding.kind, subject=finding.subject, metric=finding.metric,
        run_id=finding.run_id, opened_at=now, sentence=finding.sentence, size=finding.size, low=finding.low,
        high=finding.high, closed_at=None, closed_by="", trouble="",
    )  # fmt: skip


def _further(finding: Finding, alert: Alert, policy: AlertPolicy) -> bool:
    """Whether an open regression has grown: beyond its interval, and by more than the tolerance."""
    if finding.size is None or finding.low is None or alert.size is None or alert.high is None:
        return False
    tolerance = math.log1p(policy.tolerance(finding.subject, finding.metric))
    return finding.low > alert.high and finding.size - alert.size >= tolerance


def _fresh(
    steps: Sequence[ChangePoint], run_ids: Sequence[str], *, tolerance: float, own: Sequence[Alert]
) -> tuple[tuple[ChangePoint, ...], tuple[ChangePoint, ...]]:
    """The unreported fresh steps to the worse, and the fresh steps to the better, if at least the tolerance."""
    fresh = [step for step in steps if step.index >= len(run_ids) - FRESH and abs(step.size) >= tolerance]
    reported = [_place(alert.run_id, run_ids, late=-FRESH * 10) for alert in own]
    worse = [step for step in fresh if step.low > 0]
    return unreported(worse, reported), tuple(step for step in fresh if step.high < 0)


def _stepped(step: ChangePoint, run_ids: Sequence[str], *, key: Key) -> Finding:
    run_id = run_ids[step.index]
    span = f"{percent(step.size)} (interval {percent(step.low)} to {percent(step.high)})"
    sentence = f"{key[2]} of {key[1]} stepped up by {span} at run {run_id}"
    if not METRICS[key[2]].lower_is_better:
        sentence = sentence.replace("stepped up by", "got worse by")
    return Finding(
        kind=key[0], subject=key[1], metric=key[2], run_id=run_id, sentence=sentence,
        size=step.size, low=step.low, high=step.high,
    )  # fmt: skip


def _place(run_id: str, run_ids: Sequence[str], *, late: int) -> int:
    return run_ids.index(run_id) if run_id in run_ids else late


def _worse(step: ChangePoint, metric: str) -> ChangePoint:
    """The step with the sign of its size changed so that positive is worse."""
    return step if METRICS[metric].lower_is_better else replace(step, size=-step.size)


def _key(alert: Alert) -> Key:
    return alert.kind, alert.subject, alert.metric
