"""Bidirectional LSTMs, in ONNX's layout: gates input, output, forget, cell; the directions stacked; both biases in one row."""

import math
from typing import TYPE_CHECKING

from harness.models.replica.graph import Graph, Value

if TYPE_CHECKING:
    from harness.models.replica.weights import Array

_INPUT, _OUTPUT, _FORGET, _CELL = range(4)

EDGE_FORGET = 0.15
EDGE_RISE = 0.85
EDGE_LEVEL = math.tanh(EDGE_RISE / (1 - EDGE_FORGET))
"""What an edge unit settles at, away from the edge."""


def lstm(
    g: Graph, x: Value, name: str, inputs: int, outputs: int, *, lengths: Value | None, edges: bool = False
) -> Value:
    """[1, time, inputs] → [1, time, outputs], half of the outputs from each direction.

    With `edges`, the first unit of each direction only counts the steps since its direction began: it is `EDGE_LEVEL` but
    for its first few steps, whatever the input, and so tells a sentence's ends from its middle.
    """
    hidden = outputs // 2
    rows = 4 * hidden

    def forgetting(values: "Array") -> "Array":
        """Without the influence of inputs or of other units on the first unit of each direction."""
        if edges:
            values[:, ::hidden, :] = 0.0
        return values

    def biases() -> "Array":
        values = g.draws.uniform(f"{full}.bias", (2, 2 * rows), 0.05)
        if edges:
            values[:, 0 : 2 * rows : hidden] = 0.0
            values[:, _INPUT * hidden] = values[:, _OUTPUT * hidden] = 20.0
            values[:, _FORGET * hidden] = math.log(EDGE_FORGET / (1 - EDGE_FORGET))
            values[:, _CELL * hidden] = math.atanh(EDGE_RISE)
        return values

    with g.scope(name):
        full = g.tensor("bias", (2, 2 * rows), biases)
        w_shape, r_shape = (2, rows, inputs), (2, rows, hidden)
        w = g.tensor(
            "weight_input", w_shape, lambda: forgetting(g.draws.uniform(f"{full}.w", w_shape, 1 / math.sqrt(inputs)))
        )
        r = g.tensor(
            "weight_hidden", r_shape, lambda: forgetting(g.draws.uniform(f"{full}.r", r_shape, 1 / math.sqrt(hidden)))
        )
        steps = g.op("Transpose", x, perm=[1, 0, 2])
        batch = g.op("Unsqueeze", g.op("Gather", g.op("Shape", steps), g.integer(1), axis=0), g.ints(0))
        state = g.op("ConstantOfShape", g.op("Concat", g.ints(2), batch, g.ints(hidden), axis=0))
        y = g.op("LSTM", steps, w, r, full, lengths or "", state, state, hidden_size=hidden, direction="bidirectional")
        y = g.op("Transpose", y, perm=[0, 2, 1, 3])
        return g.op("Transpose", g.op("Reshape", y, g.ints(0, 0, -1)), perm=[1, 0, 2])
