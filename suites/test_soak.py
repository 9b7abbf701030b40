"""Many texts one after the other in one process: does its memory grow with them? The figure is rss_slope."""

from harness.measured import Benchmark, Measured
from harness.plugin import scenarios
from harness.records.scenario import Mode

REPEATS = 50
"""In each block: with four blocks, 200 in a launch."""


@scenarios(Mode.WHOLE, nightly=("chars-60",), recipes=(), variant=None, repeats=REPEATS)
def test_engine(measured: Measured, benchmark: Benchmark) -> None:
    """In process, a text that was not spoken just before each time: what is kept per text shows."""
    measured.replay(benchmark)
    measured.check()


@scenarios(Mode.ENDPOINT, nightly=("chars-60",), repeats=REPEATS)
def test_server(measured: Measured, benchmark: Benchmark) -> None:
    """A server, as far as its process is known here (`--pid N` names it)."""
    measured.replay(benchmark)
    measured.check()
