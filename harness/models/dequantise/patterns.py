"""What ONNX Runtime's dynamic quantiser writes around an integer operator, read back.

    x → DynamicQuantizeLinear → integer operator → [Add of the quantised bias] → Cast → Mul by scale(x) · scale(w)

The quantised bias, which earlier versions of the tool wrote, is Reshape(Cast(Floor(bias / scale))).
"""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import onnx_ir as ir

_BIAS_STEPS = ("Reshape", "Cast", "Floor", "Round", "Unsqueeze", "Div")


class NotUnderstood(Exception):  # noqa: N818 - it is the node that is not understood
    """A node is used in a way that is not known; the message is the reason."""


def described(node: "ir.Node") -> str:
    """What a node is called in an error: its type, and its name or that of its first output."""
    return f"{node.op_type} {node.name or node.outputs[0].name}"


def scaled_output(node: "ir.Node") -> "tuple[ir.Value, ir.Value | None, ir.Value]":
    """The float result of an integer operator, the value added to its integers (or None), and its weights' scale."""
    value, added = node.outputs[0], None
    reader = only_reader(value)
    if reader.op_type == "Add":
        added = _other(reader, value)
        value, reader = reader.outputs[0], only_reader(reader.outputs[0])
    if reader.op_type != "Cast":
        raise NotUnderstood(f"its integers go to {described(reader)}, not to a Cast")
    value = reader.outputs[0]
    reader = only_reader(value)
    if reader.op_type != "Mul":
        raise NotUnderstood(f"its integers are not scaled by a Mul: {described(reader)}")
    product = _other(reader, value)
    maker = product.producer() if product is not None else None
    quantiser = node.inputs[0].producer() if node.inputs[0] is not None else None
    if maker is None or maker.op_type != "Mul" or quantiser is None or len(quantiser.outputs) < 2:
        raise NotUnderstood("the scale of its result is not a product of two scales")
    if quantiser.outputs[1] not in maker.inputs:
        raise NotUnderstood("the scale of its result is not made from that of its input")
    scale = _other(maker, quantiser.outputs[1])
    if scale is None:
        raise NotUnderstood("the scale of its weights is missing")
    return reader.outputs[0], added, scale


def float_bias(added: "ir.Value") -> "ir.Value":
    """The float bias that a quantised one was computed from."""
    value: ir.Value | None = added
    while value is not None and value.const_value is None:
        maker = value.producer()
        if maker is None or maker.op_type not in _BIAS_STEPS:
            break
        value = maker.inputs[0]
    if value is None or value.const_value is None or value.const_value.dtype.name != "FLOAT":
        raise NotUnderstood("its bias is not in the file as floats")
    return value


def only_reader(value: "ir.Value") -> "ir.Node":
    """The one node that reads a value."""
    readers = [use.node for use in value.uses()]
    if len(readers) != 1 or value.is_graph_output():
        raise NotUnderstood(f"{value.name} is read by {len(readers)} nodes, where one was expected")
    return readers[0]


def _other(node: "ir.Node", known: "ir.Value") -> "ir.Value | None":
    """The other input of a node with two."""
    return next((value for value in node.inputs if value is not known), None)
