"""Length regulation: from one column per token to one column per frame. Each token's column repeats by its duration.

Both implementations give the same values. `loop` is that of the export: a Loop collects the repeated token numbers in a
sequence, and a product with the one-hot matrix [tokens, frames] repeats the columns. `plain` is for providers that do
not support sequences: a frame's token is the number of tokens that have ended before it, and a Gather repeats.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING, TypeAlias

from harness.models.replica.graph import INT64, Graph, Value, int64_fill
from harness.models.replica.layers import size

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

Regulator: TypeAlias = Callable[[Value], Value]
"""[1, channels, tokens] → [1, channels, frames]."""

_SLOTS = 24  # executable nodes that either way takes up, see `_fill`


def loop_regulator(g: Graph, durations: Value) -> Regulator:
    """The export's way; `durations` is int64 [tokens]."""
    with g.scope("regulation"):
        begun = g.executable_nodes
        index = _repeated_indices(g, durations)
        frames = g.op("Shape", index)
        tokens = g.op("Shape", durations)
        zeros = g.op("ConstantOfShape", g.op("Concat", tokens, frames, axis=0))
        moments = g.op("Range", g.integer(0), g.op("Squeeze", frames, g.ints(0)), g.integer(1))
        cells = g.op("Concat", g.op("Unsqueeze", index, g.ints(1)), g.op("Unsqueeze", moments, g.ints(1)), axis=1)
        ones = g.op("Expand", g.number(1.0), frames)
        alignment = g.op("Unsqueeze", g.op("ScatterND", zeros, cells, ones), g.ints(0))
        _fill(g, durations, begun)

    return lambda values: g.op("MatMul", values, alignment)


def plain_regulator(g: Graph, durations: Value) -> Regulator:
    """By cumulative sum, comparison and gathering."""
    with g.scope("regulation"):
        begun = g.executable_nodes
        ends = g.op("CumSum", durations, g.integer(0))
        total = g.op("ReduceSum", durations, g.ints(0), keepdims=0)
        moments = g.op("Unsqueeze", g.op("Range", g.integer(0), total, g.integer(1)), g.ints(1))
        over = g.op("Cast", g.op("LessOrEqual", g.op("Unsqueeze", ends, g.ints(0)), moments), to=INT64)
        index = g.op("ReduceSum", over, g.ints(1), keepdims=0)
        _fill(g, durations, begun)

    def regulate(values: Value) -> Value:
        return g.op("Gather", values, index, axis=2)

    return regulate


def _fill(g: Graph, value: Value, begun: int) -> None:
    """Add unused Identity nodes until there are `_SLOTS` nodes since `begun`.

    ONNX Runtime seeds each random node with the session's seed plus the node's number in the file. Both regulations
    give the same noise only if the numbers are equal. The runtime removes the unused nodes when it loads the file.
    """
    missing = _SLOTS - (g.executable_nodes - begun)
    if missing < 0:
        raise ValueError(f"the regulation has {-missing} nodes more than its slots")
    for _ in range(missing):
        g.op("Identity", value)


def _repeated_indices(g: Graph, durations: Value) -> Value:
    """Each token's number as often as its duration says: int64 [frames], from a Loop over sequences."""
    count = size(g, durations, 0)
    numbers = g.op("Range", g.integer(0), count, g.integer(1))
    repeats = g.op("SplitToSequence", durations, g.integer(1), axis=0, keepdims=1)
    starts = g.op("SplitToSequence", numbers, g.integer(1), axis=0, keepdims=1)
    empty = g.op("SequenceEmpty", dtype=INT64)
    pieces = g.op("Loop", count, g.constant(_true()), empty, body=_loop_body(g, repeats, starts))
    return g.op("ConcatFromSequence", pieces, axis=0)


def _true() -> "NDArray[np.bool_]":
    import numpy as np

    return np.array(True)


def _loop_body(g: Graph, repeats: Value, starts: Value) -> object:
    """One token: its number, expanded to its duration by the nodes an exporter writes for it, joins the sequence."""
    from onnx import TensorProto, helper

    body = g.subgraph("Loop")
    one = body.ints(1)
    repeat = body.op("SequenceAt", repeats, "step")
    start = body.op("SequenceAt", starts, "step")
    start = body.op("Unsqueeze", start, one)
    shape = body.op("Concat", one, repeat, axis=0)
    ones = body.op("ConstantOfShape", body.op("Shape", shape), value=int64_fill(1))
    given = body.op("Equal", shape, body.op("Mul", ones, body.ints(-1)))
    piece = body.op("Expand", start, body.op("Where", given, ones, shape))
    piece = body.op("Reshape", piece, body.ints(-1))
    body.op("SequenceInsert", "so_far", piece, out="longer")
    body.op("Identity", "go_on", out="go_on_again")
    sequence = helper.make_tensor_sequence_value_info
    scalar = helper.make_tensor_value_info
    return helper.make_graph(
        body.nodes,
        "repeat_interleave",
        [scalar("step", INT64, []), scalar("go_on", TensorProto.BOOL, []), sequence("so_far", INT64, ["frames"])],
        [scalar("go_on_again", TensorProto.BOOL, []), sequence("longer", INT64, ["frames"])],
    )
