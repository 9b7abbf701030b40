"""A run as one of pytest-benchmark's own JSON files, for `pytest-benchmark compare` and every tool that reads them.

One benchmark per scenario that synthesises: its data are the latencies in seconds of the valid repetitions of the
blocks. Scenarios without any, and those of start-up, are left out, as pytest-benchmark leaves out what failed. The
other metrics stand in `extra_info`, as medians in the metric's unit, with the verdicts beside them.
"""

import json
from collections.abc import Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any, Final

from harness.core.records.repetition import Phase
from harness.core.records.run import RunData, RunRecord
from harness.core.records.scenario import Scenario
from harness.core.records.verdict import is_against_reference

_VERSION: Final = "5.1.0"
"""The version of pytest-benchmark whose form this is; later ones read it."""

_NS: Final = 1e9


def to_pytest_benchmark(data: RunData) -> bytes:
    """The file's content: indented ASCII, as pytest-benchmark writes it."""
    run = data.run
    latencies: dict[str, list[float]] = {scenario.id: [] for scenario in run.scenarios}
    for repetition in data.repetitions:
        if repetition.phase is Phase.MEASURED and repetition.outcome.valid:
            latencies.setdefault(repetition.scenario_id, []).append(repetition.end_ns / _NS)
    content = {
        "machine_info": _machine_info(run),
        "commit_info": {
            "id": run.subject.revision or "unversioned",
            "time": None,
            "author_time": None,
            "dirty": run.subject.dirty,
            "project": "kokoro-bench",
            "branch": "(unknown)",
        },
        "benchmarks": [
            _benchmark(data, scenario, latencies[scenario.id])
            for scenario in run.scenarios
            if latencies[scenario.id] and not scenario.mode.is_start_up
        ],
        "datetime": datetime.fromtimestamp(run.started_at, UTC).isoformat(),
        "version": _VERSION,
    }
    return json.dumps(content, indent=4).encode() + b"\n"


def statistics_of(values: Sequence[float]) -> dict[str, Any]:
    """What pytest-benchmark says of `values`; at least one value."""
    from pytest_benchmark.stats import Stats

    found: Any = Stats()  # type: ignore[no-untyped-call]
    found.data = list(values)
    return {**found.as_dict(), "data": found.data, "iterations": 1}


def _machine_info(run: RunRecord) -> dict[str, Any]:
    """What is known, under the names that pytest-benchmark uses; the machine's key stands for its host name."""
    machine = run.machine
    return {
        "node": machine.key,
        "processor": machine.cpu,
        "machine": machine.architecture,
        "python_compiler": "",
        "python_implementation": "CPython",
        "python_implementation_version": run.subject.python,
        "python_version": run.subject.python,
        "python_build": ["", ""],
        "release": "",
        "system": machine.system,
        "cpu": {"arch": machine.architecture, "brand_raw": machine.cpu, "count": machine.logical_cpus},
    }


def _benchmark(data: RunData, scenario: Scenario, latencies: Sequence[float]) -> dict[str, Any]:
    invalid = sum(
        repetition.scenario_id == scenario.id and repetition.phase is Phase.MEASURED and not repetition.outcome.valid
        for repetition in data.repetitions
    )
    medians = {summary.metric: summary.median for summary in data.summaries if summary.scenario_id == scenario.id}
    ours = [verdict for verdict in data.verdicts if verdict.scenario_id == scenario.id]
    verdicts = {verdict.metric: verdict.kind for verdict in ours}
    reasons = {verdict.metric: verdict.reason for verdict in ours if is_against_reference(verdict)}
    waivers = {verdict.metric: asdict(verdict.waiver) for verdict in ours if verdict.waiver}
    informing = [verdict.metric for verdict in ours if not verdict.gates]
    return {
        "group": f"{scenario.mode.value} {scenario.text_class}",
        "name": scenario.id,
        "fullname": scenario.id,
        "params": {
            "arm": scenario.arm.id,
            "mode": scenario.mode.value,
            "text_class": scenario.text_class,
            "voice": scenario.voice,
            "speed": scenario.speed,
            "concurrency": scenario.concurrency,
        },
        "param": scenario.id,
        "extra_info": {"run": data.run.id, "invalid": invalid, "medians": medians, "verdicts": verdicts}
        | ({"reasons": reasons} if reasons else {})
        | ({"note": data.run.replica_note} if data.run.replica_note else {})
        | ({"waivers": waivers} if waivers else {})
        | ({"informing": informing} if informing else {}),
        "options": {
            "disable_gc": False,
            "timer": "perf_counter",
            "min_rounds": len(latencies),
            "max_time": data.run.budget_s,
            "min_time": 0.0,
            "warmup": False,
        },
        "stats": statistics_of(latencies),
    }
