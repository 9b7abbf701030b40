"""The overview as metrics of Prometheus."""

from collections.abc import Iterable

from harness.core.exposition import metric_lines
from harness.core.records.schedule import AlertKind
from harness.schedule.status import Overview, at_work


def exposition(found: Overview) -> str:
    """Every metric, each with its help and type. What is unknown has no line."""
    lasts = [(job, job.last) for job in found.jobs if job.last is not None]
    parts = [
        _metric("up", "gauge", "1 while a scheduler runs this schedule", [({}, float(at_work(found)))]),
        _metric(
            "runs_total", "counter", "due times that have ended, by outcome",
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
    return "\n".join(line for part in parts for line in part) + "\n"


def _metric(name: str, kind: str, meaning: str, samples: Iterable[tuple[dict[str, str], float]]) -> list[str]:
    found = ((labels, float(value)) for labels, value in samples)
    return metric_lines(f"kokoro_bench_schedule_{name}", kind, found, meaning=meaning)
