"""Start-up: from nothing to a loaded engine with its first inference behind it, and what its first listeners wait."""

from harness.core.records.scenario import Mode
from harness.runner.pytest_fixture import Benchmark, Measured
from harness.runner.pytest_marker import scenarios

WARMED = ("current", "engine=kokoro-sentences", "engine=kokoro-sentences,warm_up=on")
SERVED_WARMED = ("engine=kokoro-server,warm_up=off", "engine=kokoro-server,warm_up=on")


@scenarios(Mode.LOAD_WARM, quick=("-",))
def test_load_from_page_cache(measured: Measured, benchmark: Benchmark) -> None:
    """The model file was read just before: what a restart costs."""
    measured.replay(benchmark)
    measured.check()


@scenarios(Mode.LOAD_COLD, full=("-",))
def test_load_from_disk(measured: Measured, benchmark: Benchmark) -> None:
    """The model file was evicted from the page cache: what the first start costs."""
    measured.replay(benchmark)
    measured.check()


@scenarios(Mode.WARM_UP, full=("chars-12",), recipes=(), variant=None, changes=WARMED)
def test_first_requests(measured: Measured, benchmark: Benchmark) -> None:
    """Twenty texts of a process that has spoken nothing, and the same again; one engine has warmed up by itself."""
    measured.replay(benchmark)
    measured.check()


@scenarios(Mode.WARM_UP, full=("chars-12",), recipes=(), variant=None, changes=SERVED_WARMED)
def test_first_requests_of_the_server(measured: Measured, benchmark: Benchmark) -> None:
    """The same behind HTTP, where a server that warms up is not ready before."""
    measured.replay(benchmark)
    measured.check()
