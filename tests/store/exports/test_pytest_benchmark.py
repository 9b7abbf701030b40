import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from harness.core.records.run import RunData
from harness.store.exports.formats import export
from harness.store.exports.pytest_benchmark import statistics_of


def content_of(data: RunData) -> dict[str, Any]:
    content: dict[str, Any] = json.loads(export(data, "pytest-benchmark"))
    return content


def test_the_statistics_of_eight_values() -> None:
    assert statistics_of([8.0, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 100.0]) == {
        "min": 1.0,
        "max": 100.0,
        "mean": 16.125,
        "stddev": pytest.approx(33.964004, abs=1e-6),
        "rounds": 8,
        "median": 4.5,
        "iqr": 4.5,
        "q1": 2.5,
        "q3": 7.0,
        "iqr_outliers": 1,
        "stddev_outliers": 1,
        "outliers": "1;1",
        "ld15iqr": 1.0,
        "hd15iqr": 8.0,
        "ops": 8 / 129.0,
        "total": 129.0,
        "data": [8.0, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 100.0],
        "iterations": 1,
    }


def test_a_single_value_has_no_spread() -> None:
    one = statistics_of([0.5])
    assert (one["stddev"], one["iqr"], one["q1"], one["ld15iqr"], one["hd15iqr"]) == (0, 0.0, 0.5, 0.5, 0.5)


def test_the_data_are_the_valid_measured_latencies_in_seconds(small_run: RunData) -> None:
    benchmarks = content_of(small_run)["benchmarks"]
    short, long, *_ = (scenario.id for scenario in (small_run.run.scenarios[0], small_run.run.scenarios[2]))
    assert [benchmark["name"] for benchmark in benchmarks] == [short, long]
    assert benchmarks[0]["stats"]["data"] == [1.01, 1.02, 1.03]
    assert benchmarks[0]["group"] == "whole short"
    assert benchmarks[0]["extra_info"] == {
        "run": "20260102-030405",
        "invalid": 0,
        "medians": {"latency": 1.02},
        "verdicts": {"latency": "regressed"},
    }


def test_the_machine_and_the_revision_are_named(small_run: RunData) -> None:
    content = content_of(small_run)
    assert content["machine_info"]["node"] == "two-core-x86-1a2b3c"
    assert content["commit_info"]["id"] == "c0ffee"
    assert content["datetime"] == "2026-01-02T03:04:05+00:00"


def test_the_fields_are_those_of_a_file_that_pytest_benchmark_wrote(tmp_path: Path, small_run: RunData) -> None:
    test = tmp_path / "test_one.py"
    test.write_text(
        "import pytest\n\n"
        "@pytest.mark.parametrize('n', [1])\n"
        "def test_one(benchmark, n):\n"
        "    benchmark.pedantic(lambda: n)\n"
    )
    theirs = tmp_path / "theirs.json"
    _run(sys.executable, "-m", "pytest", str(test), f"--benchmark-json={theirs}", "-p", "no:cacheprovider", at=tmp_path)
    written, ours = json.loads(theirs.read_text()), content_of(small_run)
    assert set(ours) == set(written)
    assert set(ours["machine_info"]) == set(written["machine_info"])
    assert set(ours["commit_info"]) == set(written["commit_info"]) - {"error"}
    [example] = written["benchmarks"]
    for benchmark in ours["benchmarks"]:
        assert list(benchmark) == list(example)
        assert list(benchmark["stats"]) == list(example["stats"])
        assert set(benchmark["options"]) <= set(example["options"])


def test_pytest_benchmark_compares_two_runs(tmp_path: Path, small_run: RunData) -> None:
    slower = replace(small_run, repetitions=tuple(replace(one, end_ns=one.end_ns * 2) for one in small_run.repetitions))
    for name, data in (("0001_before", small_run), ("0002_after", slower)):
        (tmp_path / f"{name}.json").write_bytes(export(data, "pytest-benchmark"))
    command = (
        "-m",
        "pytest_benchmark",
        "compare",
        "--columns=median,rounds",
        "--sort=name",
        "0001_before.json",
        "0002_after.json",
    )
    shown = _run(sys.executable, *command, at=tmp_path)
    lines = [line.split() for line in shown.splitlines() if small_run.run.scenarios[0].id in line]
    # Name, (file), median, (its ratio), rounds; how it shortens the file differs from release to release.
    assert [line[2::2] for line in lines] == [["1.0200", "3"], ["2.0400", "3"]], shown


def _run(*command: str, at: Path) -> str:
    environment = os.environ | {"PYTHONWARNINGS": "default", "COLUMNS": "300"}
    environment.pop("PYTEST_XDIST_WORKER", None)  # where it is set, pytest-benchmark times nothing
    done = subprocess.run(command, cwd=at, env=environment, capture_output=True, text=True, check=False, timeout=240)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr
