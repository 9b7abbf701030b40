"""Compares the harness's metrics with the server's for the same answers, over a real socket.

    python -m benchmarks.server_agreement [--model replica] [--users 1,4] [--seconds 60]

The project's server runs in a separate process without a cache; the harness's load client sends the requests. Both
medians are of exactly the same answers. They may differ by 2 %.
"""

import argparse
import contextlib
import json
import math
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from statistics import median
from typing import Any

from harness.core.clock import SystemClock
from harness.core.event_loop import run
from harness.core.records.scenario import Band, Utterance
from harness.engines.http.dialects import OPENAI
from harness.engines.http.target import Target, read_address, read_settings
from harness.measure.load.client import LoadClient
from harness.measure.load.loops import closed_loop
from harness.measure.load.records import Workload
from harness.metrics.per_request import repetition_figures
from harness.plan.corpus import Corpus

FIGURES = ("ttfa", "ttfc", "latency", "rtf")
ALLOWED = 0.02
ANY_LENGTH = Band(low=0.0, high=math.inf)
START_S = 180.0


def main() -> int:
    """Print a table for each number of users."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--model", default="replica")
    parser.add_argument("--users", default="1,4")
    parser.add_argument("--seconds", type=float, default=60.0)
    given = parser.parse_args()
    apart = []
    for users in map(int, given.users.split(",")):
        # Start a server for each, because its statistics include all earlier answers.
        with _server(given.model) as url:
            apart += _compare(url, users=users, seconds=given.seconds)
    return 1 if max(apart) > ALLOWED else 0


def _compare(url: str, *, users: int, seconds: float) -> list[float]:
    """The relative differences of the medians."""
    corpus = Corpus()
    texts = tuple(text for name in ("chars-60", "chars-200") for text in corpus.variants(name))
    target = Target(address=read_address(url), settings=read_settings({"dialect": "openai"}), dialect=OPENAI)
    workload = Workload(scenario_id="served", utterances=texts, band=_any_length, voice="af_heart")
    client = LoadClient(target, workload, clock=SystemClock())
    load = closed_loop(client, users=users, seconds=seconds)
    repetitions = run(load).repetitions
    server = _status(url)["statistics"]
    valid = [repetition_figures(each) for each in repetitions if each.outcome.valid]
    if not valid or len(valid) != server["requests"]["valid"]:
        sys.exit(
            f"the harness counts {len(valid)} valid answers of {len(repetitions)}, the server {server['requests']}"
        )
    apart = []
    print(f"{users} users, {len(valid)} answers")
    for name in FIGURES:
        harness_median = median(figures[name].value or 0.0 for figures in valid)
        server_median = server["computed"][name]["median"]
        apart.append(abs(server_median / harness_median - 1))
        medians = f"harness {harness_median:9.4f}   server {server_median:9.4f}"
        print(f"  {name:<8} {medians}   apart {apart[-1]:.2%}, allowed {ALLOWED:.0%}")
    return apart


@contextlib.contextmanager
def _server(model: str) -> Iterator[str]:
    """The URL of a warm server."""
    command = [sys.executable, "-m", "harness.cli", "serve", "--model", model, "--port", "0", "--cache", "0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None  # noqa: S101 - for the type checker; it was asked for as a pipe
        try:
            url = process.stdout.readline().rpartition(" at ")[2].strip()
            end = time.monotonic() + START_S
            while not _ready(url):
                if time.monotonic() > end or process.poll() is not None:
                    sys.exit("the server did not become ready")
                time.sleep(0.2)
            yield url
        finally:
            process.terminate()


def _ready(url: str) -> bool:
    try:
        with urllib.request.urlopen(f"{url}/health", timeout=5):  # noqa: S310 - our own server on loopback
            return True
    except urllib.error.URLError:
        return False


def _status(url: str) -> Any:  # noqa: ANN401 - JSON
    time.sleep(0.2)  # the last answer is counted just after its last byte
    with urllib.request.urlopen(f"{url}/status", timeout=5) as answer:  # noqa: S310 - our own server on loopback
        return json.load(answer)


def _any_length(_utterance: Utterance) -> Band:
    return ANY_LENGTH


if __name__ == "__main__":
    sys.exit(main())
