"""A speech server as its users experience it: `--url http://…`. Texts differ between blocks because of caches."""

from harness.core.records.scenario import Mode
from harness.runner.pytest_fixture import Benchmark, Measured
from harness.runner.pytest_marker import scenarios

CONNECTIONS = ("keep_alive=on", "keep_alive=off")
"""One connection for all requests, and a new one for each, which counts in its latency."""


@scenarios(Mode.ENDPOINT, quick=("chars-60", "chars-200"), full=("chars-500", "chars-900"), changes=CONNECTIONS)
def test_delivery(measured: Measured, benchmark: Benchmark) -> None:
    """Streamed answers, from the request to the end of the body. Failures are counted by kind."""
    measured.replay(benchmark)
    measured.check()


@scenarios(Mode.ENDPOINT, full=("chars-200",), variant=0)
def test_kept_answers(measured: Measured, benchmark: Benchmark) -> None:
    """The same text each time, to measure cached answers separately from computed ones."""
    measured.replay(benchmark)
    measured.check()
