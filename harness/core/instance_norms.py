"""Finds the instance norms in Kokoro's graphs, and what makes them adaptive.

Each channel is normalised over time, multiplied by one plus a scale and added to a shift, both computed from the
style. Two forms are known. In the newer export, an InstanceNormalization with constants is followed by a Mul and an
Add. In the older one the norm is written out as well: ReduceMean, Sub, a square, ReduceMean, Add, Sqrt, Div.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    import numpy as np
    import onnx_ir as ir
    from numpy.typing import NDArray

TIME = 2
"""The axis over which an instance norm of [batch, channel, time] is taken."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Norm:
    """A norm in the graph: its input, its result, and the constants that it has itself (None: 1 and 0)."""

    x: "ir.Value"
    result: "ir.Value"
    epsilon: float
    name: str
    scale: "ir.Value | None" = None
    shift: "ir.Value | None" = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Adaptive:
    """The Add that ends an adaptive norm, and the computed values by which the norm is multiplied and shifted."""

    total: "ir.Node"
    scale: "ir.Value"
    shift: "ir.Value"


def find_norms(graph: "ir.Graph") -> "list[Norm]":
    """All norms of a known form."""
    return [*_instance_norms(graph), *_written_out(graph)]


def find_adaptive(norm: Norm) -> Adaptive | None:
    """The Mul and the Add that read the norm's result and nothing else does; None if there are none."""
    product = _only_reader(norm.result, "Mul")
    total = _only_reader(product.outputs[0], "Add") if product is not None else None
    if product is None or total is None:
        return None
    scale, shift = _other(product, norm.result), _other(total, product.outputs[0])
    if scale is None or shift is None or not _is_computed(scale) or not _is_computed(shift):
        return None
    return Adaptive(total=total, scale=scale, shift=shift)


def constant_of(value: "ir.Value | None") -> "NDArray[np.generic] | None":
    """The array of a constant; None for what is computed."""
    tensor = value.const_value if value is not None else None
    return None if tensor is None else tensor.numpy()


def _instance_norms(graph: "ir.Graph") -> "Iterator[Norm]":
    for node in [each for each in graph if each.op_type == "InstanceNormalization"]:
        x, scale, shift = node.inputs
        if x is not None:
            epsilon = node.attributes.get_float("epsilon", 1e-5)
            name = node.name or str(node.outputs[0].name)
            yield Norm(x=x, result=node.outputs[0], epsilon=epsilon, name=name, scale=scale, shift=shift)


def _written_out(graph: "ir.Graph") -> "Iterator[Norm]":
    """(x − mean) ÷ √(mean of the squares + epsilon), over time."""
    for node in [each for each in graph if each.op_type == "Div"]:
        centred, root = node.inputs
        variance = _through(root, "Sqrt", "Add")
        epsilon = constant_of(_other_constant(variance)) if variance is not None else None
        if variance is None or epsilon is None or epsilon.size != 1:
            continue
        square = _mean_of(next((value for value in variance.inputs if constant_of(value) is None), None))
        subtraction = centred.producer() if centred is not None else None
        if subtraction is None or subtraction.op_type != "Sub" or not _is_square(square, centred):
            continue
        x, mean = subtraction.inputs
        if x is not None and _mean_of(mean) is x:
            name = f"{node.name or node.outputs[0].name}/InstanceNormalization"
            yield Norm(x=x, result=node.outputs[0], epsilon=float(epsilon.ravel()[0]), name=name)


def _through(value: "ir.Value | None", *kinds: str) -> "ir.Node | None":
    """The last of a chain of nodes of these kinds, from the one that makes `value` upwards by the first inputs."""
    node = None
    for kind in kinds:
        node = value.producer() if value is not None else None
        if node is None or node.op_type != kind:
            return None
        value = node.inputs[0]
    return node


def _mean_of(value: "ir.Value | None") -> "ir.Value | None":
    """What a value is the mean of over time, with the axis kept; None if it is no such mean."""
    import numpy as np

    node = value.producer() if value is not None else None
    if node is None or node.op_type != "ReduceMean" or not node.attributes.get_int("keepdims", 1):
        return None
    axes = constant_of(node.inputs[1]) if len(node.inputs) > 1 else np.array(node.attributes.get_ints("axes", ()))
    return node.inputs[0] if axes is not None and axes.ravel().tolist() == [TIME] else None


def _is_square(value: "ir.Value | None", of: "ir.Value | None") -> bool:
    node = value.producer() if value is not None else None
    if node is None or of is None:
        return False
    if node.op_type == "Mul":
        return all(each is of for each in node.inputs)
    power = constant_of(node.inputs[1]) if node.op_type == "Pow" and node.inputs[0] is of else None
    return power is not None and power.ravel().tolist() == [2]


def _other_constant(node: "ir.Node") -> "ir.Value | None":
    return next((value for value in node.inputs if constant_of(value) is not None), None)


def _other(node: "ir.Node", value: "ir.Value") -> "ir.Value | None":
    return next((each for each in node.inputs if each is not value), None)


def _only_reader(value: "ir.Value", kind: str) -> "ir.Node | None":
    """The one node that reads a value, if it is of this kind and no output of the graph is read."""
    readers = [use.node for use in value.uses()]
    return readers[0] if len(readers) == 1 and readers[0].op_type == kind and not value.is_graph_output() else None


def _is_computed(value: "ir.Value") -> bool:
    """Whether a node makes the value: a constant is no scale of an adaptive norm."""
    return value.producer() is not None and constant_of(value) is None
