"""Many texts one after the other in one process, to measure memory growth. The metric is rss_slope.

A block synthesises a thousand texts, or as many as fit into a soak's share of --budget (at least 50). --blocks adds
more.
"""

from harness.core.records.scenario import Mode
from harness.runner.pytest_fixture import Benchmark, Measured
from harness.runner.pytest_marker import scenarios

REPEATS = 1_000
A_WHILE = 25
CACHED = ("engine=kokoro-sentences,cache=1",)
"""A cache of 1 MiB holds less than the texts of a cycle, so every segment evicts another."""
SERVED = ("engine=kokoro-server,cache=1",)


@scenarios(Mode.WHOLE, nightly=("chars-12",), recipes=(), variant=None, repeats=REPEATS)
def test_engine(measured: Measured, benchmark: Benchmark) -> None:
    """In process, never the same text twice in a row, to show memory that is kept per text."""
    measured.replay(benchmark)
    measured.check()


@scenarios(Mode.WHOLE, nightly=("chars-12",), recipes=(), variant=None, repeats=REPEATS, changes=CACHED)
def test_engine_with_a_cache(measured: Measured, benchmark: Benchmark) -> None:
    """The engine by sentence with a cache that constantly overflows."""
    measured.replay(benchmark)
    measured.check()


@scenarios(Mode.WHOLE, full=("chars-12",), recipes=(), variant=None, repeats=A_WHILE, changes=(*CACHED, *SERVED))
def test_a_while(measured: Measured, benchmark: Benchmark) -> None:
    """A short soak in process and behind HTTP, enough to show a leak of the size of a text."""
    measured.replay(benchmark)
    measured.check()


@scenarios(Mode.ENDPOINT, nightly=("chars-60",), repeats=REPEATS)
def test_server(measured: Measured, benchmark: Benchmark) -> None:
    """A server whose process is known here (`--pid N` names it)."""
    measured.replay(benchmark)
    measured.check()
