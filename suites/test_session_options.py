"""Threads and session options of the original, one at a time, compared with ONNX Runtime's defaults."""

from harness.core.records.scenario import Mode
from harness.runner.pytest_fixture import Benchmark, Measured
from harness.runner.pytest_marker import scenarios

THREADS = ("current", "threads=1", "threads=2")
OPTIONS = ("current", "spinning=off", "arena=off", "arena_shrink=on")
FURTHER = (
    "current",
    "memory_pattern=off",
    "graph_optimization=disable",
    "graph_optimization=basic",
    "graph_optimization=extended",
    "execution_mode=parallel,inter_threads=2",
)


@scenarios(Mode.WHOLE, full=("chars-60",), nightly=("chars-500",), recipes=(), changes=THREADS)
def test_threads(measured: Measured, benchmark: Benchmark) -> None:
    """Intra-op threads: work that scales, and work that does not."""
    measured.replay(benchmark)
    measured.check()


@scenarios(Mode.WHOLE, full=("chars-60",), nightly=("chars-500",), recipes=(), changes=OPTIONS)
def test_waiting_and_memory(measured: Measured, benchmark: Benchmark) -> None:
    """How threads wait, and what the arena keeps: latency against CPU time, and against memory."""
    measured.replay(benchmark)
    measured.check()


@scenarios(Mode.WHOLE, nightly=("chars-60",), recipes=(), changes=FURTHER)
def test_graph(measured: Measured, benchmark: Benchmark) -> None:
    """How the graph is rewritten, planned and run."""
    measured.replay(benchmark)
    measured.check()


@scenarios(Mode.LOAD_WARM, nightly=("-",), recipes=(), changes=FURTHER)
def test_load(measured: Measured, benchmark: Benchmark) -> None:
    """The cost of graph rewriting at the start."""
    measured.replay(benchmark)
    measured.check()
