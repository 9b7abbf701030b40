"""Whether the weights of a model are those of its original, but for rounding. Runs in a child process.

The recipes keep the names of weights, so a weight of the model and its original's are matched by name, with the
suffixes of quantisation left out, and compared as floats. Per channel, packed and transposed weights are understood. A
weight without a partner is only looked at for values that no recipe writes.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import permutations
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from harness.models.inspect import initialisers, nodes_of
from harness.models.jobs import CompareWeights
from harness.models.ort_format import is_ort_format

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[Any]

SMALLEST = 64
"""The fewest values of a weight that is compared. In smaller ones, rounding can be as large as the values."""
FARTHEST = 0.5
"""The largest distance from the original's weight, as a ratio of its length, that rounding is taken for."""
FORMAT = 1
"""Version of the findings. 1: the first."""
QUANTISED, PACKED, EQUALISED = "_quantized", "_Q4", "/weights"
_MULTIPLIES = ("Conv", "MatMul", "Gemm", "LSTM")


@dataclass(frozen=True, slots=True, kw_only=True)
class WeightFindings:
    """What a comparison of weights found: `lost` and `changed` are the sentences about tensors, "" for none.

    A tensor is lost if it holds a single value or no number where the original's does not. `compared` is the number of
    tensors that were held against one of the original.
    """

    compared: int
    lost: str = ""
    changed: str = ""
    format: int = FORMAT

    @property
    def text(self) -> str:
        """All that was found, "" for nothing."""
        return "; ".join(filter(None, (self.lost, self.changed)))


def compare_weights_file(job: CompareWeights) -> None:
    """Write the `WeightFindings` of `job.model` and `job.original` to `job.found`, as JSON. Errors of onnx pass."""
    Path(job.found).write_bytes(msgspec.json.encode(compare_weights(Path(job.model), Path(job.original))))


def compare_weights(model: Path, original: Path) -> WeightFindings:
    """Compare each weight of a model with its original's. Errors of onnx pass."""
    if is_ort_format(model) or is_ort_format(original):
        return WeightFindings(compared=0)
    ours, theirs = _Weights(model), _Weights(original)
    lost: list[str] = []
    changed: list[str] = []
    compared = 0
    for name in ours.names():
        values = ours.values(name)
        if not _is_finite(values):
            lost.append(f"{name} holds values that are no numbers")
            continue
        partner = theirs.partner(name)
        if partner is None:
            if _is_constant(values) and ours.multiplies(name) and values[0].size not in theirs.constant_sizes:
                lost.append(f"{name} holds one value throughout")
            continue
        compared += 1
        if ours.raw(name) == theirs.raw(partner):
            continue
        wanted = theirs.values(partner)
        if not _is_finite(wanted) or not wanted[0].any():
            continue
        if _is_constant(values) and not _is_constant(wanted):
            lost.append(f"{name} holds one value throughout, and the original's does not")
        elif (distance := _distance(values, wanted, fit=not (ours.scaled(name) and theirs.scaled(partner)))) > FARTHEST:
            changed.append(f"{name} lies {distance:.0%} of its length from the original's")
    return WeightFindings(compared=compared, lost=_listed(lost), changed=_listed(changed))


class _Weights:
    """The initialisers of a model file, as floats on demand."""

    def __init__(self, path: Path) -> None:
        import onnx

        graph = onnx.load(path).graph
        self._tensors = {each.name: each for each in initialisers(graph)}
        self._makers: dict[str, Any] = {}
        self._factors: dict[str, Any] = {}
        for node in nodes_of(graph):
            self._makers |= dict.fromkeys(node.output, node)
            if any(kind in node.op_type for kind in _MULTIPLIES):
                self._factors |= dict.fromkeys(node.input[1:3], node)
        self._constant_sizes: set[int] | None = None

    def names(self) -> Iterator[str]:
        """The tensors that may be weights."""
        import onnx

        kinds = onnx.TensorProto
        numbers = (kinds.FLOAT, kinds.FLOAT16, kinds.BFLOAT16, kinds.DOUBLE, kinds.INT8, kinds.UINT8)
        for name, tensor in self._tensors.items():
            if math.prod(tensor.dims) >= SMALLEST and tensor.data_type in numbers:
                yield name

    def partner(self, name: str) -> str | None:
        """The tensor here that one called `name` in a variant comes from; None if it is not known."""
        if name.endswith(EQUALISED):
            node = self._makers.get(name.removesuffix(EQUALISED))
            return node.input[1] if node is not None and node.input[1] in self._tensors else None
        base = name.removesuffix(QUANTISED).removesuffix(PACKED)
        before = base.removesuffix("_float")  # what dequantising adds to a name that is taken
        names = (name, base, f"{base}{QUANTISED}", before, f"{before}{QUANTISED}")
        return next((each for each in names if each in self._tensors), None)

    def scaled(self, name: str) -> bool:
        """Whether the scale and the zero point of a weight are known, or it has none. Tools join equal constants."""
        return not name.endswith(QUANTISED) or self._scales(name) is not None

    def multiplies(self, name: str) -> bool:
        """Whether a convolution, a product of matrices or an LSTM takes the tensor as its weights."""
        return name in self._factors

    def raw(self, name: str) -> tuple[Any, ...]:
        """What is equal for equal tensors in the same form."""
        tensor = self._tensors[name]
        scale = self._tensors.get(f"{name.removesuffix(QUANTISED)}_scale") if name.endswith(QUANTISED) else None
        return tuple(tensor.dims), tensor.data_type, _bytes(tensor), scale and _bytes(scale)

    @property
    def constant_sizes(self) -> set[int]:
        """The numbers of values of the tensors that hold a single value."""
        if self._constant_sizes is None:
            found = (self._array(name) for name in self.names())
            self._constant_sizes = {each.size for each in found if _is_constant([each])}
        return self._constant_sizes

    def values(self, name: str) -> "list[Floats]":
        """The weight in floats, in every way in which it can be read: its scales may belong to several axes."""
        import numpy as np

        raw = self._array(name)
        if name.endswith(PACKED):
            scales = self._tensors.get(f"{name.removesuffix(PACKED)}_scales")
            return [raw.astype(np.float32)] if scales is None else [self._unpacked(name)]
        if name.endswith(EQUALISED) and f"{name}-steps" in self._tensors:
            steps = self._array(f"{name}-steps") * self._array(f"{name.removesuffix(EQUALISED)}/steps")
            return [raw.astype(np.float32) * steps.reshape(-1, *[1] * (raw.ndim - 1))]
        found = self._scales(name) if name.endswith(QUANTISED) else None
        if found is None:
            return [raw.astype(np.float32, copy=False)]
        scale, zero, shapes = found
        return [
            (raw.astype(np.float32) - (zero.reshape(shape) if zero.size > 1 else zero.ravel())) * scale.reshape(shape)
            for shape in shapes
        ]

    def _scales(self, name: str) -> "tuple[Floats, Floats, list[tuple[int, ...]]] | None":
        """Scale, zero point, and the shapes in which they go with a quantised weight; None if one is not known.

        The node that takes the weight tells its zero point, or else the name does.
        """
        import numpy as np

        base, node = name.removesuffix(QUANTISED), self._factors.get(name)
        taken = node.input[3] if node is not None and node.op_type.endswith("Integer") and len(node.input) > 3 else ""
        zeros = next((each for each in (taken, f"{base}_zero_point") if each in self._tensors), "")
        if not zeros or f"{base}_scale" not in self._tensors:
            return None
        scale, zero = (self._array(each).astype(np.float32) for each in (f"{base}_scale", zeros))
        shapes = _shapes(scale, tuple(self._tensors[name].dims))
        return (scale, zero, shapes) if shapes and zero.size in (1, scale.size) else None

    def _array(self, name: str) -> "Floats":
        from onnx import numpy_helper

        found: Floats = numpy_helper.to_array(self._tensors[name])
        return found

    def _unpacked(self, name: str) -> "Floats":
        """Blocks of 4 bits [rows, blocks, bytes], with 8 as their zero, and a scale for each block."""
        import numpy as np

        packed = self._array(name)
        numbers = np.stack([packed & 0x0F, packed >> 4], axis=-1).astype(np.float32) - 8
        scales = self._array(f"{name.removesuffix(PACKED)}_scales").astype(np.float32)
        flat = numbers.reshape(packed.shape[0], packed.shape[1], -1) * scales.reshape(*packed.shape[:2], 1)
        return np.ascontiguousarray(flat.reshape(packed.shape[0], -1).T)


def _bytes(tensor: Any) -> bytes:  # noqa: ANN401 - onnx ships no types
    raw: bytes = tensor.raw_data or tensor.SerializeToString()
    return raw


def _shapes(scale: "Floats", weight: tuple[int, ...]) -> list[tuple[int, ...]]:
    """The shapes in which scales can go with a weight: one for all, for an axis, or for each direction of an LSTM."""
    if scale.size == 1:
        return [(1,) * len(weight)]
    if scale.ndim == 2 and len(weight) == 3:
        return [(scale.shape[0], 1, scale.shape[1])] if scale.shape == (weight[0], weight[2]) else []
    axes = [axis for axis, length in enumerate(weight) if length == scale.size]
    return [tuple(scale.size if axis == each else 1 for axis in range(len(weight))) for each in axes]


def _distance(ours: "list[Floats]", theirs: "list[Floats]", *, fit: bool) -> float:
    """The least ‖ours − theirs‖ ÷ ‖theirs‖ over all ways to read both; 0 if their sizes do not match.

    With `fit`, the scales and zero points of ours are those that fit best, along any axis.
    """
    import numpy as np

    least = math.inf
    for mine in ours:
        for other in theirs:
            for axes in permutations(range(mine.ndim)):
                turned = mine.transpose(axes)
                if turned.shape == other.shape and least > FARTHEST:
                    error = _misfit(turned, other) if fit else float(np.linalg.norm(turned - other))
                    least = min(least, error / float(np.linalg.norm(other)))
    return 0.0 if math.isinf(least) else least


def _misfit(ours: "Floats", theirs: "Floats") -> float:
    """The length of what is left of theirs after a line was fitted to ours for each index of the best axis."""
    import numpy as np

    least = math.inf
    for axis in range(ours.ndim):
        x, y = (np.moveaxis(each, axis, 0).reshape(each.shape[axis], -1).astype(np.float64) for each in (ours, theirs))
        x, y = (each - each.mean(axis=1, keepdims=True) for each in (x, y))
        slope = (x * y).sum(axis=1, keepdims=True) / np.maximum((x * x).sum(axis=1, keepdims=True), 1e-30)
        least = min(least, float(np.linalg.norm(y - slope * x)))
    return least


def _is_finite(values: "list[Floats]") -> bool:
    import numpy as np

    return all(bool(np.isfinite(each).all()) for each in values)


def _is_constant(values: "list[Floats]") -> bool:
    return all(bool((each == each.flat[0]).all()) for each in values)


def _listed(found: "list[str]") -> str:
    """The first of them, and how many more there are."""
    more = f", and {len(found) - 1} more" if len(found) > 1 else ""
    return f"{found[0]}{more}" if found else ""
