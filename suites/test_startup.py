"""Start-up: the time to a loaded engine with its first inference, and the waits of the first requests."""

from harness.core.records.scenario import Mode
from harness.runner.pytest_fixture import Benchmark, Measured
from harness.runner.pytest_marker import scenarios

WARMED = ("current", "engine=kokoro-sentences", "engine=kokoro-sentences,warm_up=on")
SERVED_WARMED = ("engine=kokoro-server,warm_up=off", "engine=kokoro-server,warm_up=on")


@scenarios(Mode.LOAD_WARM, quick=("-",))
def test_load_from_page_cache(measured: Measured, benchmark: Benchmark) -> None:
    """With the model file in the page cache: the cost of a restart."""
    measured.replay(benchmark)
    measured.check()


@scenarios(Mode.LOAD_COLD, full=("-",))
def test_load_from_disk(measured: Measured, benchmark: Benchmark) -> None:
    """With the model file evicted from the page cache: the cost of the first start."""
    measured.replay(benchmark)
    measured.check()


@scenarios(Mode.WARM_UP, full=("chars-12",), recipes=(), variant=None, changes=WARMED)
def test_first_requests(measured: Measured, benchmark: Benchmark) -> None:
    """Twenty texts of a new process, then the same again. One engine warms itself up."""
    measured.replay(benchmark)
    measured.check()


@scenarios(Mode.WARM_UP, full=("chars-12",), recipes=(), variant=None, changes=SERVED_WARMED)
def test_first_requests_of_the_server(measured: Measured, benchmark: Benchmark) -> None:
    """The same behind HTTP. A server with a warm-up is not ready before it."""
    measured.replay(benchmark)
    measured.check()
