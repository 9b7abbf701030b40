"""Many texts one after the other in one process: does its memory grow with them? The figure is rss_slope.

A block speaks a thousand, or as many as fit into a soak's part of --budget (at least 50); --blocks makes it more.
"""

from harness.core.records.scenario import Mode
from harness.runner.pytest_fixture import Benchmark, Measured
from harness.runner.pytest_marker import scenarios

REPEATS = 1_000
A_WHILE = 25
CACHED = ("engine=kokoro-sentences,cache=1",)
"""A MiB is less than the texts take that come in turn, so that every piece drives another out."""
SERVED = ("engine=kokoro-server,cache=1",)


@scenarios(Mode.WHOLE, nightly=("chars-12",), recipes=(), variant=None, repeats=REPEATS)
def test_engine(measured: Measured, benchmark: Benchmark) -> None:
    """In process, a text that was not spoken just before each time: what is kept per text shows."""
    measured.replay(benchmark)
    measured.check()


@scenarios(Mode.WHOLE, nightly=("chars-12",), recipes=(), variant=None, repeats=REPEATS, changes=CACHED)
def test_engine_with_a_cache(measured: Measured, benchmark: Benchmark) -> None:
    """The engine by sentence, whose cache overflows all the time."""
    measured.replay(benchmark)
    measured.check()


@scenarios(Mode.WHOLE, full=("chars-12",), recipes=(), variant=None, repeats=A_WHILE, changes=(*CACHED, *SERVED))
def test_a_while(measured: Measured, benchmark: Benchmark) -> None:
    """A short one in process and behind HTTP: enough to see a leak of a text's size."""
    measured.replay(benchmark)
    measured.check()


@scenarios(Mode.ENDPOINT, nightly=("chars-60",), repeats=REPEATS)
def test_server(measured: Measured, benchmark: Benchmark) -> None:
    """A server, as far as its process is known here (`--pid N` names it)."""
    measured.replay(benchmark)
    measured.check()
