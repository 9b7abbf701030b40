"""Replaces ONNX Runtime's own operators by standard ones.

A file that ONNX Runtime has optimised and saved contains operators of the domain com.microsoft, such as FastGelu and
SkipLayerNormalization. ONNX's shape inference does not know them, so values after them have no type, and the
quantisation tools fail ("Unable to find data type"). With standard operators every tool and provider reads the graph,
and ONNX Runtime fuses the operators again when it loads the file.
"""

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    import onnx_ir as ir

DOMAIN = "com.microsoft"
_SKIP_LAYER_NORMALIZATION_EPSILON = 1e-12
_GELU_OPSET = 20
"""The first opset with a standard Gelu."""


def write_out_file(source: Path, target: Path) -> Path:
    """`target`, with standard operators, if `source` has some of ONNX Runtime's own; otherwise `source`."""
    import onnx
    import onnx_ir as ir

    if not any(node.domain == DOMAIN for node in onnx.load(source, load_external_data=False).graph.node):
        return source
    model = ir.serde.deserialize_model(onnx.load(source))
    if not write_out(model):
        return source
    onnx.save(ir.serde.serialize_model(model), target)
    return target


def write_out(model: "ir.Model") -> int:
    """Replace ONNX Runtime's own operators in the main graph, as far as known. Return how many were replaced."""
    from onnx_ir.passes.common import RemoveUnusedOpsetsPass

    writers: dict[str, Callable[[ir.Node], list[ir.Node] | None]] = {
        "FastGelu": _fast_gelu,
        "SkipLayerNormalization": _skip_layer_normalization,
        "FusedMatMul": _fused_matmul,
    }
    count = 0
    if model.opset_imports.get("", 0) < _GELU_OPSET:
        writers.pop("FastGelu")
    for node in list(model.graph):
        written = writers[node.op_type](node) if node.domain == DOMAIN and node.op_type in writers else None
        if written is not None:
            _replace(model.graph, node, written)
            count += 1
    RemoveUnusedOpsetsPass()(model)
    return count


def _replace(graph: "ir.Graph", old: "ir.Node", written: "list[ir.Node]") -> None:
    """Replace the node `old` by `written`. The first output of the last new node replaces that of `old`."""
    output, result = old.outputs[0], written[-1].outputs[0]
    result.name, output.name = output.name, f"{output.name}_fused"
    result.type, result.shape = output.type, output.shape
    graph.insert_before(old, written)
    output.replace_all_uses_with(result, replace_graph_outputs=True)
    graph.remove(old, safe=True)


def _node(kind: str, old: "ir.Node", inputs: "list[ir.Value | None]", **attributes: object) -> "ir.Node":
    """A standard node with the output type of the old node."""
    import onnx_ir as ir

    name = f"{old.outputs[0].name}/{kind}"
    made = ir.node(kind, inputs, attributes or None, name=name)  # type: ignore[arg-type]  # plain numbers and strings
    made.outputs[0].name = f"{name}_output"
    made.outputs[0].type = old.outputs[0].type
    return made


def _type_like(output: "ir.Value", *terms: "ir.Value | None") -> None:
    """Give a value the type and shape of what it is computed from, element by element, if it has none."""
    for term in terms:
        if term is not None:
            output.type = output.type or term.type
            output.shape = output.shape or term.shape


def _fast_gelu(old: "ir.Node") -> "list[ir.Node]":
    """GELU of the sum of input and bias, in its tanh form."""
    x, *bias = old.inputs
    _type_like(old.outputs[0], x)
    nodes = []
    if bias and bias[0] is not None:
        nodes.append(_node("Add", old, [x, bias[0]]))
        x = nodes[-1].outputs[0]
    return [*nodes, _node("Gelu", old, [x], approximate="tanh")]


def _skip_layer_normalization(old: "ir.Node") -> "list[ir.Node] | None":
    """Layer normalisation of a sum; None if its other outputs are used."""
    x, skip, gamma, *rest = old.inputs
    beta, bias = [*rest, None, None][:2]
    _type_like(old.outputs[0], x, skip)
    if any(output.uses() for output in old.outputs[1:]):
        return None
    nodes = [_node("Add", old, [x, skip])]
    if bias is not None:
        nodes.append(_node("Add", old, [nodes[-1].outputs[0], bias]))
        nodes[-1].name = f"{nodes[-1].name}_bias"
        nodes[-1].outputs[0].name = f"{nodes[-1].name}_output"
    epsilon = old.attributes.get_float("epsilon", _SKIP_LAYER_NORMALIZATION_EPSILON)
    inputs = [nodes[-1].outputs[0], gamma, *([beta] if beta is not None else [])]
    return [*nodes, _node("LayerNormalization", old, inputs, axis=-1, epsilon=epsilon)]


def _fused_matmul(old: "ir.Node") -> "list[ir.Node] | None":
    """A scaled product of transposed factors; None if a batch axis is transposed or a rank is unknown."""
    import numpy as np
    import onnx_ir as ir

    flags = old.attributes
    if flags.get_int("transBatchA", 0) or flags.get_int("transBatchB", 0):
        return None
    nodes: list[ir.Node] = []
    factors: list[ir.Value | None] = []
    for factor, flag in zip(old.inputs, ("transA", "transB"), strict=True):
        if factor is None or factor.shape is None:
            return None
        if flags.get_int(flag, 0):
            rank = len(factor.shape)
            order = [*range(rank - 2), rank - 1, rank - 2]
            node = _node("Transpose", old, [factor], perm=order)
            node.name = f"{node.name}_{flag[-1]}"
            node.outputs[0].name = f"{node.name}_output"
            nodes.append(node)
            factors.append(node.outputs[0])
        else:
            factors.append(factor)
    nodes.append(_node("MatMul", old, factors))
    alpha = flags.get_float("alpha", 1.0)
    if alpha != 1.0:
        number = _node("Constant", old, [], value=ir.tensor(np.array(alpha, dtype=np.float32)))
        nodes += [number, _node("Mul", old, [nodes[-1].outputs[0], number.outputs[0]])]
    return nodes
