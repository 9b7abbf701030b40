"""Each kind of integer node in a graph of its own, quantised by ONNX Runtime's tool or written by hand."""

from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper
from onnxruntime.quantization import QuantType, quantize_dynamic

from harness.core.errors import ModelError
from harness.models.dequantise.graph import ORIGIN_KEY, dequantise_file
from harness.models.jobs import Dequantise

Array = NDArray[Any]
FLOAT, INT64 = TensorProto.FLOAT, TensorProto.INT64
RANDOM = np.random.default_rng(5)
WITHIN = 0.02
"""Largest difference from the original, as a share of its largest output: 8 bits of each weight, and no more."""


def weights(*shape: int) -> Array:
    return (RANDOM.standard_normal(shape) / np.sqrt(shape[-1])).astype(np.float32)


def write(
    path: Path,
    nodes: list[onnx.NodeProto],
    constants: dict[str, Array],
    *,
    takes: tuple[Any, ...] = (FLOAT, (1, 8, 12)),
    domains: tuple[str, ...] = (),
) -> Path:
    """A graph from "x" to "y"."""
    graph = helper.make_graph(
        nodes,
        "tiny",
        [helper.make_tensor_value_info("x", *takes)],
        [helper.make_tensor_value_info("y", FLOAT, list("abcd"[: 4 if nodes[0].op_type == "LSTM" else 3]))],
        [numpy_helper.from_array(array, name) for name, array in constants.items()],
    )
    opsets = [helper.make_opsetid("", 20), *(helper.make_opsetid(domain, 1) for domain in domains)]
    onnx.save(helper.make_model(graph, opset_imports=opsets, ir_version=9), path)
    return path


def run(path: Path, x: Array, *, optimised: bool = True) -> Array:
    options = onnxruntime.SessionOptions()
    if not optimised:
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    found: Array = session.run(None, {"x": x})[0]
    return found


def operators(path: Path) -> Counter[str]:
    return Counter(node.op_type for node in onnx.load(path).graph.node)


def dequantised(source: Path) -> Path:
    target = source.with_name(f"{source.stem}.floats.onnx")
    dequantise_file(Dequantise(source=str(source), target=str(target), origin="tiny"))
    onnx.checker.check_model(str(target), full_check=True)
    return target


def quantised(source: Path, *, signed: bool = False, per_channel: bool = False) -> Path:
    target = source.with_name("quantised.onnx")
    kind = QuantType.QInt8 if signed else QuantType.QUInt8
    quantize_dynamic(str(source), str(target), weight_type=kind, per_channel=per_channel)
    return target


def same(ours: Array, theirs: Array, *, within: float = WITHIN) -> bool:
    return bool(np.abs(ours - theirs).max() <= within * np.abs(theirs).max())


CONV = helper.make_node("Conv", ["x", "w", "b"], ["y"], name="conv", pads=[1, 1], kernel_shape=[3], dilations=[1])
MATMUL = helper.make_node("MatMul", ["x", "w"], ["y"], name="dense")
LSTM = helper.make_node("LSTM", ["x", "w", "r", "b"], ["y"], name="lstm", direction="bidirectional", hidden_size=4)
GATHER = helper.make_node("Gather", ["w", "x"], ["y"], name="rows")


@pytest.mark.parametrize("signed_and_per_channel", [(False, False), (False, True), (True, False)])
@pytest.mark.parametrize(
    ("node", "constants", "integer", "takes"),
    [
        (CONV, {"w": weights(6, 8, 3), "b": weights(6)}, "ConvInteger", (FLOAT, (1, 8, 12))),
        (MATMUL, {"w": weights(12, 6)}, "MatMulInteger", (FLOAT, (1, 8, 12))),
        (
            LSTM,
            {"w": weights(2, 16, 12), "r": weights(2, 16, 4), "b": weights(2, 32)},
            "DynamicQuantizeLSTM",
            (FLOAT, (5, 1, 12)),
        ),
        (GATHER, {"w": weights(20, 8)}, "DequantizeLinear", (INT64, (1, 6))),
    ],
    ids=["conv", "matmul", "lstm", "gather"],
)
def test_an_integer_node_becomes_the_float_node_that_it_was_made_from(
    tmp_path: Path,
    node: onnx.NodeProto,
    constants: dict[str, Array],
    integer: str,
    takes: tuple[Any, ...],
    signed_and_per_channel: tuple[bool, bool],
) -> None:
    signed, per_channel = signed_and_per_channel
    original = write(tmp_path / "original.onnx", [node], constants, takes=takes)
    if integer == "DequantizeLinear":  # the tool quantises embeddings only beside something else
        source = _quantised_rows(tmp_path / "quantised.onnx", constants["w"])
    else:
        source = quantised(original, signed=signed, per_channel=per_channel)
    assert operators(source)[integer] == 1
    floats = dequantised(source)
    assert operators(floats)[node.op_type] == 1
    assert set(operators(floats)) <= {node.op_type, "Add", "Reshape"}  # the bias of a convolution
    x = RANDOM.standard_normal(takes[1]).astype(np.float32) if takes[0] == FLOAT else np.arange(6)[None]
    assert same(run(floats, x), run(original, x))
    (stored,) = (numpy_helper.to_array(each) for each in onnx.load(floats).graph.initializer if each.name == "w")
    assert stored.dtype == np.float32
    assert stored.shape == constants["w"].shape
    assert np.abs(stored - constants["w"]).max() <= np.ptp(constants["w"]) / 200


def _quantised_rows(path: Path, table: Array) -> Path:
    scale = np.float32(np.ptp(table) / 255)
    zero = np.uint8(round(float(-table.min() / scale)))
    constants = {
        "w_quantized": np.clip(np.round(table / scale) + zero, 0, 255).astype(np.uint8),
        "scale": np.array(scale),
        "zero": np.array(zero),
    }
    nodes = [
        helper.make_node("Gather", ["w_quantized", "x"], ["rows"], name="rows"),
        helper.make_node("DequantizeLinear", ["rows", "scale", "zero"], ["y"], name="rows_quant"),
    ]
    return write(path, nodes, constants, takes=(INT64, (1, 6)))


def _with_an_integer_bias(path: Path, *, bias: str = "Floor") -> tuple[Path, Array, Array]:
    """A convolution as earlier versions of the tool wrote it: the bias is quantised and added to the integers."""
    kernel, shift = weights(6, 8, 3), weights(6)
    scale = np.float32(np.ptp(kernel) / 255)
    zero = np.uint8(round(float(-kernel.min() / scale)))
    constants = {
        "w_quantized": np.clip(np.round(kernel / scale) + zero, 0, 255).astype(np.uint8),
        "w_scale": np.array(scale),
        "w_zero": np.array(zero),
        "b": shift,
        "shape": np.array([1, 6, 1]),
    }
    nodes = [
        helper.make_node("DynamicQuantizeLinear", ["x"], ["x_quantized", "x_scale", "x_zero"]),
        helper.make_node("Mul", ["x_scale", "w_scale"], ["b_scale"]),
        helper.make_node("Div", ["b", "b_scale"], ["b_scaled"]),
        helper.make_node(bias, ["b_scaled"], ["b_floor"]),
        helper.make_node("Cast", ["b_floor"], ["b_quantized"], to=TensorProto.INT32),
        helper.make_node("Reshape", ["b_quantized", "shape"], ["b_shaped"]),
        helper.make_node(
            "ConvInteger", ["x_quantized", "w_quantized", "x_zero", "w_zero"], ["integers"], name="conv_quant",
            pads=[1, 1], kernel_shape=[3],
        ),
        helper.make_node("Add", ["integers", "b_shaped"], ["added"]),
        helper.make_node("Cast", ["added"], ["wide"], to=FLOAT),
        helper.make_node("Mul", ["wide", "b_scale"], ["y"]),
    ]  # fmt: skip
    return write(path, nodes, constants), kernel, shift


def test_the_float_bias_takes_the_place_of_its_quantised_copy(tmp_path: Path) -> None:
    source, kernel, shift = _with_an_integer_bias(tmp_path / "quantised.onnx")
    original = write(tmp_path / "original.onnx", [CONV], {"w": kernel, "b": shift})
    floats = dequantised(source)
    assert operators(floats) == {"Conv": 1}
    (conv,) = onnx.load(floats).graph.node
    assert (conv.name, list(conv.input), list(conv.output)) == ("conv", ["x", "w", "b"], ["y"])
    x = RANDOM.standard_normal((1, 8, 12)).astype(np.float32)
    assert same(run(floats, x), run(original, x))


def test_weights_that_nodes_share_are_stored_once(tmp_path: Path) -> None:
    nodes = [
        helper.make_node("MatMul", ["x", "w"], ["hidden"], name="one"),
        helper.make_node("Relu", ["hidden"], ["positive"]),
        helper.make_node("MatMul", ["positive", "w"], ["y"], name="two"),
    ]
    original = write(tmp_path / "original.onnx", nodes, {"w": weights(12, 12)})
    floats = dequantised(quantised(original))
    assert operators(floats) == {"MatMul": 2, "Relu": 1}
    assert [each.name for each in onnx.load(floats).graph.initializer] == ["w"]


def test_operators_of_onnx_runtime_are_written_out(tmp_path: Path) -> None:
    nodes = [
        helper.make_node("MatMul", ["x", "w"], ["a"], name="dense"),
        helper.make_node("FastGelu", ["a", "b"], ["g"], domain="com.microsoft"),
        helper.make_node("SkipLayerNormalization", ["g", "x", "b", "b"], ["n"], domain="com.microsoft", epsilon=1e-5),
        helper.make_node("FusedMatMul", ["n", "x"], ["y"], domain="com.microsoft", transA=1, alpha=0.5),
    ]
    constants = {"w": weights(12, 12), "b": weights(12)}
    original = write(tmp_path / "original.onnx", nodes, constants, domains=("com.microsoft",))
    floats = dequantised(quantised(original))
    model = onnx.load(floats)
    assert {node.domain for node in model.graph.node} == {""}
    assert [each.domain for each in model.opset_import] == [""]
    x = RANDOM.standard_normal((1, 8, 12)).astype(np.float32)
    assert same(run(floats, x), run(original, x))
    typed = {each.name for each in onnx.shape_inference.infer_shapes(model, strict_mode=True).graph.value_info}
    assert {name for node in model.graph.node for name in node.output} <= {*typed, "y"}


def test_the_file_says_what_it_was_made_from_and_is_the_same_each_time(tmp_path: Path) -> None:
    source, _, _ = _with_an_integer_bias(tmp_path / "quantised.onnx")
    first, second = (dequantised(source).read_bytes() for _ in range(2))
    assert first == second
    assert [(each.key, each.value) for each in onnx.load_from_string(first).metadata_props] == [(ORIGIN_KEY, "tiny")]


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"Cast": "Neg"}, "ConvInteger conv_quant cannot be dequantised: its integers go to Neg wide, not to a Cast"),
        ({"Mul": "Div"}, r"ConvInteger conv_quant cannot be dequantised: its integers are not scaled by a Mul: Div y"),
        ({"Div": "Pow"}, "ConvInteger conv_quant cannot be dequantised: its bias is not in the file as floats"),
        ({"ConvInteger": "QLinearSomething"}, "QLinearSomething conv_quant cannot be dequantised: no float operator"),
    ],
)
def test_a_node_that_is_left_is_named_with_the_reason(tmp_path: Path, change: dict[str, str], reason: str) -> None:
    source, _, _ = _with_an_integer_bias(tmp_path / "quantised.onnx")
    model = onnx.load(source)
    for node in model.graph.node:
        last = node.op_type != "Mul" or node.output[0] == "y"
        if node.op_type in change and last and node.output[0] != "b_quantized":
            node.op_type = change[node.op_type]
            if node.op_type == "Neg":
                del node.attribute[:]
    onnx.save(model, source)
    with pytest.raises(ModelError, match=reason):
        dequantise_file(Dequantise(source=str(source), target=str(tmp_path / "out.onnx"), origin="tiny"))
    assert not (tmp_path / "out.onnx").exists()


def test_a_graph_without_integers_needs_no_dequantising(tmp_path: Path) -> None:
    source = write(tmp_path / "original.onnx", [MATMUL], {"w": weights(12, 6)})
    with pytest.raises(ModelError, match="no node of it is quantised"):
        dequantise_file(Dequantise(source=str(source), target=str(tmp_path / "out.onnx"), origin="tiny"))
