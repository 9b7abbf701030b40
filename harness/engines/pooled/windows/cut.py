"""Cuts Kokoro's graph in two: from tokens to features of the speech, and from features to sound.

The first half ends where the decoder begins. It computes durations, pitch and energy, and the spectrum of the harmonic
source, whose phase is a sum over the whole speech: a tenth of the work. The second half is local in time but for its
instance norms, which take the mean and the variance of each channel over all of it. Here each norm combines those of
its window with those of the speech before it: `share` is the weight of the earlier ones, which come in by the inputs
`mean N` and `variance N`, and the combined ones go out. With the statistics of the whole speech and a context of 0.2 s
a window's samples are the whole's (27 dB and more below them is the difference); with share 0 and the whole speech as
the window, the second half computes what the model computes.
"""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness.core.graph_nodes import ancestors
from harness.core.instance_norms import TIME, Norm, find_adaptive, find_norms

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import onnx_ir as ir

TEXT, PITCH, ENERGY, SPECTRUM = "text", "pitch", "energy", "spectrum"
FEATURES = (TEXT, PITCH, ENERGY, SPECTRUM)
"""What passes from half to half, float32, time last: the encoded text, the two curves and the source's spectrum."""
SHARE = "share"
"""The input of the second half with the weight of the earlier statistics, float32 [1]."""
VERSION = 3
"""Increase it when the halves of a graph change."""


class NotCut(Exception):  # noqa: N818 - an expected outcome
    """The graph has no place of a known form to cut it."""


def mean_input(number: int) -> str:
    """The name of the input with the earlier mean of a norm, float32 [1, channels, 1]."""
    return f"mean {number}"


def variance_input(number: int) -> str:
    """The name of the input with the earlier variance of a norm, float32 [1, channels, 1]."""
    return f"variance {number}"


def cut(source: Path, features: Path, sound: Path) -> None:
    """Write the two halves of the model `source`. NotCut; OSError."""
    import onnx_ir as ir

    model = ir.load(source)
    if any(each.dtype == ir.DataType.FLOAT16 for each in model.graph.initializers.values()):
        raise NotCut("it computes in 16-bit floats, and the statistics of its norms are passed on in 32 bits")
    model.graph.sort()  # tools leave nodes in orders that ONNX Runtime accepts and an extraction does not
    places = _places(model.graph)
    audio = model.graph.outputs[0]
    for name, value in zip(FEATURES, places, strict=True):
        value.name = name
        value.type = value.type or ir.TensorType(ir.DataType.FLOAT)
    first = ir.convenience.extract(model.graph, list(model.graph.inputs), list(places))
    second = ir.convenience.extract(model.graph, [*places, *model.graph.inputs], [audio])
    for value in [each for each in second.inputs if not each.uses()]:
        second.inputs.remove(value)
    _remember(second)
    for half, path in ((first, features), (second, sound)):
        # The metadata has the stamp of a graph that may not run everywhere, and the vocabulary of newer exports.
        ir.save(ir.Model(half, ir_version=model.ir_version, metadata_props=dict(model.metadata_props)), path)


def _places(graph: "ir.Graph") -> "tuple[ir.Value, ...]":
    """The values where the graph is cut, as in `FEATURES`."""
    angle = next((node for node in graph if node.op_type == "Atan"), None)
    spectrum = _concat_after(angle) if angle is not None else None
    if spectrum is None:
        raise NotCut("it has no harmonic source of a known form")
    before = frozenset(ancestors([spectrum]))
    shared = [
        node
        for node in graph
        if node in before and node.op_type != "Constant" and _read_outside(node, before, spectrum)
    ]
    if not shared:
        raise NotCut("nothing but its harmonic source reads its pitch")
    pitch = shared[-1].outputs[0]
    joined = _concat_after(shared[-1], but=before)
    inputs = joined.inputs if joined is not None else ()
    energy = _unsqueezed(inputs[2]) if len(inputs) == 3 else None
    if energy is None or inputs[0] is None:
        raise NotCut("its decoder does not begin with text, pitch and energy")
    return inputs[0], pitch, energy, spectrum.outputs[0]


def _concat_after(node: "ir.Node", *, but: "frozenset[ir.Node]" = frozenset()) -> "ir.Node | None":
    """The first Concat that reads what `node` makes, over any number of steps, outside `but`."""
    waiting = [node]
    seen = {node}
    for each in waiting:  # the list grows during the loop
        for reader in each.successors():
            if reader in seen or reader in but:
                continue
            if reader.op_type == "Concat":
                return reader
            seen.add(reader)
            waiting.append(reader)
    return None


def _read_outside(node: "ir.Node", before: "frozenset[ir.Node]", last: "ir.Node") -> bool:
    return node is not last and any(use.node not in before for value in node.outputs for use in value.uses())


def _unsqueezed(value: "ir.Value | None") -> "ir.Value | None":
    """What the Unsqueeze makes from which `value` is computed by first inputs alone."""
    while value is not None and (maker := value.producer()) is not None:
        if maker.op_type == "Unsqueeze":
            return value
        value = maker.inputs[0] if maker.inputs else None
    return None


def _remember(graph: "ir.Graph") -> None:
    """Let each norm combine its statistics with earlier ones, which become inputs and outputs."""
    import numpy as np
    import onnx_ir as ir
    from onnx_ir.passes.common import RemoveUnusedNodesPass

    norms = find_norms(graph)
    if not norms:
        raise NotCut("it has no instance norm of a known form")
    share = _input(graph, SHARE, [1])
    one = ir.node("Constant", [], {"value": ir.tensor(np.ones(1, dtype=np.float32))}, name="one")
    rest = ir.node("Sub", [one.outputs[0], share], name="rest")
    for node in (one, rest):
        node.outputs[0].name = f"{node.name} output"
    graph.insert_before(next(iter(graph)), (one, rest))
    for number, norm in enumerate(norms):
        earlier = tuple(
            _input(graph, name(number), [1, f"channels of norm {number}", 1]) for name in (mean_input, variance_input)
        )
        combined = _combine(graph, norm, share=share, rest=rest.outputs[0], earlier=earlier)
        graph.outputs.extend(combined)
    RemoveUnusedNodesPass()(ir.Model(graph, ir_version=10))


class _Maker:
    """Makes the nodes of one norm, in order."""

    def __init__(self, name: str) -> None:
        self.made: list[ir.Node] = []
        self._name = name

    def add(self, kind: str, *inputs: "ir.Value", **attributes: object) -> "ir.Value":
        """The result of a new node."""
        return self._add(kind, inputs, attributes)[0]

    def _add(
        self, kind: str, inputs: "Sequence[ir.Value]", attributes: "Mapping[str, Any]", outputs: int = 1
    ) -> "Sequence[ir.Value]":
        import onnx_ir as ir

        name = f"{self._name}/windowed-{len(self.made)}"
        node = ir.node(kind, inputs, attributes or None, num_outputs=outputs, name=name)
        for number, output in enumerate(node.outputs):
            output.name = f"{name}-output-{number}"
        self.made.append(node)
        return node.outputs

    def constant(self, value: float | list[int]) -> "ir.Value":
        """A float32 number, or an int64 vector."""
        import numpy as np
        import onnx_ir as ir

        array = np.array(value, dtype=np.float32 if isinstance(value, float) else np.int64)
        return self.add("Constant", value=ir.tensor(array))

    def normalised(self, x: "ir.Value", epsilon: float) -> "tuple[ir.Value, ir.Value, ir.Value]":
        """[1, channels, time] normalised over time, and the mean and the deviation √(variance + epsilon) of that.

        One kernel of ONNX Runtime, which knows this operator in graphs of older opsets too; the norm written out is
        four passes over the sound, a few hundredths of all the work.
        """
        import numpy as np
        import onnx_ir as ir

        points = self.add("Gather", self.add("Shape", x), self.constant([TIME]))
        ones = self.add("ConstantOfShape", points, value=ir.tensor(np.ones(1, dtype=np.float32)))
        normal, mean, reciprocal = self._add("LayerNormalization", (x, ones), {"axis": TIME, "epsilon": epsilon}, 3)
        return normal, mean, self.add("Reciprocal", reciprocal)

    def column(self, value: "ir.Value") -> "ir.Value":
        """As [1, channels, 1]."""
        return self.add("Reshape", value, self.constant([1, -1, 1]))


def _combine(
    graph: "ir.Graph",
    norm: Norm,
    *,
    share: "ir.Value",
    rest: "ir.Value",
    earlier: "tuple[ir.Value, ...]",
) -> "tuple[ir.Value, ir.Value]":
    """Replace a norm by one over its window and what came before; return the combined mean and variance.

    Of two parts with the weights s and 1 − s, means m and M and variances v and V: the mean is µ = s·m + (1 − s)·M,
    the variance s·(v + (m − µ)²) + (1 − s)·(V + (M − µ)²).
    """
    import onnx_ir as ir

    make = _Maker(norm.name)
    add = make.add

    def about(mean: "ir.Value", variance: "ir.Value", weight: "ir.Value") -> "ir.Value":
        off = add("Sub", mean, middle)
        return add("Mul", weight, add("Add", variance, add("Mul", off, off)))

    before_mean, before_variance = earlier
    epsilon = make.constant(norm.epsilon)
    normal, window_mean, deviation = make.normalised(norm.x, norm.epsilon)
    window_variance = add("Sub", add("Mul", deviation, deviation), epsilon)
    middle = add("Add", add("Mul", share, before_mean), add("Mul", rest, window_mean))
    variance = add("Add", about(window_mean, window_variance, rest), about(before_mean, before_variance, share))
    factor = add("Reciprocal", add("Sqrt", add("Add", variance, epsilon)))
    scale, shift, old = _adapted(make, norm)
    factor = factor if scale is None else add("Mul", factor, scale)
    offset = add("Mul", add("Sub", window_mean, middle), factor)
    offset = offset if shift is None else add("Add", offset, shift)
    new = add("Add", add("Mul", normal, add("Mul", deviation, factor)), offset)
    graph.insert_before(old.producer(), make.made)  # type: ignore[arg-type]
    old.replace_all_uses_with(new)
    for value in (middle, variance):
        value.type = ir.TensorType(ir.DataType.FLOAT)
    return middle, variance


def _adapted(make: _Maker, norm: Norm) -> "tuple[ir.Value | None, ir.Value | None, ir.Value]":
    """By what the norm is multiplied and shifted, its adaptive scale and shift included, and where its result is."""
    scale = None if norm.scale is None else make.column(norm.scale)
    shift = None if norm.shift is None else make.column(norm.shift)
    adaptive = find_adaptive(norm)
    if adaptive is None:
        return scale, shift, norm.result
    by, to = make.column(adaptive.scale), make.column(adaptive.shift)
    scale = by if scale is None else make.add("Mul", scale, by)
    shift = to if shift is None else make.add("Add", make.add("Mul", shift, by), to)
    return scale, shift, adaptive.total.outputs[0]


def _input(graph: "ir.Graph", name: str, shape: "list[int | str]") -> "ir.Value":
    import onnx_ir as ir

    value = ir.Value(name=name, type=ir.TensorType(ir.DataType.FLOAT), shape=ir.Shape(shape))
    graph.inputs.append(value)
    return value
