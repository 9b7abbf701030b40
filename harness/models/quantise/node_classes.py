"""Classes of nodes by their place in Kokoro's graph, so that a recipe can leave some of them in floats.

They are found by how the graph is connected and not by names, which differ between exports.
"""

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import onnx

LAST_STAGE = "last-stage"
"""The convolutions behind the last upsampling, which work at the highest rate and are closest to the audio."""
ATTENTION = "attention"
"""The products with weights in ALBERT, the text encoder with attention in front of the first LSTM."""
_WEIGHTED = ("Conv", "MatMul", "Gemm")


def named_nodes(path: Path, classes: Iterable[str]) -> list[str]:
    """The names of the nodes of these classes. Raises ValueError if the graph has no node of a class."""
    import onnx

    found: dict[str, None] = {}
    graph = onnx.load(path, load_external_data=False).graph
    for name in classes:
        nodes = CLASSES[name](graph)
        if not nodes:
            raise ValueError(f"the graph has no node of the class {name}")
        found |= dict.fromkeys(nodes)
    return list(found)


def _last_stage(graph: "onnx.GraphProto") -> list[str]:
    """Convolutions reached from the last ConvTranspose with several channels; the inverse transform has one."""
    shapes = {tensor.name: tuple(tensor.dims) for tensor in graph.initializer}
    wide = [
        node.output[0]
        for node in graph.node
        if node.op_type == "ConvTranspose" and len(shape := shapes.get(node.input[1], ())) > 1 and shape[1] > 1
    ]
    behind = _reached(graph, wide[-1:], forward=True)
    return [node.name for node in graph.node if node.op_type == "Conv" and node.name and node.output[0] in behind]


def _attention(graph: "onnx.GraphProto") -> list[str]:
    """Weighted nodes before or behind a Softmax that no LSTM precedes."""
    softmaxes = [node.output[0] for node in graph.node if node.op_type == "Softmax"]
    lstms = [name for node in graph.node if node.op_type == "LSTM" for name in node.output if name]
    behind_lstm = _reached(graph, lstms, forward=True)
    around = _reached(graph, softmaxes, forward=True) | _reached(graph, softmaxes, forward=False)
    return [
        node.name
        for node in graph.node
        if node.op_type in _WEIGHTED and node.name and node.output[0] in around - behind_lstm
    ]


CLASSES: Mapping[str, "Callable[[onnx.GraphProto], list[str]]"] = {LAST_STAGE: _last_stage, ATTENTION: _attention}


def _reached(graph: "onnx.GraphProto", starts: Iterable[str], *, forward: bool) -> set[str]:
    """The values that are computed from the values `starts`, or from which these are computed, and `starts`."""
    next_to: dict[str, set[str]] = {}
    for node in graph.node:
        here, there = (node.input, node.output) if forward else (node.output, node.input)
        for value in here:
            next_to.setdefault(value, set()).update(name for name in there if name)
    waiting = list(starts)
    seen = set(waiting)
    for value in waiting:  # the list grows during the loop
        fresh = next_to.get(value, set()) - seen
        seen |= fresh
        waiting += fresh
    return seen
