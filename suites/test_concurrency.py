"""Several listeners at once: what each waits, what comes in all, and whether each hears its own text.

Every answer is compared with the one that is given to the same text alone: answers that are swapped, mixed or cut under
load fail here. In process one session of all threads stands beside a pool: what it gains, whether anybody starves, and
which session spoke how much. How much a server bears over time is another question: `kokoro-bench load`.
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
    """One, two, four and eight texts in the same moment, over connections that are there."""
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
    """The same of the project's engine, by threads: one session of all threads, and two that share them."""
    measured.replay(benchmark)
    measured.check()


@scenarios(Mode.STREAM, full=("chars-12",), recipes=(), variant=None, changes=SERVED_POOLS, concurrencies=(1, 8))
def test_at_once_behind_http(measured: Measured, benchmark: Benchmark) -> None:
    """The same engine behind its server, started for the run: what the way over the network adds to it."""
    measured.replay(benchmark)
    measured.check()


@scenarios(Mode.STREAM, nightly=("chars-60",), recipes=(), variant=None, changes=LARGER_POOLS, concurrencies=(8,))
def test_at_once_of_more_sessions(measured: Measured, benchmark: Benchmark) -> None:
    """Eight listeners of four sessions, and of eight."""
    measured.replay(benchmark)
    measured.check()
