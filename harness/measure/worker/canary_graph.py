"""The canary's ONNX graph as bytes, written without the package onnx, whose import takes longer than ten readings.

The field numbers are those of onnx.proto; fields stand in the order of their numbers, as protobuf writes them.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

_FLOAT, _INTS = 1, 7
"""`TensorProto.FLOAT`, `AttributeProto.INTS`."""
_IR_VERSION, _OPSET = 8, 17


def canary_model(shape: Sequence[int], weights: Sequence["NDArray[np.float32]"]) -> bytes:
    """The model that maps `x` to `y`, both of `shape`: a convolution by each of the two `weights`, a sine between."""
    graph = b"".join(
        (
            *(_field(1, node) for node in _nodes()),
            _field(2, b"canary"),
            *(_field(5, _tensor(f"w{number}", each)) for number, each in enumerate(weights)),
            _field(11, _value("x", shape)),
            _field(12, _value("y", shape)),
        )
    )
    return _number(1, _IR_VERSION) + _field(7, graph) + _field(8, _field(1, b"") + _number(2, _OPSET))


def _nodes() -> list[bytes]:
    return [
        _node("Conv", ["x", "w0"], "a", [_ints("dilations", [1]), _ints("pads", [3, 3])]),
        _node("Sin", ["a"], "b", []),
        _node("Conv", ["b", "w1"], "y", [_ints("dilations", [3]), _ints("pads", [9, 9])]),
    ]


def _node(operator: str, inputs: Sequence[str], output: str, attributes: Sequence[bytes]) -> bytes:
    read = b"".join(_field(1, each.encode()) for each in inputs)
    return read + _field(2, output.encode()) + _field(4, operator.encode()) + b"".join(_field(5, a) for a in attributes)


def _ints(name: str, values: Sequence[int]) -> bytes:
    return _field(1, name.encode()) + b"".join(_number(8, each) for each in values) + _number(20, _INTS)


def _tensor(name: str, values: "NDArray[np.float32]") -> bytes:
    dimensions = b"".join(_number(1, each) for each in values.shape)
    data = values.astype("<f4", copy=False).tobytes()
    return dimensions + _number(2, _FLOAT) + _field(8, name.encode()) + _field(9, data)


def _value(name: str, shape: Sequence[int]) -> bytes:
    dimensions = b"".join(_field(1, _number(1, each)) for each in shape)
    tensor = _number(1, _FLOAT) + _field(2, dimensions)
    return _field(1, name.encode()) + _field(2, _field(1, tensor))


def _field(number: int, content: bytes) -> bytes:
    """A field of bytes, text or another message."""
    return _varint(number << 3 | 2) + _varint(len(content)) + content


def _number(number: int, value: int) -> bytes:
    return _varint(number << 3) + _varint(value)


def _varint(value: int) -> bytes:
    """A natural number in groups of seven bits, the lowest first; the highest bit says that more follow."""
    found = bytearray()
    while value > 0x7F:
        found.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*found, value])
