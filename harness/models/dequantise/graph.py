"""A graph of 32-bit floats from one that was quantised to 8 bits dynamically. Runs in a child process.

Each integer operator becomes the float operator that it was made from: ConvInteger a Conv, MatMulInteger a MatMul,
DynamicQuantizeLSTM an LSTM, and a Gather of 8-bit rows a Gather of floats. A weight becomes (w − zero point) × scale,
which is exact but for the rounding of one product: the result has the quantised weights' values in float. The float
bias that the file still holds takes the place of its quantised copy. What nothing reads afterwards is dropped: the
DynamicQuantizeLinear nodes, and the arithmetic on their scales.
"""

import time
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness.core.errors import ModelError
from harness.models.jobs import Dequantise
from harness.models.replica.weights import Weight

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    import onnx_ir as ir
    from numpy.typing import NDArray


ORIGIN_KEY = "kokoro_bench_origin"
"""The key of the file's metadata that says what the file was made from."""
_INTEGER_WORDS = ("Integer", "Quantize", "QLinear", "NBits")
"""An operator type with one of these in its name computes with integers for floats."""


def dequantise_file(job: Dequantise) -> dict[str, float | str]:
    """Make `job.target`. The facts: seconds, and the replaced operators with their counts.

    Raises ModelError, which names the node and the reason, where an integer operator cannot be replaced.
    """
    import onnx
    import onnx_ir as ir

    from harness.models.replica.writer import write_model
    from harness.models.standard_operators import write_out

    started = time.monotonic()
    model = ir.serde.deserialize_model(onnx.load(job.source))
    floats = FloatGraph(model)
    floats.convert()
    write_out(model)
    model.producer_name, model.producer_version = "kokoro-bench", ""
    model.metadata_props[ORIGIN_KEY] = job.origin
    weights = floats.take_weights()
    write_model(ir.serde.serialize_model(model), weights, Path(job.target))
    replaced = ", ".join(f"{count} {kind}" for kind, count in sorted(floats.counts.items()))
    return {"replaced": replaced, "took_s": time.monotonic() - started}


class FloatGraph:
    """A model whose integer operators are being replaced. `counts` holds how many of each type were."""

    def __init__(self, model: "ir.Model") -> None:
        self._model = model
        self._graph = model.graph
        self._weights: dict[tuple[str, ...], ir.Value] = {}
        self._made: dict[str, Weight] = {}
        self.counts: Counter[str] = Counter()

    def convert(self) -> None:
        """Replace every integer operator and drop what nothing reads. Raises ModelError for one that is left."""
        from onnx_ir.passes.common import RemoveUnusedNodesPass, RemoveUnusedOpsetsPass

        replace = {
            "ConvInteger": self._conv,
            "MatMulInteger": self._matmul,
            "DynamicQuantizeLSTM": self._lstm,
            "DequantizeLinear": self._rows,
        }
        left: dict[str, str] = {}
        for node in list(self._graph):
            if node.op_type in replace:
                try:
                    replace[node.op_type](node)
                except NotUnderstood as error:
                    left[described(node)] = str(error)
                else:
                    self.counts[node.op_type] += 1
        RemoveUnusedNodesPass()(self._model)
        RemoveUnusedOpsetsPass()(self._model)
        # A quantiser is left because its reader is: the reader is the one to name.
        for node in sorted(self._integer_nodes(), key=lambda each: each.op_type == "DynamicQuantizeLinear"):
            left.setdefault(described(node), "no float operator is known for it here")
        if left:
            (name, reason), others = next(iter(left.items())), len(left) - 1
            more = f"; {others} more {'nodes are' if others > 1 else 'node is'} left" if others else ""
            raise ModelError(f"{name} cannot be dequantised: {reason}{more}", remedy="take the published fp32 file")
        if not self.counts:
            raise ModelError("no node of it is quantised dynamically to 8 bits", remedy="it needs no dequantising")

    def take_weights(self) -> tuple[Weight, ...]:
        """The dequantised weights, which leave the graph: the writer appends them one by one."""
        for name in self._made:
            self._graph.initializers.pop(name)
        return tuple(self._made.values())

    def _conv(self, node: "ir.Node") -> None:
        output, added, scale = scaled_output(node)
        weight = self._weight(node.inputs[1], scale, node.inputs[3] if len(node.inputs) > 3 else None, axis=0)
        inputs = [_activation(node), weight, *([float_bias(added)] if added is not None else [])]
        self._put("Conv", inputs, node, [output], list(node.attributes.values()))

    def _matmul(self, node: "ir.Node") -> None:
        output, added, scale = scaled_output(node)
        if added is not None:
            raise NotUnderstood("a bias is added to its integers")
        weight = self._weight(node.inputs[1], scale, node.inputs[3] if len(node.inputs) > 3 else None, axis=-1)
        self._put("MatMul", [_activation(node), weight], node, [output], [])

    def _lstm(self, node: "ir.Node") -> None:
        x, w, r, *rest, w_scale, w_zero, r_scale, r_zero = node.inputs
        while rest and rest[-1] is None:
            rest.pop()
        weights = [
            self._weight(weight, scale, zero, axis=0, transpose=(0, 2, 1))
            for weight, scale, zero in ((w, w_scale, w_zero), (r, r_scale, r_zero))
        ]
        self._put("LSTM", [x, *weights, *rest], node, list(node.outputs), list(node.attributes.values()))

    def _rows(self, node: "ir.Node") -> None:
        """A DequantizeLinear behind a Gather of 8-bit rows."""
        gather = node.inputs[0].producer() if node.inputs[0] is not None else None
        if gather is None or gather.op_type != "Gather":
            raise NotUnderstood("it does not follow a Gather of 8-bit weights")
        table = self._weight(gather.inputs[0], node.inputs[1], node.inputs[2] if len(node.inputs) > 2 else None)
        self._put("Gather", [table, gather.inputs[1]], node, [node.outputs[0]], list(gather.attributes.values()))

    def _put(
        self,
        kind: str,
        inputs: "Sequence[ir.Value | None]",
        old: "ir.Node",
        outputs: "list[ir.Value]",
        attributes: "list[ir.Attr]",
    ) -> None:
        """A node in the place of the one that makes `outputs`, with values of the same names."""
        import onnx_ir as ir

        place = outputs[0].producer()
        assert place is not None  # noqa: S101 - for the type checker: a node's output
        made = []
        for output in outputs:
            name, output.name = output.name, f"{output.name}_integer"
            made.append(ir.Value(name=name, type=output.type, shape=output.shape))
        name = (old.name or "").removesuffix("_quant")
        fresh = ir.Node("", kind, inputs, attributes, outputs=made, name=name)
        # All inputs are made before the node whose outputs are replaced.
        self._graph.insert_before(place, fresh)
        for output, value in zip(outputs, made, strict=True):
            value.type = value.type or ir.TensorType(ir.DataType.FLOAT)
            output.replace_all_uses_with(value, replace_graph_outputs=True)

    def _weight(
        self,
        weight: "ir.Value | None",
        scale: "ir.Value | None",
        zero: "ir.Value | None",
        *,
        axis: int = 0,
        transpose: tuple[int, ...] = (),
    ) -> "ir.Value":
        """The initialiser (w − zero point) × scale. A scale of several values belongs to the channels of `axis`."""
        import onnx_ir as ir

        key = tuple("" if value is None else str(value.name) for value in (weight, scale, zero))
        if key in self._weights:
            return self._weights[key]
        parts = [_constant(value) for value in (weight, scale)]
        parts.append(_constant(zero) if zero is not None else parts[0].dtype.type(0).reshape(()))
        values, scales, zeros = parts[0], *(_along(part, parts[0], axis) for part in parts[1:])

        def make() -> "NDArray[Any]":
            import numpy as np

            product: NDArray[Any] = (values.astype(np.float32) - zeros.astype(np.float32)) * scales.astype(np.float32)
            return np.ascontiguousarray(product.transpose(transpose) if transpose else product)

        name = self._free_name(key[0].removesuffix("_quantized"))
        shape = tuple(values.shape[index] for index in transpose) if transpose else values.shape
        tensor = ir.LazyTensor(lambda: ir.tensor(make()), dtype=ir.DataType.FLOAT, shape=ir.Shape(shape), name=name)
        value = ir.Value(name=name, type=ir.TensorType(ir.DataType.FLOAT), shape=ir.Shape(shape), const_value=tensor)
        self._graph.register_initializer(value)
        self._weights[key] = value
        self._made[name] = Weight(name=name, shape=shape, make=make)
        return value

    def _free_name(self, name: str) -> str:
        while name in self._graph.initializers:
            name += "_float"
        return name

    def _integer_nodes(self) -> "Iterator[ir.Node]":
        import onnx_ir as ir

        narrow = (ir.DataType.INT8, ir.DataType.UINT8, ir.DataType.INT4, ir.DataType.UINT4)
        for node in ir.traversal.RecursiveGraphIterator(self._graph):
            values = (*node.inputs, *node.outputs)
            if any(word in node.op_type for word in _INTEGER_WORDS) or any(
                value is not None and value.dtype in narrow for value in values
            ):
                yield node


def _activation(node: "ir.Node") -> "ir.Value":
    """The float that a node's first input was quantised from."""
    quantiser = node.inputs[0].producer() if node.inputs[0] is not None else None
    if quantiser is None or quantiser.op_type != "DynamicQuantizeLinear" or quantiser.inputs[0] is None:
        raise NotUnderstood("its input does not come from a DynamicQuantizeLinear")
    return quantiser.inputs[0]


def _constant(value: "ir.Value | None") -> "NDArray[Any]":
    if value is None or value.const_value is None:
        raise NotUnderstood(f"{value.name if value is not None else 'an input'} is not a constant of the file")
    return value.const_value.numpy()


def _along(part: "NDArray[Any]", weight: "NDArray[Any]", axis: int) -> "NDArray[Any]":
    """A scale or zero point in a shape that goes with the weight's.

    One value for all; one for each index of `axis`; or one row for each index of the first axis, of values for the
    last: an LSTM's channels in each direction.
    """
    if part.size == 1:
        return part.reshape(())
    if part.size == weight.shape[axis] and part.squeeze().ndim == 1:
        shape = [1] * weight.ndim
        shape[axis] = -1
        return part.reshape(shape)
    if part.ndim == 2 and weight.ndim == 3 and part.shape == (weight.shape[0], weight.shape[2]):
        return part[:, None, :]
    raise NotUnderstood(f"scales of shape {list(part.shape)} do not fit weights of {list(weight.shape)}")


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
