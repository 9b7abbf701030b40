"""Start-up: from nothing to a loaded engine with its first inference behind it."""

from harness.measured import Benchmark, Measured
from harness.plugin import scenarios
from harness.records.scenario import Mode


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
