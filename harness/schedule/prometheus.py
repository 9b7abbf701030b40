"""The overview as Prometheus reads it (text exposition format 0.0.4)."""

from collections.abc import Iterable, Sequence

from harness.core.records.schedule import AlertKind
from harness.schedule.status import Overview, at_work

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"


def exposition(found: Overview) -> str:
    """Every metric, each with its help and type. What is unknown has no line."""
    lasts = [(job, job.last) for job in found.jobs if job.last is not None]
    parts = [
        _metric("up", "gauge", "1 while a scheduler keeps this schedule", [({}, float(at_work(found)))]),
        _metric(
            "runs_total", "counter", "due times that have ended, by outcome",
            [({"job": job, "outcome": outcome}, count) for job, outcome, count in found.counts],
        ),
        _metric(
            "last_run_timestamp_seconds", "gauge", "when the last run of a job ended",
            [({"job": job.name}, last.ended_at) for job, last in lasts if last.ended_at is not None],
        ),
        _metric(
            "last_run_duration_seconds", "gauge", "how long it took",
            [({"job": job.name}, last.duration_s) for job, last in lasts if last.duration_s is not None],
        ),
        _metric(
            "last_run_success", "gauge", "1 where it was measured, 0 where not",
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
        _metric("queue_length", "gauge", "due times that wait", [({}, len(found.queue))]),
        _metric("running", "gauge", "1 while a run is under way",
                [({"job": found.running.job}, 1.0)] if found.running else [({}, 0.0)]),
        _metric("run_progress_ratio", "gauge", "the share of the run under way that lies behind",
                [({"job": found.running.job}, found.watched.share)] if found.running and found.watched else []),
    ]  # fmt: skip
    return "".join(parts)


def _metric(name: str, kind: str, meaning: str, samples: Sequence[tuple[dict[str, str], float]]) -> str:
    full = f"kokoro_bench_schedule_{name}"
    head = f"# HELP {full} {meaning}\n# TYPE {full} {kind}\n"
    return head + "".join(f"{full}{_labels(labels.items())} {float(value)!r}\n" for labels, value in samples)


def _labels(labels: Iterable[tuple[str, str]]) -> str:
    text = ",".join(f'{name}="{_escaped(value)}"' for name, value in labels)
    return f"{{{text}}}" if text else ""


def _escaped(value: str) -> str:
    return value.replace("\\", r"\\").replace('"', r"\"").replace("\n", r"\n")
