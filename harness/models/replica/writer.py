"""Writes a model file weight by weight, so that a model of 325 MB needs only the memory of its largest tensor.

An .onnx file is one protobuf message. `onnx` makes the message without its weights. The writer appends each weight to
the graph as a `TensorProto` with `raw_data`, in protobuf's wire format, which allows entries of a repeated field to be
apart.
"""

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness.core.files import replacing
from harness.models.replica.weights import Weight

if TYPE_CHECKING:
    from onnx import ModelProto

_LENGTH_DELIMITED = 2
_MODEL_GRAPH = 7  # field numbers of onnx.proto
_GRAPH_INITIALIZER = 5
_TENSOR_RAW_DATA = 9


def _varint(value: int) -> bytes:
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def _opening(field: int, length: int) -> bytes:
    return _varint(field << 3 | _LENGTH_DELIMITED) + _varint(length)


def _tensor_opening(weight: Weight) -> bytes:
    """The bytes before the raw values of a weight in the graph's message."""
    from onnx import TensorProto

    size = 4 * weight.elements
    head: bytes = TensorProto(name=weight.name, dims=weight.shape, data_type=TensorProto.FLOAT).SerializeToString()
    head += _opening(_TENSOR_RAW_DATA, size)
    return _opening(_GRAPH_INITIALIZER, len(head) + size) + head


def _pieces(model: "ModelProto", weights: Iterable[Weight]) -> Iterator[Any]:
    """The file's bytes in order. `model` contains no weights."""
    shell = type(model)()
    shell.CopyFrom(model)
    shell.ClearField("graph")
    graph = model.graph.SerializeToString()
    openings = [(weight, _tensor_opening(weight)) for weight in weights]
    yield shell.SerializeToString()
    yield _opening(_MODEL_GRAPH, len(graph) + sum(len(head) + 4 * weight.elements for weight, head in openings))
    yield graph
    for weight, head in openings:
        yield head
        values = weight.make()
        if values.shape != weight.shape:
            raise ValueError(f"{weight.name}: made {values.shape}, declared {weight.shape}")
        yield values.astype("<f4", order="C", copy=False).data.cast("B")


def write_model(model: "ModelProto", weights: Iterable[Weight], path: Path) -> None:
    """Write the whole model to `path`. If this fails, there is no file."""
    with replacing(path, durable=False) as file:
        for piece in _pieces(model, weights):
            file.write(piece)
