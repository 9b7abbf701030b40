"""Compares the harness's metrics with the server's for the same answers, over a real socket.

    python -m benchmarks.server_agreement [--model replica] [--users 1,4] [--seconds 60]

The project's server runs in a separate process without a cache; the harness's load client sends the requests. Both
medians are of exactly the same answers. They may differ by 2 %.
"""

import argparse
import contextlib
import os
import sys
import tempfile
import time
from collections.abc import Iterator
from statistics import median

from benchmarks.orders import load_client
from harness.core.clock import SystemClock
from harness.core.event_loop import run
from harness.engines.protocol import Stages
from harness.engines.started.command import PORT, ServerCommand
from harness.engines.started.server import StartedServer
from harness.measure.load.loops import closed_loop
from harness.metrics.per_request import repetition_figures
from harness.plan.corpus import Corpus

FIGURES = ("ttfa", "ttfc", "latency", "rtf")
ALLOWED = 0.02
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
        with _server(given.model) as server:
            apart += _compare(server, users=users, seconds=given.seconds)
    return 1 if max(apart) > ALLOWED else 0


def _compare(started: StartedServer, *, users: int, seconds: float) -> list[float]:
    """The relative differences of the medians."""
    corpus = Corpus()
    texts = tuple(text for name in ("chars-60", "chars-200") for text in corpus.variants(name))
    repetitions = run(closed_loop(load_client(started.address, texts), users=users, seconds=seconds)).repetitions
    time.sleep(0.2)  # the last answer is counted just after its last byte
    server = started.read("/status")["statistics"]
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
def _server(model: str) -> Iterator[StartedServer]:
    command = (sys.executable, "-m", "harness.cli", "serve", "--model", model, "--port", PORT, "--cache", "0")
    with tempfile.TemporaryDirectory() as logs:
        order = ServerCommand(
            name="serve", command=command, inherited=os.environ, ready="/health", timeout_s=START_S, logs=logs
        )
        with contextlib.closing(StartedServer(order, clock=SystemClock())) as server:
            server.start(Stages(SystemClock()))
            yield server


if __name__ == "__main__":
    sys.exit(main())
