"""The layers of the model's parts. Each adds its nodes to the graph and returns the name of its result.

Sequences are [1, channels, time] unless stated otherwise.

Scales. A weight's standard deviation is gain / √(number of summed values), so a layer with inputs of variance 1 has
outputs of variance gain². The gains keep every activation near 1 at any width: nothing saturates, and nothing becomes
denormal. Denormal arithmetic is slow and would distort the timings.
"""

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from harness.models.replica.graph import Graph, Value

if TYPE_CHECKING:
    from collections.abc import Callable

    from harness.models.replica.weights import Array, Shape

BIAS = 0.02
STYLE_GAIN = 0.5  # of a style's effect on scale and shift, for a style of deviation 0.3
LEAK = 0.2


def filled(shape: "Shape", value: float) -> "Callable[[], Array]":
    """Makes a constant tensor."""

    def make() -> "Array":
        import numpy as np

        return np.full(shape, value, np.float32)

    return make


def linear(g: Graph, x: Value, name: str, inputs: int, outputs: int, *, gain: float = 1.0) -> Value:
    """[…, inputs] → […, outputs] by MatMul and Add."""
    with g.scope(name):
        product = g.op("MatMul", x, g.weight("weight", (inputs, outputs), gain / math.sqrt(inputs)))
        return g.op("Add", g.weight("bias", (outputs,), BIAS), product)


def convolve(
    g: Graph, x: Value, *weights: Value, kernel: int, stride: int = 1, dilation: int = 1, padding: int = 0
) -> Value:
    """Convolution with given weights [outputs, inputs, kernel] and, if there are two, biases [outputs]."""
    return g.op(
        "Conv",
        x,
        *weights,
        kernel_shape=[kernel],
        dilations=[dilation],
        strides=[stride],
        pads=[padding, padding],
        group=1,
    )


def conv(
    g: Graph,
    x: Value,
    name: str,
    shape: "Shape",
    *,
    gain: float = 1.0,
    dilation: int = 1,
    bias: float | None = 0.0,
) -> Value:
    """Convolution with random weights [outputs, inputs, kernel] that keeps the length, the biases about `bias`."""
    outputs, inputs, kernel = shape
    with g.scope(name):
        operands = [g.weight("weight", shape, gain / math.sqrt(inputs * kernel))]
        if bias is not None:
            operands.append(g.weight("bias", (outputs,), BIAS, mean=bias))
        return convolve(g, x, *operands, kernel=kernel, dilation=dilation, padding=dilation * (kernel - 1) // 2)


def size(g: Graph, x: Value, axis: int) -> Value:
    """The length of one axis, as an int64 scalar."""
    return g.op("Gather", g.op("Shape", x), g.integer(axis), axis=0)


def swap(g: Graph, x: Value) -> Value:
    """[1, a, b] → [1, b, a]."""
    return g.op("Transpose", x, perm=[0, 2, 1])


def leaky(g: Graph, x: Value, slope: float = LEAK) -> Value:
    """Negative values times `slope`."""
    return g.op("LeakyRelu", x, alpha=slope)


def masked(g: Graph, x: Value, mask: Value) -> Value:
    """Zero where the mask is true (beyond a sentence's end; at batch size 1 nowhere, but it is computed)."""
    return g.op("Where", mask, g.number(0.0), x)


def layer_norm(g: Graph, x: Value, name: str, channels: int) -> Value:
    """Normalise the last axis, with learned scale 1 and shift 0."""
    with g.scope(name):
        scale = g.tensor("weight", (channels,), filled((channels,), 1.0))
        shift = g.tensor("bias", (channels,), filled((channels,), 0.0))
        return g.op("LayerNormalization", x, scale, shift, axis=-1, epsilon=1e-12)


@dataclass(frozen=True, slots=True, kw_only=True)
class Style:
    """One half of the voice's vector, [1, width]."""

    value: Value
    width: int


def style_affine(g: Graph, style: Style, channels: int) -> tuple[Value, Value]:
    """Scale and shift [1, channels, 1] from the style: one Gemm to 2·channels, split into halves.

    The graph computes the sizes of the halves, as in the export. The runtime folds them when it loads the file.
    """
    weight = g.weight("fc.weight", (2 * channels, style.width), STYLE_GAIN / math.sqrt(style.width))
    both = g.op("Gemm", style.value, weight, g.weight("fc.bias", (2 * channels,), BIAS), transB=1)
    rows, columns = (g.op("Unsqueeze", size(g, both, axis), g.ints(0)) for axis in (0, 1))
    both = g.op("Reshape", both, g.op("Concat", rows, columns, g.ints(1), axis=0))
    half = g.op("Div", g.op("Add", size(g, both, 1), g.integer(1)), g.integer(2))
    middle = g.op("Mul", half, g.ints(1))
    end = g.op("Mul", half, g.ints(2))
    scale = g.op("Slice", both, g.ints(0), middle, g.ints(1))
    shift = g.op("Slice", both, middle, end, g.ints(1))
    return scale, shift


def adaptive_instance_norm(g: Graph, x: Value, style: Style, name: str, channels: int) -> Value:
    """Normalise each channel over time, then (1 + scale) · x + shift by the style."""
    with g.scope(name):
        scale, shift = style_affine(g, style, channels)
        ones = g.shared(f"instance_norm.{channels}.weight", (channels,), filled((channels,), 1.0))
        zeros = g.shared(f"instance_norm.{channels}.bias", (channels,), filled((channels,), 0.0))
        normal = g.op("InstanceNormalization", x, ones, zeros, epsilon=1e-5)
        return g.op("Add", g.op("Mul", g.op("Add", scale, g.number(1.0)), normal), shift)


def adaptive_layer_norm(g: Graph, x: Value, style: Style, name: str, channels: int) -> Value:
    """Normalise all channels at each moment, then (1 + scale) · x + shift by the style. [1, channels, time]."""
    import numpy as np

    with g.scope(name):
        scale, shift = (swap(g, half) for half in style_affine(g, style, channels))
        ones = g.constant(np.ones(channels, np.float32))
        zeros = g.constant(np.zeros(channels, np.float32))
        normal = g.op("LayerNormalization", swap(g, x), ones, zeros, axis=-1, epsilon=1e-5)
        return swap(g, g.op("Add", g.op("Mul", g.op("Add", scale, g.number(1.0)), normal), shift))


def upsample_depthwise(g: Graph, x: Value, name: str, channels: int) -> Value:
    """Upsample each channel by 2 with the kernel [½, 1, ½] (linear interpolation) plus a tenth of randomness."""
    shape = (channels, 1, 3)
    with g.scope(name):

        def make() -> "Array":
            import numpy as np

            return np.array([0.5, 1.0, 0.5], np.float32) + g.draws.uniform(kernel, shape, 0.05)

        kernel = g.tensor("weight", shape, make)
        return g.op(
            "ConvTranspose",
            x,
            kernel,
            g.weight("bias", (channels,), BIAS),
            kernel_shape=[3],
            strides=[2],
            pads=[1, 1],
            output_padding=[1],
            dilations=[1],
            group=channels,
        )


def repeat_nearest(g: Graph, x: Value, factor: int) -> Value:
    """Each value `factor` times in a row."""
    import numpy as np

    scales = g.constant(np.array([1.0, 1.0, factor], np.float32))
    return g.op(
        "Resize", x, "", scales, coordinate_transformation_mode="asymmetric", mode="nearest", nearest_mode="floor"
    )


def adaptive_residual_block(
    g: Graph, x: Value, style: Style, name: str, inputs: int, outputs: int, *, upsample: bool = False
) -> Value:
    """Two convolutions of width 3, each after a norm that the style adapts, beside a shortcut; the sum over √2."""
    with g.scope(name):
        h = leaky(g, adaptive_instance_norm(g, x, style, "norm1", inputs))
        if upsample:
            h = upsample_depthwise(g, h, "pool", inputs)
            x = repeat_nearest(g, x, 2)
        h = conv(g, h, "conv1", (outputs, inputs, 3), gain=1.4)
        h = leaky(g, adaptive_instance_norm(g, h, style, "norm2", outputs))
        h = conv(g, h, "conv2", (outputs, outputs, 3), gain=1.4)
        if inputs != outputs:
            x = conv(g, x, "conv1x1", (outputs, inputs, 1), bias=None)
        return g.op("Mul", g.op("Add", h, x), g.number(math.sqrt(0.5)))
