"""Quantised models compared with their original: speed, size, memory, start-up, and similarity of the audio."""

from harness.core.records.scenario import Mode
from harness.runner.pytest_fixture import Benchmark, Measured
from harness.runner.pytest_marker import scenarios

RECIPES = ("u8", "u8-per-channel", "u8-nolstm", "s8", "fp16", "int4")
COSTLY = (*RECIPES, "u8-matmul", "s8-matmul", "s8-per-channel", "qdq")
"""The last recipe is calibrated on real syntheses, which takes minutes."""


@scenarios(Mode.WHOLE, full=("chars-60", "chars-200"), recipes=RECIPES)
def test_whole(measured: Measured, benchmark: Benchmark) -> None:
    """One call. A variant with wrong audio fails, however fast it is."""
    measured.replay(benchmark)
    measured.check()


@scenarios(Mode.WHOLE, nightly=("chars-60", "chars-200"), recipes=COSTLY)
def test_every_recipe(measured: Measured, benchmark: Benchmark) -> None:
    """Recipes that take long to build or are known to be slow."""
    measured.replay(benchmark)
    measured.check()


@scenarios(Mode.LOAD_WARM, full=("-",), recipes=RECIPES)
def test_load(measured: Measured, benchmark: Benchmark) -> None:
    """Smaller files load sooner, unless their weights are unpacked at the start."""
    measured.replay(benchmark)
    measured.check()
