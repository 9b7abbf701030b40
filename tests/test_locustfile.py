"""Locust's distributed mode: a master and two workers as processes of their own, on loopback, a scripted server."""

import importlib.util
import os
import socket
import subprocess
import sys
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from harness.records.repetition import Phase
from harness.records.run import RunData, RunStatus
from harness.server.script import Answer, Script, Step
from harness.server.scripted import serving
from harness.store.runs import open_store
from tests.conftest import Command

LOCUSTFILE = Path(__file__).resolve().parent.parent / "suites" / "locustfile.py"
GOOD = (Step(wait_ms=50), Step(audio_share=0.5), Step(wait_ms=50), Step(audio_share=0.5))
STEADY = Script(name="test", meaning="a test's own", answers=(Answer(steps=GOOD),))
WORKERS, LISTENERS = 2, 4
LONGEST_S = 240

# Looked up, not imported: importing it replaces sockets, threads and locks of the whole process.
pytestmark = pytest.mark.skipif(importlib.util.find_spec("locust") is None, reason="locust is not installed")


def locust(directory: Path, environment: dict[str, str], *arguments: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "locust", "-f", str(LOCUSTFILE), "--only-summary", *arguments],
        cwd=directory,
        env={**environment, "PYTHONPATH": os.pathsep.join([str(LOCUSTFILE.parents[1]), *sys.path[1:]])},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        stdin=subprocess.DEVNULL,
        text=True,
    )


def played(directory: Path, environment: dict[str, str], url: str, *options: str) -> subprocess.CompletedProcess[str]:
    """One load of master and workers: the master's output and exit code. Nothing of it is left behind."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    workers = [
        locust(directory, environment, "--worker", "--master-host", "127.0.0.1", "--master-port", port)
        for _ in range(WORKERS)
    ]
    master = locust(
        directory, environment, "--headless", "--host", url, "-u", str(LISTENERS), "-r", str(LISTENERS),
        "--seconds", "3", "--warm-up", "2", "--cool-down", "1", "--text-class", "chars-12", *options, "--master",
        "--master-bind-host", "127.0.0.1", "--master-bind-port", port, "--expect-workers", str(WORKERS),
        "--expect-workers-max-wait", "120",
    )  # fmt: skip
    try:
        said, _ = master.communicate(timeout=LONGEST_S)
    finally:
        for process in (master, *workers):
            process.kill()
            process.communicate()
    return subprocess.CompletedProcess([], master.returncode, said, "")


def stored(directory: Path) -> RunData:
    with open_store(directory / ".kokoro-bench/results.sqlite") as store:
        return store.load(store.resolve("latest"))


def test_a_distributed_load_lands_in_the_store_like_any_other(
    tmp_path: Path, user_environment: dict[str, str], kokoro_bench: Command
) -> None:
    with serving(STEADY) as (url, server):
        found = played(tmp_path, user_environment, url)
        asked = server.tally.requests
    assert found.returncode == 0, found.stdout
    data = stored(tmp_path)
    (scenario,) = data.run.scenarios
    assert scenario.id.endswith(f"/endpoint/chars-12/af_heart/rotating/closed-{LISTENERS}")
    assert data.run.status is RunStatus.COMPLETE
    assert dict(data.launches[0].facts.options)["clients"] == str(WORKERS)
    # Every request that the server saw is there, in its phase, and nothing else.
    assert len(data.repetitions) == asked
    assert all(each.outcome.valid for each in data.repetitions)
    assert {each.phase for each in data.repetitions} >= {Phase.WARMUP, Phase.MEASURED}
    # Texts change with every request, as far as the class has them.
    assert len({each.variant for each in data.repetitions}) > LISTENERS
    summaries = {each.metric: each for each in data.summaries}
    for metric in ("ttfb", "ttfa", "latency", "stall", "success_rate", "throughput", "goodput", "client_lag"):
        assert summaries[metric].n, metric
    assert f"closed-{LISTENERS}" in found.stdout
    shown = kokoro_bench("runs", "show")
    assert f"closed-{LISTENERS}" in shown.stdout
    assert data.run.id in kokoro_bench("runs", "list").stdout
    assert "listeners" in (tmp_path / f"reports/site/runs/{data.run.id}.html").read_text(encoding="utf-8")


def test_an_open_loop_is_shared_by_the_clients_and_the_server_is_watched(
    tmp_path: Path, user_environment: dict[str, str]
) -> None:
    # A request takes longer than the time between two: a closed loop of a client each could not keep this rate.
    with serving(STEADY) as (url, server):
        found = played(tmp_path, user_environment, url, "--rate", "10", "--arrivals", "constant")
        asked = server.tally.requests
    assert found.returncode == 0, found.stdout
    data = stored(tmp_path)
    assert data.run.scenarios[0].id.endswith("/constant-10")
    assert asked == len(data.repetitions) == 10 * 6
    assert f"({os.getpid()})" in dict(data.launches[0].facts.options)["server_process"]
    load = data.blocks[0].load
    assert load is not None
    assert load.memory.peak is not None
    assert load.server_cpu_ns is not None
    # Both take turns, and each begins with a text of its own.
    assert len({each.variant for each in data.repetitions}) > 10 * 6 / WORKERS
    # Starts are the schedule's, of which each client has every other one. A client's numbers are in its own order.
    by_number = [sorted(each.started_at for each in data.repetitions if each.position == n) for n in range(30)]
    for client in range(WORKERS):
        gaps = [later[client] - earlier[client] for earlier, later in pairwise(by_number)]
        assert np.median(gaps) == pytest.approx(WORKERS / 10, abs=1e-5)


def test_a_server_that_is_not_there_is_told_in_one_line_and_measures_nothing(
    tmp_path: Path, user_environment: dict[str, str]
) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{free.getsockname()[1]}"
    found = played(tmp_path, user_environment, url)
    assert found.returncode == 3, found.stdout
    assert "Traceback" not in found.stdout
    assert "refused" in found.stdout
