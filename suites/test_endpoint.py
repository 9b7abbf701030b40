"""A speech server as its listeners have it: `--url http://…`. Its texts change from block to block, as caches exist."""

from harness.core.records.scenario import Mode
from harness.runner.pytest_fixture import Benchmark, Measured
from harness.runner.pytest_marker import scenarios

CONNECTIONS = ("keep_alive=on", "keep_alive=off")
"""One connection for all requests, and a new one for each, whose making counts."""


@scenarios(Mode.ENDPOINT, quick=("chars-60", "chars-200"), full=("chars-500", "chars-900"), changes=CONNECTIONS)
def test_delivery(measured: Measured, benchmark: Benchmark) -> None:
    """Streamed answers, from the request to the last of the body; what fails is counted by kind."""
    measured.replay(benchmark)
    measured.check()


@scenarios(Mode.ENDPOINT, full=("chars-200",), variant=0)
def test_kept_answers(measured: Measured, benchmark: Benchmark) -> None:
    """The same text each time: what a server makes of it that keeps its answers, apart from all that speaks anew."""
    measured.replay(benchmark)
    measured.check()
