"""Joins adaptive instance norms into one operator each.

Kokoro's decoder has some 70 of them: each channel is normalised over time, multiplied by one plus a scale and added to
a shift, both computed from the style. Two forms are known. In the newer export, an InstanceNormalization with
constants is followed by a Mul and an Add. In the older one the norm is written out as well: ReduceMean, Sub, a square,
ReduceMean, Add, Sqrt, Div. InstanceNormalization takes its scale and its shift as inputs, one number for each channel,
so one operator can do all of it, in place of up to seven passes over each activation. The graph has a batch of one, as
Kokoro's inputs have.

Norms in front of the harmonic source stay as they are. They shape the pitch, and the source adds the pitch up to a
phase: a difference in the last bit there shifts the phase of the whole sentence, which moved samples by up to 0.17 of
full scale. Behind it the differences stay below 1e-5.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    import numpy as np
    import onnx_ir as ir
    from numpy.typing import NDArray

AMPLIFIER = "CumSum"
"""The operator that adds the pitch up to a phase."""
TIME = 2
"""The axis over which an instance norm of [batch, channel, time] is taken."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Norm:
    """A norm in the graph: its input, its result, and the constants that it has itself (None: 1 and 0)."""

    x: "ir.Value"
    result: "ir.Value"
    epsilon: float
    name: str
    scale: "ir.Value | None" = None
    shift: "ir.Value | None" = None


def join_norms(model: "ir.Model") -> int:
    """Join all that have a known form, in place. Return how many."""
    from onnx_ir.passes.common import RemoveUnusedNodesPass

    count = 0
    amplified = _before(model.graph, AMPLIFIER)
    for norm in [*_instance_norms(model.graph), *_written_out(model.graph)]:
        product = _only_reader(norm.result, "Mul")
        total = _only_reader(product.outputs[0], "Add") if product is not None else None
        if product is None or total is None or total in amplified:
            continue
        scale, shift = _other(product, norm.result), _other(total, product.outputs[0])
        if scale is not None and shift is not None and _is_computed(scale) and _is_computed(shift):
            _join(model.graph, norm, total, scale=scale, shift=shift)
            count += 1
    RemoveUnusedNodesPass()(model)
    return count


def _before(graph: "ir.Graph", kind: str) -> "set[ir.Node]":
    """The nodes whose values reach a node of this kind."""
    waiting = [node for node in graph if node.op_type == kind]
    seen = set(waiting)
    for node in waiting:  # the list grows during the loop
        for value in node.inputs:
            maker = value.producer() if value is not None else None
            if maker is not None and maker not in seen:
                seen.add(maker)
                waiting.append(maker)
    return seen


def _instance_norms(graph: "ir.Graph") -> "Iterator[_Norm]":
    for node in [each for each in graph if each.op_type == "InstanceNormalization"]:
        x, scale, shift = node.inputs
        if x is not None:
            epsilon = node.attributes.get_float("epsilon", 1e-5)
            name = node.name or str(node.outputs[0].name)
            yield _Norm(x=x, result=node.outputs[0], epsilon=epsilon, name=name, scale=scale, shift=shift)


def _written_out(graph: "ir.Graph") -> "Iterator[_Norm]":
    """(x − mean) ÷ √(mean of the squares + epsilon), over time."""
    for node in [each for each in graph if each.op_type == "Div"]:
        centred, root = node.inputs
        variance = _through(root, "Sqrt", "Add")
        epsilon = _constant(_other_constant(variance)) if variance is not None else None
        if variance is None or epsilon is None or epsilon.size != 1:
            continue
        square = _mean_of(next((value for value in variance.inputs if _constant(value) is None), None))
        subtraction = centred.producer() if centred is not None else None
        if subtraction is None or subtraction.op_type != "Sub" or not _is_square(square, centred):
            continue
        x, mean = subtraction.inputs
        if x is not None and _mean_of(mean) is x:
            name = f"{node.name or node.outputs[0].name}/InstanceNormalization"
            yield _Norm(x=x, result=node.outputs[0], epsilon=float(epsilon.ravel()[0]), name=name)


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
    axes = _constant(node.inputs[1]) if len(node.inputs) > 1 else np.array(node.attributes.get_ints("axes", ()))
    return node.inputs[0] if axes is not None and axes.ravel().tolist() == [TIME] else None


def _is_square(value: "ir.Value | None", of: "ir.Value | None") -> bool:
    node = value.producer() if value is not None else None
    if node is None or of is None:
        return False
    if node.op_type == "Mul":
        return all(each is of for each in node.inputs)
    power = _constant(node.inputs[1]) if node.op_type == "Pow" and node.inputs[0] is of else None
    return power is not None and power.ravel().tolist() == [2]


def _constant(value: "ir.Value | None") -> "NDArray[np.generic] | None":
    """The array of a constant; None for what is computed."""
    tensor = value.const_value if value is not None else None
    return None if tensor is None else tensor.numpy()


def _other_constant(node: "ir.Node") -> "ir.Value | None":
    return next((value for value in node.inputs if _constant(value) is not None), None)


def _other(node: "ir.Node", value: "ir.Value") -> "ir.Value | None":
    return next((each for each in node.inputs if each is not value), None)


def _only_reader(value: "ir.Value", kind: str) -> "ir.Node | None":
    """The one node that reads a value, if it is of this kind and no output of the graph is read."""
    readers = [use.node for use in value.uses()]
    return readers[0] if len(readers) == 1 and readers[0].op_type == kind and not value.is_graph_output() else None


def _is_computed(value: "ir.Value") -> bool:
    """Whether a node makes the value: a constant is no scale of an adaptive norm."""
    return value.producer() is not None and _constant(value) is None


def _join(graph: "ir.Graph", norm: _Norm, total: "ir.Node", *, scale: "ir.Value", shift: "ir.Value") -> None:
    """Replace the norm, the product and the sum `total` by one norm with these inputs.

    (s·n + b)·scale + shift = (s·scale)·n + (b·scale + shift), where s and b are the norm's own constants.
    """
    import numpy as np
    import onnx_ir as ir

    made: list[ir.Node] = []

    def add(kind: str, inputs: "list[ir.Value | None]", **attributes: object) -> "ir.Value":
        node = ir.node(kind, inputs, attributes or None, name=f"{norm.name}/joined-{len(made)}")  # type: ignore[arg-type]
        node.outputs[0].name = f"{node.name}-output"
        made.append(node)
        return node.outputs[0]

    flat = add("Constant", [], value=ir.tensor(np.array([-1], dtype=np.int64)))
    factor, offset = add("Reshape", [scale, flat]), add("Reshape", [shift, flat])
    if norm.shift is not None and not _is_all(norm.shift, 0.0):
        offset = add("Add", [add("Mul", [norm.shift, factor]), offset])
    if norm.scale is not None and not _is_all(norm.scale, 1.0):
        factor = add("Mul", [norm.scale, factor])
    new = add("InstanceNormalization", [norm.x, factor, offset], epsilon=norm.epsilon)
    old = total.outputs[0]
    new.type, new.shape = old.type, old.shape
    new.name, old.name = old.name, f"{old.name}_apart"
    graph.insert_before(total, made)
    old.replace_all_uses_with(new, replace_graph_outputs=True)


def _is_all(value: "ir.Value", number: float) -> bool:
    """Whether a value is a constant that is `number` everywhere."""
    import numpy as np

    array = _constant(value)
    return array is not None and bool(np.all(array == number))
