"""Execution providers and the CPU: those of the installed ONNX Runtime, and OpenVINO in separate packages.

A provider that cannot run here or falls back to the CPU is refused. The table states the reason.
"""

from harness.core.records.scenario import Mode
from harness.runner.pytest_fixture import Benchmark, Measured
from harness.runner.pytest_marker import scenarios

OPENVINO = "onnxruntime-openvino==1.24.1,provider=openvino"
EXPORTED = ("current", "provider=*", OPENVINO)
PLAIN = "model=replica-plain"
"""The replica without the Loop in its length regulation, which OpenVINO does not support."""


@scenarios(Mode.WHOLE, full=("chars-60", "chars-200"), recipes=(), changes=EXPORTED)
def test_whole(measured: Measured, benchmark: Benchmark) -> None:
    """The graph as it is exported."""
    measured.replay(benchmark)
    measured.check()


@scenarios(Mode.WHOLE, full=("chars-60", "chars-200"), recipes=(), changes=(PLAIN, f"{PLAIN},{OPENVINO}"))
def test_without_sequences(measured: Measured, benchmark: Benchmark) -> None:
    """A graph that more providers support."""
    measured.replay(benchmark)
    measured.check()
