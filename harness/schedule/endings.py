"""Why an open alert on a change ends other than by recovery: the user waives it, or the new level was accepted."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from harness.core.records.reference import AcceptedBy
from harness.core.records.run import RunData
from harness.core.records.schedule import Alert, AlertEnding, AlertKind
from harness.core.records.verdict import VerdictKind, Waiver
from harness.metrics.registry import METRICS
from harness.plan.config import Config
from harness.plan.gate_policy import waiver_of
from harness.store.baselines import load_baselines
from harness.store.reference_file import load_reference
from harness.store.runs import RunStore


@dataclass(frozen=True, slots=True, kw_only=True)
class AlertPolicy:
    """The user's policy, as far as alerts follow it: which metrics gate, the tolerances (ratios), and the waivers."""

    gates: Callable[[str], bool] = lambda _metric: True
    tolerance: Callable[[str, str], float] = lambda _scenario_id, metric: METRICS[metric].tolerance or 0.0
    waivers: Sequence[Waiver] = field(default_factory=tuple)

    def waived(self, scenario_id: str, metric: str, *, at: float) -> Waiver | None:
        """The waiver that holds for a metric of a scenario at the time `at` (s since the epoch)."""
        found = waiver_of(self.waivers, scenario_id=scenario_id, metric=metric, at=at)
        return found if found and not found.expired else None


DEFAULT_POLICY = AlertPolicy()


def policy_of(config: Config) -> AlertPolicy:
    """The part of the configuration that alerts follow."""
    return AlertPolicy(gates=config.gates, tolerance=config.tolerance, waivers=config.waivers)


@dataclass(frozen=True, slots=True, kw_only=True)
class PromotedValue:
    """A metric of a scenario in a run that is in the baseline. `kind` is the verdict that it got in that run."""

    run_id: str
    started_at: float
    median: float
    kind: VerdictKind | None


def is_accepted(alert: Alert, promoted: Sequence[PromotedValue], *, began: float | None, median: float | None) -> bool:
    """Whether a run with the level that an alert reported was promoted.

    `began` is the start of the run that the alert names (s since the epoch), `median` its value. Two kinds of promoted
    runs count. One is a run from that run on whose own verdict was regressed, or improved if the alert is on an
    improvement. The other began after the alert had opened, and its value lies nearer to the alert's level than to the
    level before. Of a regression, the schedule itself promotes neither.
    """
    changed = VerdictKind.IMPROVED if alert.kind is AlertKind.IMPROVEMENT else VerdictKind.REGRESSED
    return any(
        (began is not None and each.started_at >= began and each.kind is changed)
        or (each.started_at >= alert.opened_at and _at_level(alert, each.median, median))
        for each in promoted
    )


def _at_level(alert: Alert, promoted: float, reported: float | None) -> bool:
    if alert.size is None or not reported or promoted <= 0:
        return False
    sign = 1.0 if METRICS[alert.metric].lower_is_better else -1.0
    beyond = sign * math.log(promoted / reported)  # positive: worse than what was reported
    return beyond < -alert.size / 2 if alert.kind is AlertKind.IMPROVEMENT else beyond > -alert.size / 2


def endings(
    alerts: Sequence[Alert], policy: AlertPolicy, *, at: float, accepted: Callable[[Alert], bool]
) -> Mapping[int, AlertEnding]:
    """Key of an open alert on a change → why it ends, for those that are waived or accepted."""
    found = {}
    for alert in alerts:
        if alert.closed_at is not None or alert.metric not in METRICS:
            continue
        if alert.kind not in (AlertKind.REGRESSION, AlertKind.IMPROVEMENT):
            continue
        if accepted(alert):
            found[alert.key] = AlertEnding.ACCEPTED
        elif alert.kind is AlertKind.REGRESSION and policy.waived(alert.subject, alert.metric, at=at):
            found[alert.key] = AlertEnding.WAIVED
    return found


class Acceptances:
    """Tells from the baselines and the store whether an alert's level was accepted."""

    def __init__(self, store: RunStore, baselines: Path) -> None:
        self._store = store
        self._baselines = baselines

    def __call__(self, alert: Alert, data: RunData | None = None) -> bool:
        """Whether the level of an alert on a change is accepted. BenchError if a baseline file is unusable.

        `data` is the newest run. It counts if its subject is the accepted one: that may have been promoted from a run
        of another machine.
        """
        return self._promoted_here(alert) or (data is not None and self._same_subject(alert, data))

    def _same_subject(self, alert: Alert, data: RunData) -> bool:
        """Whether a person accepted the subject of a run after the alert had opened, and its value is at the level."""
        key = (alert.subject, alert.metric)
        same = any(
            (each.scenario_id, each.metric) == key and each.kind is VerdictKind.SAME_SUBJECT for each in data.verdicts
        )
        median = next((each.median for each in data.summaries if (each.scenario_id, each.metric) == key), None)
        accepted = load_reference(self._baselines).for_scenario(alert.subject) if same and median else None
        if accepted is None or median is None or accepted.accepted_by is AcceptedBy.SCHEDULE or not accepted.reason:
            return False
        opened = datetime.fromtimestamp(alert.opened_at, tz=UTC).date().isoformat()
        return accepted.date[:10] >= opened and _at_level(alert, median, self._median(alert))

    def _promoted_here(self, alert: Alert) -> bool:
        points = load_baselines(self._baselines, alert.machine_key).for_pair(alert.subject, alert.metric)
        row = self._store.row(alert.run_id)
        began = row.started_at if row else None
        since = alert.opened_at if began is None else min(began, alert.opened_at)
        # The date in a baseline has whole seconds.
        later = {each.run.id: each for each in points if _started(each.run.date) >= math.floor(since)}
        if not later:
            return False
        rows = {run_id: self._store.row(run_id) for run_id in later}
        stored = self._store.outlines([run_id for run_id, found in rows.items() if found])
        kinds = {
            outline.run.id: verdict.kind
            for outline in stored
            for verdict in outline.verdicts
            if (verdict.scenario_id, verdict.metric) == (alert.subject, alert.metric)
        }
        promoted = [
            PromotedValue(
                run_id=run_id,
                started_at=found.started_at if (found := rows[run_id]) else _started(point.run.date),
                median=point.median,
                kind=kinds.get(run_id),
            )
            for run_id, point in later.items()
        ]
        return is_accepted(alert, promoted, began=began, median=self._median(alert))

    def _median(self, alert: Alert) -> float | None:
        """The value of the run that an alert names."""
        line = self._store.series(alert.metric, alert.subject, alert.machine_key)
        return next((each.summary.median for each in line if each.run_id == alert.run_id), None)


def _started(date: str) -> float:
    return datetime.fromisoformat(date).timestamp()
