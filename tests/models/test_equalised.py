"""Convolutions of 7-bit weights, with a scale for each channel of their results."""

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper
from onnxruntime import InferenceSession

from harness.models.quantise.equalised import Ranges, calibrate, equalise, result_steps

CHANNELS, LENGTH = 4, 200


def convolution(opset: int = 20, *, bias: bool = True) -> onnx.ModelProto:
    """A convolution whose results differ: channel 1 is a hundredth of channel 0, channel 2 lies around 50."""
    rng = np.random.default_rng(1)
    sizes = np.array([1.0, 0.01, 0.5, 0.0])[:, None, None]
    weights = (rng.standard_normal((4, CHANNELS, 3)) * sizes).astype(np.float32)
    tensors = [numpy_helper.from_array(weights, "w")]
    if bias:
        tensors.append(numpy_helper.from_array(np.array([0, 0, 50, -7], dtype=np.float32), "b"))
    node = helper.make_node("Conv", ["x", "w", "b"][: 3 if bias else 2], ["y"], name="conv", pads=[1, 1])
    shape = [1, CHANNELS, "length"]
    graph = helper.make_graph(
        [node],
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, shape)],
        tensors,
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=9)


def feeds(count: int = 3) -> list[dict[str, np.ndarray]]:
    rng = np.random.default_rng(2)
    return [{"x": rng.standard_normal((1, CHANNELS, LENGTH)).astype(np.float32)} for _ in range(count)]


def run(model: onnx.ModelProto, feed: dict[str, np.ndarray]) -> np.ndarray:
    (answer,) = InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"]).run(None, feed)
    return np.asarray(answer)


@pytest.mark.parametrize("opset", [14, 20])
@pytest.mark.parametrize("bias", [True, False])
def test_small_and_shifted_channels_keep_their_precision(opset: int, bias: bool) -> None:  # noqa: FBT001
    given = feeds()
    before = [run(convolution(opset, bias=bias), feed)[0] for feed in given]
    model = equalise(convolution(opset, bias=bias), given)
    onnx.checker.check_model(model)
    kinds = [node.op_type for node in model.graph.node]
    assert kinds.count("DequantizeLinear") == 4
    for feed, wanted in zip(given, before, strict=True):
        found = run(model, feed)[0]
        spread = wanted.max(axis=1) - wanted.min(axis=1)
        # Beside the rounding of the inputs and weights, a channel around 50 has steps of half a hundredth of it.
        allowed = np.maximum(0.04 * spread, np.abs(wanted).max(axis=1) / 100)
        assert (np.abs(found - wanted).max(axis=1) <= allowed).all()
        assert np.corrcoef(found[1], wanted[1])[0, 1] > 0.999


def test_a_convolution_can_be_left_in_floats() -> None:
    model = equalise(convolution(), feeds(), floats=["conv"])
    assert [node.op_type for node in model.graph.node] == ["Conv"]


def test_without_inputs_nothing_can_be_calibrated() -> None:
    with pytest.raises(ValueError, match="no inputs to calibrate with"):
        equalise(convolution(), [])


def test_ranges_hold_for_most_inputs() -> None:
    given = feeds(10)
    given[3]["x"][0, 1] *= 20
    found = calibrate(convolution(), {"x", "y"}, given)
    highest = np.array([feed["x"][0].max(axis=1) for feed in given])
    assert (np.sum(highest <= found["x"].high, axis=0) == 8).all()
    lowest = np.array([feed["x"][0].min(axis=1) for feed in given])
    assert (np.sum(lowest >= found["x"].low, axis=0) == 8).all()
    assert found["y"].low.shape == (CHANNELS,)


def test_the_steps_of_a_channel_hold_its_zero_and_its_range() -> None:
    low, high = np.array([-1.0, 9.0, 50.0, 0.0, -8.0]), np.array([1.0, 10.0, 50.0, 0.0, 3.0])
    step, offset = result_steps(Ranges(low=low, high=high))
    assert (np.abs(offset) <= 100).all()
    for edge in (low, high):
        steps = edge / step - offset
        assert ((steps >= -128) & (steps <= 127)).all()


def test_a_channel_without_weights_keeps_its_bias() -> None:
    model = convolution()
    weights, bias = model.graph.initializer
    bias.CopyFrom(numpy_helper.from_array(np.array([0, 0, 50, 1.05e-6], dtype=np.float32), "b"))
    assert not numpy_helper.to_array(weights)[3].any()
    found = run(equalise(model, feeds()), feeds()[0])[0, 3]
    np.testing.assert_allclose(found, 1.05e-6, atol=1e-7)


def test_a_model_file_is_written_out(tmp_path: Path) -> None:
    onnx.save(equalise(convolution(), feeds()), tmp_path / "quantised.onnx")
    weights = [each for each in onnx.load(tmp_path / "quantised.onnx").graph.initializer if each.dims == [4, 4, 3]]
    assert [each.data_type for each in weights] == [TensorProto.INT8]
    assert np.abs(numpy_helper.to_array(weights[0])).max() == 63
