"""The edges of a batch: kokoro-onnx splits at 510 phonemes, and once raised there.

It is the same for every model, so only the original is measured.
"""

from harness.core.records.scenario import Mode
from harness.runner.pytest_fixture import Benchmark, Measured
from harness.runner.pytest_marker import scenarios

EDGES = ("phonemes-509", "phonemes-510", "phonemes-511", "unpunctuated-700")


@scenarios(Mode.WHOLE, full=EDGES, recipes=())
def test_whole(measured: Measured, benchmark: Benchmark) -> None:
    """One batch, exactly one batch, two batches, and two without a mark to split at."""
    measured.replay(benchmark)
    measured.check()


@scenarios(Mode.STREAM, full=("phonemes-511",), nightly=("unpunctuated-700",), recipes=())
def test_streamed(measured: Measured, benchmark: Benchmark) -> None:
    """What is split must also stream."""
    measured.replay(benchmark)
    measured.check()


@scenarios(Mode.WHOLE, full=("one-word",), recipes=())
def test_one_word(measured: Measured, benchmark: Benchmark) -> None:
    """The shortest text."""
    measured.replay(benchmark)
    measured.check()
