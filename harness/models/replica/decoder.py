"""The decoder (text, pitch and energy to features, two per frame) and the harmonic source of the pitch."""

import math
from typing import TYPE_CHECKING

from harness.models.replica.dimensions import Dimensions
from harness.models.replica.graph import FLOAT, Graph, Value
from harness.models.replica.layers import Style, adaptive_residual_block, conv, convolve, repeat_nearest, swap
from harness.models.replica.prosody import Curves

if TYPE_CHECKING:
    from harness.models.replica.weights import Array

SAMPLE_RATE = 24_000.0
VOICED_HERTZ = 10.0
SINE_LEVEL = 0.1
NOISE_LEVEL = 0.003
_PITCH_SCALE = 0.005  # hertz to the order of 1


def decode(g: Graph, d: Dimensions, text: Value, style: Style, given: Curves) -> Value:
    """[1, hidden, frames] → [1, hidden, 2·frames]: one residual block, then four that also get the decoder's inputs."""
    with g.scope("decoder"):
        pitch = _halved(g, given.pitch, "pitch", _PITCH_SCALE)
        energy = _halved(g, given.energy, "energy", 1.0)
        x = g.op("Concat", text, pitch, energy, axis=1)
        x = adaptive_residual_block(g, x, style, "encode", d.hidden + 2, d.decoder)
        reminder = conv(g, text, "text_residual", (d.decoder_residual, d.hidden, 1), gain=3.0)
        inputs = d.decoder + d.decoder_residual + 2
        for i in range(4):
            last = i == 3
            x = g.op("Concat", x, reminder, pitch, energy, axis=1)
            x = adaptive_residual_block(
                g, x, style, f"decode{i}", inputs, d.hidden if last else d.decoder, upsample=last
            )
        return x


def _halved(g: Graph, curve: Value, name: str, scale: float) -> Value:
    """[1, 2·frames] → [1, 1, frames] by a convolution of stride 2 that averages, with a tenth of randomness."""
    shape = (1, 1, 3)

    def make() -> "Array":
        import numpy as np

        average = np.array([0.25, 0.5, 0.25], np.float32) + g.draws.uniform(weight, shape, 0.03)
        return average * np.float32(scale)

    with g.scope(f"{name}_conv"):
        weight = g.tensor("weight", shape, make)
        x = g.op("Unsqueeze", curve, g.ints(1))
        bias = g.weight("bias", (1,), 0.02)
        return convolve(g, x, weight, bias, kernel=3, stride=2, padding=1)


def harmonic_source(g: Graph, d: Dimensions, pitch: Value) -> Value:
    """The excitation [1, samples]: merged sines at the pitch and its overtones; noise in unvoiced parts."""
    with g.scope("source"):
        hertz = swap(g, repeat_nearest(g, g.op("Unsqueeze", pitch, g.ints(1)), d.samples_per_curve_point))
        voiced = g.op("Cast", g.op("Greater", hertz, g.number(VOICED_HERTZ)), to=FLOAT)
        sines = g.op("Mul", _sines(g, d, hertz), g.number(SINE_LEVEL))
        unvoiced = g.op("Sub", g.number(1.0), voiced)
        level = g.op("Div", g.op("Mul", unvoiced, g.number(SINE_LEVEL)), g.number(3.0))
        level = g.op("Add", g.op("Mul", voiced, g.number(NOISE_LEVEL)), level)
        noise = g.op("Mul", level, g.op("RandomNormalLike", sines, dtype=FLOAT))
        waves = g.op("Add", g.op("Mul", sines, voiced), noise)
        return g.op("Squeeze", g.op("Tanh", _merged(g, d, waves)), g.ints(2))


def _sines(g: Graph, d: Dimensions, hertz: Value) -> Value:
    """[1, samples, 1] → [1, samples, harmonics]: phases summed at the curve's rate, then interpolated to samples."""
    import numpy as np

    multiples = g.constant(np.arange(1, d.harmonics + 1, dtype=np.float32)[None, None])
    cycles = g.op("Div", g.op("Mul", hertz, multiples), g.number(SAMPLE_RATE))
    whole = g.op("Floor", g.op("Div", cycles, g.number(1.0)))
    cycles = g.op("Sub", cycles, g.op("Mul", whole, g.number(1.0)))
    cycles = _random_start(g, d, cycles)
    factor = d.samples_per_curve_point
    slow = swap(g, _resize(g, swap(g, cycles), 1.0 / factor))
    phase = g.op("Mul", g.op("CumSum", slow, g.integer(1)), g.number(2.0 * math.pi))
    phase = g.op("Mul", swap(g, phase), g.number(float(factor)))
    return g.op("Sin", swap(g, _resize(g, phase, float(factor))))


def _random_start(g: Graph, d: Dimensions, cycles: Value) -> Value:
    """Random start phases of the overtones; the fundamental starts at 0. Two writes into a tensor, as exported."""
    import numpy as np

    row = g.op("RandomUniformLike", g.constant(np.zeros((1, d.harmonics), np.float32)), dtype=FLOAT)
    row = g.op("ScatterND", row, g.int_rows([[0, 0]]), g.constant(np.zeros(1, np.float32)))
    first = g.op("Gather", cycles, g.integer(0), axis=1)
    return g.op("ScatterND", cycles, g.int_rows([[0, 0]]), g.op("Add", first, row))


def _resize(g: Graph, x: Value, factor: float) -> Value:
    """Linear interpolation along the last axis, as PyTorch's without aligned corners."""
    import numpy as np

    scales = g.constant(np.array([1.0, 1.0, factor], np.float32))
    return g.op("Resize", x, "", scales, coordinate_transformation_mode="pytorch_half_pixel", mode="linear")


def _merged(g: Graph, d: Dimensions, waves: Value) -> Value:
    """[1, samples, harmonics] → [1, samples, 1]: overtones fall off by 1/n, so that the fundamental dominates."""

    def make() -> "Array":
        import numpy as np

        fall = np.array([[4.0 / n] for n in range(1, d.harmonics + 1)], np.float32)
        return fall + g.draws.uniform(weight, (d.harmonics, 1), 0.1)

    weight = g.tensor("merge.weight", (d.harmonics, 1), make)
    return g.op("Add", g.op("MatMul", waves, weight), g.weight("merge.bias", (1,), 0.01))
