"""The values and verdicts of runs as metrics for Prometheus: in an export, and at the dashboard's `/metrics`."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from harness.core.exposition import OPENMETRICS, exposed, gauge
from harness.core.records.run import Concluded
from harness.core.records.verdict import Verdict

if TYPE_CHECKING:
    from prometheus_client.metrics_core import Metric

UnitOf = Callable[[str], str]
"""Metric → its unit; "" where it has none or is unknown."""

UNIT_NAMES: Final[Mapping[str, str]] = {
    "s": "seconds",
    "B": "bytes",
    "B/repetition": "bytes_per_repetition",
    "1/s": "per_second",
    "dB": "decibels",
    "LUFS": "lufs",
    "MOS": "mos",
    "MOS-LQO": "mos",
}
"""Unit of a metric → its name at the end of a metric for Prometheus. Ratios and counts have none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """The newest values of one scenario on one machine, and the verdicts on them."""

    machine_key: str
    scenario_id: str
    run_id: str
    measured_at: float
    """When the run ended, or began where it did not end (seconds since the epoch)."""
    medians: tuple[tuple[str, float], ...]
    """Metric → median, in the metric's unit."""
    verdicts: tuple[Verdict, ...]


def named_with_unit(metric: str, unit: str) -> str:
    """The name of a metric with its unit at its end: `ttfa_seconds`, `rtf`."""
    suffix = UNIT_NAMES.get(unit, "")
    return f"{metric}_{suffix}" if suffix else metric


def results_of(data: Concluded) -> tuple[Result, ...]:
    """The values of a run, scenario by scenario. A scenario without values and verdicts is left out."""
    run = data.run
    medians: dict[str, dict[str, float]] = {scenario.id: {} for scenario in run.scenarios}
    for summary in data.summaries:
        if summary.median is not None:
            medians.setdefault(summary.scenario_id, {})[summary.metric] = summary.median
    verdicts: dict[str, list[Verdict]] = {}
    for verdict in data.verdicts:
        verdicts.setdefault(verdict.scenario_id, []).append(verdict)
    return tuple(
        Result(
            machine_key=run.machine.key,
            scenario_id=scenario_id,
            run_id=run.id,
            measured_at=run.ended_at or run.started_at,
            medians=tuple(found.items()),
            verdicts=tuple(verdicts.get(scenario_id, ())),
        )
        for scenario_id, found in medians.items()
        if found or verdicts.get(scenario_id)
    )


def result_metrics(results: Sequence[Result], *, unit_of: UnitOf, now: float | None = None) -> "list[Metric]":
    """Medians, verdicts and times. `now` (seconds since the epoch) adds the age of each result."""
    if not results:
        return []
    medians: dict[str, list[tuple[dict[str, str], float]]] = {}
    for each in results:
        for metric, value in each.medians:
            medians.setdefault(metric, []).append((_labels(each), value))
    ages = [] if now is None else [
        gauge("kokoro_bench_result_age_seconds", "time since the newest result of a scenario",
              [(_labels(each), max(0.0, now - each.measured_at)) for each in results]),
    ]  # fmt: skip
    return [
        *(
            gauge(f"kokoro_bench_{named_with_unit(metric, unit_of(metric))}", f"newest median of {metric}", samples)
            for metric, samples in medians.items()
        ),
        gauge("kokoro_bench_verdict", "1 for the newest verdict on a metric; waived and informs fail nothing",
              [({**_labels(each), "metric": verdict.metric, "verdict": verdict.shown_as.value}, 1.0)
               for each, verdict in _verdicts(results)]),
        gauge("kokoro_bench_regressed", "1 if the newest verdict on a metric is a regression that fails a run",
              [({**_labels(each), "metric": verdict.metric}, float(verdict.fails))
               for each, verdict in _verdicts(results)]),
        gauge("kokoro_bench_change_log_ratio", "estimated change of a metric as a log-ratio; positive is worse",
              [({**_labels(each), "metric": verdict.metric}, verdict.change.point)
               for each, verdict in _verdicts(results) if verdict.change is not None]),
        gauge("kokoro_bench_result_timestamp_seconds", "when the newest result of a scenario was measured",
              [(_labels(each), each.measured_at) for each in results]),
        gauge("kokoro_bench_result_run", "1 for the run of the newest result of a scenario",
              [({**_labels(each), "run": each.run_id}, 1.0) for each in results]),
        *ages,
    ]  # fmt: skip


def to_openmetrics(data: Concluded, unit_of: UnitOf) -> bytes:
    """A run in OpenMetrics' text format."""
    return exposed(result_metrics(results_of(data), unit_of=unit_of), accept=OPENMETRICS).content


def _labels(result: Result) -> dict[str, str]:
    return {"machine": result.machine_key, "scenario": result.scenario_id}


def _verdicts(results: Sequence[Result]) -> Iterable[tuple[Result, Verdict]]:
    return ((each, verdict) for each in results for verdict in each.verdicts)
