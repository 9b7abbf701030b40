"""Prosody: the duration of each token, then pitch and energy of each moment."""

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from harness.models.replica.dimensions import Dimensions
from harness.models.replica.graph import INT64, Graph, Value
from harness.models.replica.layers import Style, adaptive_layer_norm, adaptive_residual_block, conv, masked, swap
from harness.models.replica.recurrent import EDGE_FIRST, EDGE_LEVEL, lstm
from harness.models.replica.regulation import Regulator

if TYPE_CHECKING:
    from harness.models.replica.weights import Array

FRAMES_PER_TOKEN = 2.9  # the median; the mean is a little more
_SPREAD = 0.35  # deviation of the logarithm of the durations, by token and context
_EDGE = 2.1  # added to the logits of the first and last token, which represent silence
PITCH_HERTZ = 150.0
_PITCH_SPREAD = 18.0
ENERGY_SPREAD = 1.0


def duration_encoder(g: Graph, d: Dimensions, x: Value, style: Style, mask: Value, lengths: Value) -> Value:
    """[1, hidden, time] → [1, time, hidden + style]: three times an LSTM and a norm, each with the style appended."""
    import numpy as np

    with g.scope("duration_encoder"):
        beyond = g.op("Unsqueeze", mask, g.ints(1))
        length = g.op("Slice", g.op("Shape", x), g.ints(2), g.ints(3))
        column = g.op("Unsqueeze", style.value, g.ints(2))
        spread = g.op("Expand", column, g.op("Concat", g.constant(np.array([1, style.width])), length, axis=0))
        x = masked(g, g.op("Concat", x, spread, axis=1), beyond)
        for i in range(d.depth):
            steps = swap(g, x)
            x = swap(g, lstm(g, steps, f"lstm{i}", text=d.hidden, style=d.style, outputs=d.hidden, lengths=lengths))
            x = adaptive_layer_norm(g, x, style, f"norm{i}", d.hidden)
            x = masked(g, g.op("Concat", x, spread, axis=1), beyond)
        return swap(g, x)


def durations(g: Graph, d: Dimensions, x: Value, speed: Value, lengths: Value, *, out: str | None) -> Value:
    """Frames of each token, int64 [time], at least 1: the sum of 50 sigmoids over the speed, rounded. Named `out`."""
    with g.scope("duration"):
        h = lstm(g, x, "lstm", text=d.hidden, style=d.style, outputs=d.hidden, lengths=lengths, edges=True)
        logits = _duration_logits(g, d, h)
        frames = g.op("ReduceSum", g.op("Sigmoid", logits), g.ints(-1), keepdims=0)
        frames = g.op("Clip", g.op("Round", g.op("Div", frames, speed)), g.number(1.0))
        return g.op("Squeeze", g.op("Cast", frames, to=INT64), g.ints(0), out=out)


def _duration_logits(g: Graph, d: Dimensions, h: Value) -> Value:
    """One random direction of the LSTM's state determines all 50 outputs, with small differences between them.

    The edge units (first of each direction) are `EDGE_LEVEL` in the middle, where their part and the bias's cancel.
    """
    half = d.hidden // 2
    spread = (
        _SPREAD * min(1.0, d.hidden / 512) ** 0.125
    )  # few units: their means do not cancel, and shift all durations
    slope = spread / (0.17 * math.sqrt(d.hidden))  # the LSTM's outputs deviate by about 0.17
    edge = _EDGE / (EDGE_LEVEL - EDGE_FIRST)
    level = math.log(FRAMES_PER_TOKEN / (d.max_duration - FRAMES_PER_TOKEN))

    def weights() -> "Array":
        values = g.draws.uniform(weight, (d.hidden, d.max_duration), 0.2 * slope)
        values += g.draws.uniform(f"{weight}.direction", (d.hidden, 1), slope)
        values[::half] = -edge
        return values

    def biases() -> "Array":
        import numpy as np

        return np.full(d.max_duration, level + 2 * edge * EDGE_LEVEL, np.float32)

    weight = g.tensor("proj.weight", (d.hidden, d.max_duration), weights)
    bias = g.tensor("proj.bias", (d.max_duration,), biases)
    return g.op("Add", bias, g.op("MatMul", h, weight))


@dataclass(frozen=True, slots=True, kw_only=True)
class Curves:
    """Pitch in hertz and energy, [1, 2·frames] each: two points per frame."""

    pitch: Value
    energy: Value


def curves(g: Graph, d: Dimensions, x: Value, style: Style, regulate: Regulator) -> Curves:
    """Pitch and energy from the duration encoder's [1, time, hidden + style]."""
    with g.scope("prosody"):
        frames = regulate(swap(g, x))
        shared = swap(g, lstm(g, swap(g, frames), "lstm", text=d.hidden, style=d.style, outputs=d.hidden))
        return Curves(
            pitch=_curve(g, d, shared, style, "pitch", mean=PITCH_HERTZ, spread=_PITCH_SPREAD),
            energy=_curve(g, d, shared, style, "energy", mean=0.0, spread=ENERGY_SPREAD),
        )


def _curve(g: Graph, d: Dimensions, x: Value, style: Style, name: str, *, mean: float, spread: float) -> Value:
    narrow = d.hidden // 2
    with g.scope(name):
        x = adaptive_residual_block(g, x, style, "block0", d.hidden, d.hidden)
        x = adaptive_residual_block(g, x, style, "block1", d.hidden, narrow, upsample=True)
        x = adaptive_residual_block(g, x, style, "block2", narrow, narrow)
        x = conv(g, x, "proj", (1, narrow, 1), gain=spread, bias=mean)
        return g.op("Squeeze", x, g.ints(1))
