"""The overview and the last results as metrics for Prometheus."""

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from harness.core.exposition import CLASSIC, Exposition, counter, exposed, gauge
from harness.core.records.schedule import AlertKind
from harness.metrics.registry import unit_of
from harness.schedule.status import Overview, at_work
from harness.store.exports.openmetrics import Result, result_metrics

if TYPE_CHECKING:
    from prometheus_client.metrics_core import Metric


def exposition(found: Overview, results: Sequence[Result] = (), *, accept: str = CLASSIC) -> Exposition:
    """Every metric, in the format that the `Accept` header asks for. What is unknown has no sample."""
    metrics = [*_schedule(found), *result_metrics(results, now=found.now, unit_of=unit_of)]
    return exposed(metrics, accept=accept)


def _schedule(found: Overview) -> "list[Metric]":
    lasts = [(job, job.last) for job in found.jobs if job.last is not None]
    return [
        _metric("up", "gauge", "1 while a scheduler runs this schedule", [({}, float(at_work(found)))]),
        _metric(
            "runs", "counter", "due times that have ended, by outcome",
            [({"job": job, "outcome": outcome}, count) for job, outcome, count in found.counts],
        ),
        _metric(
            "last_run_timestamp_seconds", "gauge", "when the last run of a job ended",
            [({"job": job.name}, last.ended_at) for job, last in lasts if last.ended_at is not None],
        ),
        _metric(
            "last_run_duration_seconds", "gauge", "duration of the last run",
            [({"job": job.name}, last.duration_s) for job, last in lasts if last.duration_s is not None],
        ),
        _metric(
            "last_run_success", "gauge", "1 if it was measured, 0 if not",
            [({"job": job.name}, float(last.outcome.measured)) for job, last in lasts if last.outcome is not None],
        ),
        _metric(
            "next_run_timestamp_seconds", "gauge", "when a job is due next",
            [({"job": job.name}, job.next_at) for job in found.jobs if job.next_at is not None],
        ),
        _metric(
            "streak", "gauge", "runs measured in a row; negative: not measured in a row",
            [({"job": job.name}, job.streak) for job in found.jobs],
        ),
        _metric(
            "open_alerts", "gauge", "alerts that have not recovered, by kind",
            [({"kind": kind.value}, sum(alert.kind is kind for alert in found.open_alerts)) for kind in AlertKind],
        ),
        _metric("queue_length", "gauge", "due times that are waiting", [({}, len(found.queue))]),
        _metric("running", "gauge", "1 while a run is in progress",
                [({"job": found.running.job}, 1.0)] if found.running else [({}, 0.0)]),
        _metric("run_progress_ratio", "gauge", "the finished share of the current run",
                [({"job": found.running.job}, found.watched.share)] if found.running and found.watched else []),
    ]  # fmt: skip


def _metric(name: str, kind: str, meaning: str, samples: Iterable[tuple[dict[str, str], float]]) -> "Metric":
    make = counter if kind == "counter" else gauge
    return make(f"kokoro_bench_schedule_{name}", meaning, samples)
