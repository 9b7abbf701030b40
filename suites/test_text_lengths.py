"""Text lengths: from a word to several minutes of speech, whole and streamed."""

from harness.core.records.scenario import Mode
from harness.runner.pytest_fixture import Benchmark, Measured
from harness.runner.pytest_marker import scenarios

SHORT = ("chars-12", "chars-60", "chars-200")
MEDIUM = ("chars-500", "chars-900")
LONG = ("chars-1700", "chars-4400")


@scenarios(Mode.WHOLE, quick=SHORT, full=MEDIUM, nightly=LONG)
def test_whole(measured: Measured, benchmark: Benchmark) -> None:
    """One call, all audio at once."""
    measured.replay(benchmark)
    measured.check()


@scenarios(Mode.STREAM, full=("chars-900",), nightly=("chars-500", *LONG))
def test_streamed(measured: Measured, benchmark: Benchmark) -> None:
    """Chunks as the engine yields them; a text of one batch does not stream, so short texts are omitted."""
    measured.replay(benchmark)
    measured.check()


@scenarios(Mode.WHOLE, nightly=("chars-60",), variant=None)
def test_every_variant(measured: Measured, benchmark: Benchmark) -> None:
    """Another text of the class in each block: results for one sentence must hold for others."""
    measured.replay(benchmark)
    measured.check()


@scenarios(Mode.WHOLE, full=("chars-60",), speeds=(0.8, 1.25), recipes=())
def test_speeds(measured: Measured, benchmark: Benchmark) -> None:
    """Slower and faster speech: the work follows the length of the audio, not that of the text."""
    measured.replay(benchmark)
    measured.check()
