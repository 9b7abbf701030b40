"""Bidirectional LSTMs, in ONNX's layout: gates input, output, forget, cell; directions stacked; biases in one row."""

import math
from typing import TYPE_CHECKING

from harness.models.replica.graph import Graph, Value

if TYPE_CHECKING:
    from harness.models.replica.weights import Array, Shape

_INPUT, _OUTPUT, _FORGET, _CELL = range(4)

_FORGETTING = -2.0  # bias of the forget gates: a token's own part in the state outweighs that of its neighbours
_RECURRENT_GAIN = 0.5
_STYLE_DEVIATION = 0.04  # of the style's weights: at any width the style counts a fiftieth of the text

EDGE_FORGET = 0.15
EDGE_RISE = 0.85
EDGE_FIRST = math.tanh(EDGE_RISE)
EDGE_LEVEL = math.tanh(EDGE_RISE / (1 - EDGE_FORGET))
"""The output of an edge unit at its first step, and its limit."""


def lstm(
    g: Graph,
    x: Value,
    name: str,
    *,
    text: int,
    outputs: int,
    style: int = 0,
    lengths: Value | None = None,
    edges: bool = False,
) -> Value:
    """[1, time, text + style] → [1, time, outputs], half of the outputs from each direction.

    With `edges`, the first unit of each direction ignores the input and only counts the steps since its direction
    began. After a few steps its output is `EDGE_LEVEL`, so it distinguishes a sentence's ends from its middle.
    """
    hidden = outputs // 2
    with g.scope(name):
        inward = _weights(g, "weight_input", (2, 4 * hidden, text + style), text=text, gain=1.0, edges=edges)
        around = _weights(g, "weight_hidden", (2, 4 * hidden, hidden), text=hidden, gain=_RECURRENT_GAIN, edges=edges)
        bias = _biases(g, hidden, edges=edges)
        steps = g.op("Transpose", x, perm=[1, 0, 2])
        batch = g.op("Unsqueeze", g.op("Gather", g.op("Shape", steps), g.integer(1), axis=0), g.ints(0))
        state = g.op("ConstantOfShape", g.op("Concat", g.ints(2), batch, g.ints(hidden), axis=0))
        operands = (steps, inward, around, bias, lengths or "", state, state)
        y = g.op("LSTM", *operands, hidden_size=hidden, direction="bidirectional")
        y = g.op("Transpose", y, perm=[0, 2, 1, 3])
        return g.op("Transpose", g.op("Reshape", y, g.ints(0, 0, -1)), perm=[1, 0, 2])


def _weights(g: Graph, name: str, shape: "Shape", *, text: int, gain: float, edges: bool) -> Value:
    """Random [directions, gates · units, inputs]. Inputs after the first `text` are weak; edge units get no input."""
    _, rows, inputs = shape

    def make() -> "Array":
        import numpy as np

        values = g.draws.uniform(full, shape, gain / math.sqrt(text))
        if inputs > text:
            values[..., text:] *= np.float32(_STYLE_DEVIATION * math.sqrt(text) / gain)
        if edges:
            values[:, :: rows // 4] = 0.0
        return values

    full = g.tensor(name, shape, make)
    return full


def _biases(g: Graph, hidden: int, *, edges: bool) -> Value:
    """[directions, 8 · units]: the inputs' biases, then the recurrence's."""
    shape = (2, 8 * hidden)

    def make() -> "Array":
        import numpy as np

        values = g.draws.uniform(full, shape, 0.05)
        values[:, _FORGET * hidden : (_FORGET + 1) * hidden] += np.float32(_FORGETTING)
        if edges:
            values[:, ::hidden] = 0.0
            values[:, _INPUT * hidden] = values[:, _OUTPUT * hidden] = 20.0  # open
            values[:, _FORGET * hidden] = math.log(EDGE_FORGET / (1 - EDGE_FORGET))
            values[:, _CELL * hidden] = math.atanh(EDGE_RISE)
        return values

    full = g.tensor("bias", shape, make)
    return full
