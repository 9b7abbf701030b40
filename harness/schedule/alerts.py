"""Which findings are new: a step is reported once when it appears and once when it has ended. Pure functions.

A step shows in two ways: the gate calls a figure regressed or improved against the baseline, or the history of nights
steps (`harness.schedule.history_findings`). The first to find a step reports it. A step that was reported, or that
appears in another metric of the same scenario, is not reported again. A metric that does not gate and a waived
regression are not reported at all.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from harness.analysis.changepoints.detect import WINDOW
from harness.analysis.conclude import without_interval
from harness.analysis.messages import leniency, percent
from harness.core.records.run import RunData
from harness.core.records.schedule import Alert, AlertEnding, AlertKind, Confirmation
from harness.core.records.suspect import SuspectKind
from harness.core.records.verdict import TargetKind, Verdict, VerdictKind
from harness.metrics.registry import METRICS
from harness.schedule.endings import DEFAULT_POLICY, AlertPolicy

CHANGES: Final = (AlertKind.REGRESSION, AlertKind.IMPROVEMENT)
"""The kinds of findings that are a change of a metric: a duel can confirm them."""
REFUTES: Final = {
    AlertKind.REGRESSION: (VerdictKind.UNCHANGED, VerdictKind.SAME_SUBJECT, VerdictKind.IMPROVED),
    AlertKind.IMPROVEMENT: (VerdictKind.UNCHANGED, VerdictKind.SAME_SUBJECT, VerdictKind.REGRESSED),
}
"""Kind of a change → the verdicts of a later run that show it to be gone."""

ENOUGH: Final = 7
"""So many runs in a row within the tolerance end a change. If it lasted, each of them would lie beyond in at least half
of all cases: all seven within it are less probable than 1 %."""

Key = tuple[AlertKind, str, str]
"""Kind, subject (a scenario or a job), metric."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """A problem or a gain that a run shows. `size` with its interval is a log-ratio, positive is worse.

    `compared_with` is the run whose subject a duel has to compare with, for a step of the history; "" otherwise.
    """

    kind: AlertKind
    subject: str
    metric: str
    run_id: str
    sentence: str
    size: float | None = None
    low: float | None = None
    high: float | None = None
    suspects: tuple[str, ...] = ()
    suspect_kinds: tuple[SuspectKind, ...] = ()
    compared_with: str = ""

    @property
    def key(self) -> Key:
        """Kind, subject and metric."""
        return self.kind, self.subject, self.metric


@dataclass(frozen=True, slots=True, kw_only=True)
class Findings:
    """The result of a run: its problems and gains, and the keys of those that it shows to be gone."""

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
        right |= {(kind, verdict.scenario_id, verdict.metric) for kind in CHANGES if verdict.kind in REFUTES[kind]}
        if (finding := _of_verdict(verdict, run_id=data.run.id)) is not None:
            wrong.append(finding)
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


def _of_verdict(verdict: Verdict, *, run_id: str) -> Finding | None:
    """The finding of a verdict that is a regression or an improvement, as far as the user's policy lets it gate."""
    gained = verdict.kind is VerdictKind.IMPROVED and verdict.gates
    change = verdict.change
    if change is None or not (verdict.fails or gained):
        return None
    words = change_sentence(verdict.metric, verdict.scenario_id, (change.point, change.low, change.high), gained=gained)
    return Finding(
        kind=AlertKind.IMPROVEMENT if gained else AlertKind.REGRESSION, subject=verdict.scenario_id,
        metric=verdict.metric, run_id=run_id, sentence="; ".join(filter(None, (words, leniency(verdict)))),
        size=change.point, low=change.low, high=change.high, suspects=verdict.suspects,
        suspect_kinds=tuple(each.kind for each in verdict.suspected),
    )  # fmt: skip


def change_sentence(metric: str, subject: str, change: tuple[float, float, float], *, gained: bool) -> str:
    """A change of a metric (a log-ratio with its interval) of a scenario, without a full stop."""
    point, low, high = map(percent, change)
    return f"{metric} of {subject} is {'better' if gained else 'worse'} by {point} (interval {low} to {high})"


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
        own = [alert for alert in open_alerts if key_of(alert) == finding.key]
        if own and not all(_further(finding, alert, policy) for alert in own):
            continue
        same_step = not own and any(
            alert.kind is finding.kind
            and alert.subject == finding.subject
            and alert.run_id in places
            and not _over_since(alert, finding, alerts)
            and abs(places.get(finding.run_id, len(runs)) - places[alert.run_id]) <= WINDOW
            for alert in open_alerts
        )
        (joined if finding.kind in CHANGES and same_step else reported).append(finding)
    closed: dict[AlertEnding, tuple[Alert, ...]] = {
        # The duel that an alert waits for decides first: nobody knows of the alert yet.
        AlertEnding.RECOVERED: tuple(
            alert for alert in open_alerts if key_of(alert) in right and alert.confirmation is not Confirmation.WAITING
        )
    }
    for ending in (AlertEnding.ACCEPTED, AlertEnding.WAIVED):
        closed[ending] = tuple(alert for alert in alerts if ended.get(alert.key) is ending)
    return News(
        reported=tuple(reported), joined=tuple(joined), ended={ending: of for ending, of in closed.items() if of}
    )


def alert_of(
    finding: Finding, *, machine_key: str, now: float, found_in: str = "", confirmation: Confirmation | None = None
) -> Alert:
    """The alert to store for a finding of the run `found_in`."""
    return Alert(
        key=0, machine_key=machine_key, kind=finding.kind, subject=finding.subject, metric=finding.metric,
        run_id=finding.run_id, opened_at=now, sentence=finding.sentence, size=finding.size, low=finding.low,
        high=finding.high, closed_at=None, closed_by="", trouble="", found_in=found_in,
        compared_with=finding.compared_with, confirmation=confirmation,
    )  # fmt: skip


def _over_since(alert: Alert, finding: Finding, alerts: Sequence[Alert]) -> bool:
    """Whether the metric of a finding took part in the step of an open alert, and has recovered from it since."""
    return any(
        key_of(each) == finding.key and each.closed_at is not None and each.opened_at >= alert.opened_at
        for each in alerts
    )


def is_over(alert: Alert, verdicts: Sequence[Verdict]) -> bool:
    """Whether a change that the gate has found is gone, though the gate cannot show that nothing has changed.

    `verdicts` are those on the alert's metric since then, newest first. The newest lies within the tolerance, and its
    interval beyond that of the alert, or `ENOUGH` runs in a row lie within it. Without this an alert would stay open
    where the accepted runs are too few to show equivalence, and it keeps back the promotions that would be more.
    """
    sign = -1.0 if alert.kind is AlertKind.IMPROVEMENT else 1.0
    within = [
        each.change
        for each in verdicts[:ENOUGH]
        if each.change is not None and each.tolerance is not None and sign * each.change.point < each.tolerance
    ]
    if alert.kind not in CHANGES or alert.compared_with or not within or within[0] is not verdicts[0].change:
        return False
    if len(within) == ENOUGH:
        return True
    if alert.low is None or alert.high is None:
        return False
    return within[0].low > alert.high if sign < 0 else within[0].high < alert.low


def _further(finding: Finding, alert: Alert, policy: AlertPolicy) -> bool:
    """Whether an open change has grown: beyond its interval, and by more than the tolerance."""
    if finding.size is None or finding.low is None or finding.high is None:
        return False
    if alert.size is None or alert.low is None or alert.high is None:
        return False
    tolerance = math.log1p(policy.tolerance(finding.subject, finding.metric))
    if finding.kind is AlertKind.IMPROVEMENT:
        return finding.high < alert.low and alert.size - finding.size >= tolerance
    return finding.low > alert.high and finding.size - alert.size >= tolerance


def key_of(alert: Alert) -> Key:
    """Kind, subject and metric of an alert."""
    return alert.kind, alert.subject, alert.metric
