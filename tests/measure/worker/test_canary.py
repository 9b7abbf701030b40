import sys
from collections.abc import Callable

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from harness.core.clock import ScriptedClock
from harness.core.records.repetition import Canary
from harness.measure.worker import canary
from harness.measure.worker.canary_graph import canary_model


@pytest.fixture
def scripted(monkeypatch: pytest.MonkeyPatch) -> Callable[..., ScriptedClock]:
    """A clock on which the two pieces of work take given times (ms), round after round."""

    def script(*, numpy_ms: list[int], graph_ms: list[int]) -> ScriptedClock:
        clock = ScriptedClock()
        kernel, graph = iter(numpy_ms), iter(graph_ms)

        class Session:
            def run(self, _outputs: None, _feed: dict[str, object]) -> None:
                clock.sleep(next(graph) / 1e3)

        monkeypatch.setattr(canary, "_numpy_kernel", lambda: clock.sleep(next(kernel) / 1e3))
        monkeypatch.setattr(canary, "_graph", lambda: (Session(), {}))
        return clock

    return script


def test_the_middle_of_the_rounds_is_read(scripted: Callable[..., ScriptedClock]) -> None:
    clock = scripted(numpy_ms=[9, 4, 5], graph_ms=[7, 8, 90])
    assert canary.read(rounds=3, clock=clock) == Canary(numpy_ns=5_000_000, graph_ns=8_000_000)


def test_only_the_work_is_timed_and_not_the_building_of_the_graph(
    scripted: Callable[..., ScriptedClock], monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = scripted(numpy_ms=[4], graph_ms=[7])
    build = canary._graph

    def slow_build() -> object:
        clock.sleep(60.0)
        return build()

    monkeypatch.setattr(canary, "_graph", slow_build)
    assert canary.read(rounds=1, clock=clock) == Canary(numpy_ns=4_000_000, graph_ns=7_000_000)


def test_without_onnx_runtime_the_graph_s_reading_is_unknown_with_the_reason(
    scripted: Callable[..., ScriptedClock], monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = scripted(numpy_ms=[4], graph_ms=[])

    def absent() -> None:
        raise ModuleNotFoundError("No module named 'onnxruntime'", name="onnxruntime")

    monkeypatch.setattr(canary, "_graph", absent)
    expected = Canary(numpy_ns=4_000_000, graph_ns=None, reason="not installed: onnxruntime")
    assert canary.read(rounds=1, clock=clock) == expected


def test_the_graph_is_the_same_each_time_and_runs_on_one_thread() -> None:
    canary._graph.cache_clear()
    first, feed = canary._graph()
    canary._graph.cache_clear()
    second, again = canary._graph()
    assert (first.run(None, feed)[0] == second.run(None, again)[0]).all()
    assert first.get_session_options().intra_op_num_threads == 1
    assert first.run(None, feed)[0].shape == (1, canary.CHANNELS, canary.FRAMES)


def test_the_graph_is_to_the_byte_what_the_package_onnx_writes() -> None:
    shape, kernel = [1, 96, 2_000], np.linspace(-1, 1, 96 * 96 * 7, dtype=np.float32).reshape(96, 96, 7)
    weights = [kernel, -kernel]
    graph = helper.make_graph(
        [
            helper.make_node("Conv", ["x", "w0"], ["a"], pads=[3, 3], dilations=[1]),
            helper.make_node("Sin", ["a"], ["b"]),
            helper.make_node("Conv", ["b", "w1"], ["y"], pads=[9, 9], dilations=[3]),
        ],
        "canary",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, shape)],
        [numpy_helper.from_array(each, f"w{number}") for number, each in enumerate(weights)],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.checker.check_model(model)
    assert canary_model(shape, weights) == model.SerializeToString()


def test_nothing_heavy_is_imported_with_the_module() -> None:
    assert canary.__name__ in sys.modules
    assert not {"np", "numpy", "onnx", "ort"} & set(vars(canary))
