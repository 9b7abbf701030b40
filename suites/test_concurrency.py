"""Several listeners of a server at once: what each waits, what comes in all, and whether each hears its own text.

Every answer is compared with the one that the server gives to the same text alone: answers that are swapped, mixed or
cut under load fail here. How much a server bears over time is another question: `kokoro-bench load`.
"""

from harness.measured import Benchmark, Measured
from harness.plugin import scenarios
from harness.records.scenario import Mode

AT_ONCE = (1, 2, 4, 8)


@scenarios(Mode.ENDPOINT, full=("chars-60",), nightly=("chars-200",), concurrencies=AT_ONCE)
def test_at_once(measured: Measured, benchmark: Benchmark) -> None:
    """One, two, four and eight texts in the same moment, over connections that are there."""
    measured.replay(benchmark)
    measured.check()
