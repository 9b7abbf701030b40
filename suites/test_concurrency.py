"""Concurrent requests: the wait of each, the total throughput, and whether each answer has its own text.

Every answer is compared with a solo answer to the same text, so answers that are swapped, mixed or cut under load fail
here. In process, one session with all threads is compared with a pool: its gain, starvation, and the share of each
session. `kokoro-bench load` finds how much load a server sustains over time.
"""

from harness.core.records.scenario import Mode
from harness.runner.pytest_fixture import Benchmark, Measured
from harness.runner.pytest_marker import scenarios

AT_ONCE = (1, 2, 4, 8)
POOLS = ("engine=kokoro-sentences", "engine=kokoro-sentences,sessions=2")
LARGER_POOLS = ("engine=kokoro-sentences,sessions=4", "engine=kokoro-sentences,sessions=8")
SERVED_POOLS = ("engine=kokoro-server", "engine=kokoro-server,sessions=2")


@scenarios(Mode.ENDPOINT, full=("chars-60",), nightly=("chars-200",), concurrencies=AT_ONCE)
def test_at_once(measured: Measured, benchmark: Benchmark) -> None:
    """One, two, four and eight texts at the same time, over open connections."""
    measured.replay(benchmark)
    measured.check()


@scenarios(
    Mode.STREAM,
    full=("chars-12",),
    nightly=("chars-60",),
    recipes=(),
    variant=None,
    changes=POOLS,
    concurrencies=AT_ONCE,
)
def test_at_once_in_process(measured: Measured, benchmark: Benchmark) -> None:
    """The same with threads of the project's engine: one session with all threads, and two that share them."""
    measured.replay(benchmark)
    measured.check()


@scenarios(Mode.STREAM, full=("chars-12",), recipes=(), variant=None, changes=SERVED_POOLS, concurrencies=(1, 8))
def test_at_once_behind_http(measured: Measured, benchmark: Benchmark) -> None:
    """The same engine behind its server, which is started for the run: the cost of the network."""
    measured.replay(benchmark)
    measured.check()


@scenarios(Mode.STREAM, nightly=("chars-60",), recipes=(), variant=None, changes=LARGER_POOLS, concurrencies=(8,))
def test_at_once_of_more_sessions(measured: Measured, benchmark: Benchmark) -> None:
    """Eight concurrent requests to four sessions, and to eight."""
    measured.replay(benchmark)
    measured.check()
