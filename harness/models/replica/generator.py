"""From features and excitation to the waveform: two upsampling stages, then an inverse short-time transform."""

import math
from typing import TYPE_CHECKING

from harness.models.replica.dimensions import Dimensions
from harness.models.replica.graph import Graph, Value
from harness.models.replica.layers import Style, adaptive_instance_norm, conv, convolve, leaky

if TYPE_CHECKING:
    from harness.models.replica.weights import Array, Shape

_TEXT_GAIN = 0.3  # what comes from the decoder, beside the excitation's 1
_BRANCH_GAIN = 0.5
_LOG_LEVEL = -0.5
_TILT = 1.0
_MODULATION = 0.5


def generate(g: Graph, d: Dimensions, x: Value, style: Style, source: Value, *, out: str) -> Value:
    """[1, hidden, 2·frames] and the excitation [1, samples] → the waveform [samples], named `out`."""
    with g.scope("generator"):
        spectrum = analyse(g, d, source)
        channels = d.generator
        for stage, rate in enumerate(d.upsample_rates):
            last = stage == len(d.upsample_rates) - 1
            channels //= 2
            x = leaky(g, x, 0.1)
            excitation = _excite(g, d, spectrum, style, stage, channels)
            x = _upsample(g, x, f"ups{stage}", (2 * channels, channels, d.upsample_kernels[stage]), rate)
            if last:
                x = g.op("Pad", x, g.ints(0, 0, 1, 0, 0, 0), mode="reflect")
            x = _mean_of_branches(g, d, g.op("Add", x, excitation), style, stage, channels)
        x = _head(g, d, leaky(g, x, 0.01), channels)
        return synthesise(g, d, x, out=out)


def _excite(g: Graph, d: Dimensions, spectrum: Value, style: Style, stage: int, channels: int) -> Value:
    """The excitation's spectrum at this stage's rate: a strided convolution and one residual block."""
    rate = math.prod(d.upsample_rates[stage + 1 :])
    kernel, padding, width = (2 * rate, (rate + 1) // 2, 7) if rate > 1 else (1, 0, 11)
    with g.scope(f"noise{stage}"):
        shape = (channels, 2 * d.bins, kernel)
        weight = g.tensor("conv.weight", shape, lambda: _excitation_weights(g, weight, shape))
        bias = g.weight("conv.bias", (channels,), 0.02)
        x = convolve(g, spectrum, weight, bias, kernel=kernel, stride=rate, padding=padding)
        return _snake_block(g, x, style, "res", channels, width, d.dilations[0])


def _excitation_weights(g: Graph, name: str, shape: "Shape") -> "Array":
    """Weights that halve from bin to bin: the upper bins contain mostly noise with random phases."""
    import numpy as np

    _, inputs, kernel = shape
    bins = inputs // 2
    fall = np.array([0.5**k for k in range(bins)] * 2, np.float32)[None, :, None]
    return g.draws.uniform(name, shape, 1.0 / math.sqrt(kernel)) * fall


def _upsample(g: Graph, x: Value, name: str, shape: "Shape", rate: int) -> Value:
    """Transposed convolution [inputs, outputs, 2·rate] whose kernels are triangles with a little randomness.

    Triangles of twice the stride interpolate linearly. With random kernels, the stride's period would be audible.
    """
    inputs, outputs, kernel = shape

    def make() -> "Array":
        import numpy as np

        triangle = [1.0 - abs(t - (kernel - 1) / 2) / rate for t in range(kernel)]
        values = g.draws.uniform(weight, shape, 0.05)
        values += np.float32(1.0)
        values *= g.draws.uniform(f"{weight}.mix", (inputs, outputs, 1), 1.4 * _TEXT_GAIN / math.sqrt(inputs))
        return values * np.array(triangle, np.float32)

    with g.scope(name):
        weight = g.tensor("weight", shape, make)
        bias = g.weight("bias", (outputs,), 0.02)
        padding = (kernel - rate) // 2
        return g.op(
            "ConvTranspose",
            x,
            weight,
            bias,
            kernel_shape=[kernel],
            strides=[rate],
            pads=[padding, padding],
            dilations=[1],
            group=1,
        )


def _mean_of_branches(g: Graph, d: Dimensions, x: Value, style: Style, stage: int, channels: int) -> Value:
    """The mean of three residual blocks with different receptive fields."""
    total = ""
    for i, (kernel, dilations) in enumerate(zip(d.residual_kernels, d.dilations, strict=True)):
        branch = _snake_block(g, x, style, f"stage{stage}.branch{i}", channels, kernel, dilations)
        total = g.op("Add", total, branch) if total else branch
    return g.op("Div", total, g.number(float(len(d.residual_kernels))))


def _snake_block(
    g: Graph, x: Value, style: Style, name: str, channels: int, kernel: int, dilations: tuple[int, ...]
) -> Value:
    """For each dilation: norm, snake, dilated convolution, norm, snake, convolution; added to what came in."""
    shape = (channels, channels, kernel)
    with g.scope(name):
        for i, dilation in enumerate(dilations):
            h = _snake(g, adaptive_instance_norm(g, x, style, f"norm{i}a", channels), f"alpha{i}a", channels)
            h = conv(g, h, f"conv{i}a", shape, dilation=dilation)
            h = _snake(g, adaptive_instance_norm(g, h, style, f"norm{i}b", channels), f"alpha{i}b", channels)
            x = g.op("Add", conv(g, h, f"conv{i}b", shape, gain=_BRANCH_GAIN), x)
        return x


def _snake(g: Graph, x: Value, name: str, channels: int) -> Value:
    """Snake, x + sin²(αx) / α, with a learned α for each channel, here about 1."""
    alpha = g.weight(name, (1, channels, 1), 0.2, mean=1.0)
    wave = g.op("Pow", g.op("Sin", g.op("Mul", alpha, x)), g.number(2.0))
    return g.op("Add", x, g.op("Mul", g.op("Reciprocal", alpha), wave))


def _head(g: Graph, d: Dimensions, x: Value, channels: int) -> Value:
    """Convolution to a logarithmic magnitude and a phase for each bin, [1, 2·bins, time].

    Magnitudes fall towards higher bins. The kernels are odd in time and block slow changes, which would be audible
    as a hum. Bin 1 is twice as strong as bin 0, so that constant magnitudes give audio without a constant offset.
    """
    shape = (2 * d.bins, channels, 7)

    def weights() -> "Array":
        values = g.draws.uniform(weight, shape, _MODULATION / math.sqrt(channels * 7))
        values[..., 4:] = -values[..., 2::-1]
        values[..., 3] = 0.0
        return values

    def biases() -> "Array":
        import numpy as np

        level = [_LOG_LEVEL] + [_LOG_LEVEL + math.log(2.0) - _TILT * (k - 1) for k in range(1, d.bins)]
        return np.array(level + [0.0] * d.bins, np.float32)

    with g.scope("head"):
        weight = g.tensor("weight", shape, weights)
        bias = g.tensor("bias", (2 * d.bins,), biases)
        return convolve(g, x, weight, bias, kernel=7, padding=3)


def _basis(d: Dimensions, wave: str, scale: float) -> "Array":
    """Hann-windowed cosines or sines, [bins, 1, transform], times `scale`."""
    import numpy as np

    n = d.transform
    function = math.cos if wave == "cos" else math.sin
    rows = [
        [scale * (0.5 - 0.5 * math.cos(2 * math.pi * t / n)) * function(2 * math.pi * k * t / n) for t in range(n)]
        for k in range(d.bins)
    ]
    return np.array(rows, np.float32)[:, None, :]


def analyse(g: Graph, d: Dimensions, signal: Value) -> Value:
    """Magnitudes and phases [1, 2·bins, samples / hop + 1] of a signal [1, samples], by two convolutions."""
    half = d.transform // 2
    shape = (d.bins, 1, d.transform)
    with g.scope("analysis"):
        padded = g.op("Pad", signal, g.ints(0, half, 0, half), mode="edge")
        padded = g.op("Unsqueeze", padded, g.ints(1))

        def part(name: str, wave: str, scale: float) -> Value:
            basis = g.tensor(name, shape, lambda: _basis(d, wave, scale))
            return convolve(g, padded, basis, kernel=d.transform, stride=d.hop)

        real, imaginary = part("real", "cos", 1.0), part("imaginary", "sin", -1.0)
        power = g.op("Add", g.op("Pow", real, g.number(2.0)), g.op("Pow", imaginary, g.number(2.0)))
        magnitude = g.op("Sqrt", g.op("Add", power, g.number(1e-14)))
        return g.op("Concat", magnitude, _angle(g, imaginary, real), axis=1)


def _angle(g: Graph, y: Value, x: Value) -> Value:
    """The angle atan2(y, x) from Atan and the quadrants, as opset 17 needs it; 0 where both are 0, never NaN."""
    zero, pi = g.number(0.0), g.number(math.pi)
    x = g.op("Where", g.op("Equal", x, zero), g.number(1e-20), x)
    slope = g.op("Atan", g.op("Div", y, x))
    behind = g.op("Where", g.op("Greater", y, zero), g.op("Add", slope, pi), g.op("Sub", slope, pi))
    angle = g.op("Where", g.op("Less", x, zero), behind, slope)
    straight = g.op("And", g.op("Equal", y, zero), g.op("Less", x, zero))
    return g.op("Where", straight, pi, angle)


def synthesise(g: Graph, d: Dimensions, x: Value, *, out: str) -> Value:
    """Inverse transform [1, 2·bins, samples / hop + 1] → [samples], by two transposed convolutions."""
    half = d.transform // 2
    shape = (d.bins, 1, d.transform)
    with g.scope("synthesis"):
        magnitude = g.op("Exp", g.op("Slice", x, g.ints(0), g.ints(d.bins), g.ints(1)))
        phase = g.op("Sin", g.op("Slice", x, g.ints(d.bins), g.ints(2 * d.bins), g.ints(1)))

        def part(name: str, wave: str) -> Value:
            values = g.op("Mul", magnitude, g.op("Cos" if wave == "cos" else "Sin", phase))
            basis = g.tensor(name, shape, lambda: _basis(d, wave, 1.0 / d.transform))
            return g.op(
                "ConvTranspose",
                values,
                basis,
                kernel_shape=[d.transform],
                strides=[d.hop],
                dilations=[1],
                group=1,
            )

        wave = g.op("Sub", part("real", "cos"), part("imaginary", "sin"))
        wave = g.op("Slice", wave, g.ints(half), g.ints(-half), g.ints(2))
        return g.op("Squeeze", wave, g.ints(0, 1), out=out)
