"""The two text encoders: ALBERT, whose layers share one set of weights, and the convolutional encoder."""

import math
from typing import TYPE_CHECKING

from harness.models.replica.dimensions import Dimensions
from harness.models.replica.graph import Graph, Value, int64_fill
from harness.models.replica.layers import BIAS, conv, layer_norm, leaky, linear, masked, size, swap
from harness.models.replica.recurrent import lstm

if TYPE_CHECKING:
    from harness.models.replica.weights import Array, Shape

_ATTENTION_GAIN = 0.2  # small, so that after twelve layers a token still differs from its neighbours
_FEED_FORWARD_GAIN = 0.5


def albert(g: Graph, d: Dimensions, tokens: Value, mask: Value) -> Value:
    """Contextual embeddings [1, time, hidden] of the tokens [1, time]; `mask` [1, time] is true beyond the end."""
    with g.scope("bert"):
        x = _embeddings(g, d, tokens)
        x = linear(g, x, "mapping", d.bert_embedding, d.bert_hidden)
        blocked = _attention_mask(g, mask)
        for layer in range(d.bert_layers):
            with g.scope(f"layer{layer}"):
                x = _layer(g, d, x, blocked)
        return x


def _embeddings(g: Graph, d: Dimensions, tokens: Value) -> Value:
    import numpy as np

    width = d.bert_embedding
    length = g.op("Unsqueeze", size(g, tokens, 1), g.ints(0))
    places = g.constant(np.arange(d.positions, dtype=np.int64)[None])
    places = g.op("Slice", places, g.ints(0), length, g.ints(1))
    kinds = g.op("ConstantOfShape", g.op("Shape", tokens), value=int64_fill(0))
    x = g.op("Gather", g.weight("word_embeddings", (d.tokens, width), 1.0), tokens, axis=0)
    x = g.op("Add", x, g.op("Gather", g.weight("type_embeddings", (2, width), 0.1), kinds, axis=0))
    x = g.op("Add", x, g.op("Gather", g.weight("position_embeddings", (d.positions, width), 0.1), places, axis=0))
    return layer_norm(g, x, "norm", width)


def _attention_mask(g: Graph, mask: Value) -> Value:
    """The mask to add to the scores: 0, or −10⁴ beyond the end; [1, 1, time, time]."""
    import numpy as np

    row = g.op("Unsqueeze", mask, g.ints(1, 2))
    length = g.op("Unsqueeze", size(g, mask, 1), g.ints(0))
    square = g.op("Expand", row, g.op("Concat", g.ints(1, 1), length, length, axis=0))
    return g.op("Where", square, g.constant(np.array(-1e4, np.float32)), g.number(0.0))


def _layer(g: Graph, d: Dimensions, x: Value, blocked: Value) -> Value:
    """Self-attention and feed-forward, each added to its input and normalised."""
    width = d.bert_hidden
    context = _shared_linear(g, _attention(g, d, x, blocked), "dense", (width, width), gain=_ATTENTION_GAIN)
    x = _shared_norm(g, g.op("Add", x, context), "attention_norm", width)
    h = _shared_linear(g, x, "feed_forward", (width, d.bert_inner))
    h = _shared_linear(g, _gelu(g, h), "feed_forward_output", (d.bert_inner, width), gain=_FEED_FORWARD_GAIN, odd=True)
    return _shared_norm(g, g.op("Add", h, x), "output_norm", width)


def _attention(g: Graph, d: Dimensions, x: Value, blocked: Value) -> Value:
    """Scaled dot products with √√ of the scale on either side, as PyTorch decomposes them for export."""
    width = d.bert_hidden
    each = width // d.bert_heads

    def heads(name: str, perm: list[int]) -> Value:
        y = _shared_linear(g, x, name, (width, width))
        return g.op("Transpose", g.op("Reshape", y, g.ints(0, -1, d.bert_heads, each)), perm=perm)

    scale = g.number(each**-0.25)
    query = g.op("Mul", heads("query", [0, 2, 1, 3]), scale)
    key = g.op("Mul", heads("key", [0, 2, 3, 1]), scale)
    value = heads("value", [0, 2, 1, 3])
    scores = g.op("Softmax", g.op("Add", g.op("MatMul", query, key), blocked), axis=-1)
    context = g.op("Transpose", g.op("MatMul", scores, value), perm=[0, 2, 1, 3])
    return g.op("Reshape", context, g.ints(0, -1, width))


def _gelu(g: Graph, x: Value) -> Value:
    """GELU by its tanh form: ½x · (1 + tanh(√(2/π) · (x + 0.044715x³)))."""
    cube = g.op("Mul", g.op("Pow", x, g.number(3.0)), g.number(0.044715))
    inner = g.op("Mul", g.op("Add", x, cube), g.number(math.sqrt(2.0 / math.pi)))
    gate = g.op("Add", g.op("Tanh", inner), g.number(1.0))
    return g.op("Mul", g.op("Mul", x, g.number(0.5)), gate)


def _shared_linear(g: Graph, x: Value, name: str, shape: "Shape", *, gain: float = 1.0, odd: bool = False) -> Value:
    """A linear layer whose weights all twelve layers use.

    `odd` negates the weights of the second half of the inputs. The common part of all inputs (GELU's positive mean)
    then cancels, so that it does not mask the differences between tokens.
    """
    inputs, outputs = shape
    full = f"bert.layer.{name}"

    def make() -> "Array":
        values = g.draws.uniform(full, shape, gain / math.sqrt(inputs))
        if odd:
            values[inputs // 2 :] = -values[: inputs // 2]
        return values

    product = g.op("MatMul", x, g.shared(f"{full}.weight", shape, make))
    return g.op("Add", _common(g, f"{full}.bias", outputs, BIAS), product)


def _shared_norm(g: Graph, x: Value, name: str, width: int) -> Value:
    scale = _common(g, f"bert.layer.{name}.weight", width, 0.0, mean=1.0)
    shift = _common(g, f"bert.layer.{name}.bias", width, 0.0)
    return g.op("LayerNormalization", x, scale, shift, axis=-1, epsilon=1e-12)


def _common(g: Graph, full: str, width: int, deviation: float, *, mean: float = 0.0) -> Value:
    """A vector that all twelve layers use directly. The export has no Identity nodes for these."""
    return g.common(full, (width,), lambda: g.draws.uniform(full, (width,), deviation, mean=mean))


def text_encoder(g: Graph, d: Dimensions, tokens: Value, mask: Value, lengths: Value) -> Value:
    """The text, [1, hidden, time]: three convolutions and an LSTM over the token embeddings."""
    with g.scope("text_encoder"):
        beyond = g.op("Unsqueeze", mask, g.ints(1))
        x = swap(g, g.op("Gather", g.weight("embedding", (d.tokens, d.hidden), 1.0), tokens, axis=0))
        x = masked(g, x, beyond)
        for i in range(d.depth):
            x = conv(g, x, f"cnn{i}", (d.hidden, d.hidden, d.text_kernel), gain=1.4 if i else 1.0)
            x = swap(g, layer_norm(g, swap(g, x), f"norm{i}", d.hidden))
            x = masked(g, leaky(g, x), beyond)
        x = swap(g, lstm(g, swap(g, x), "lstm", text=d.hidden, outputs=d.hidden, lengths=lengths))
        return masked(g, x, beyond)
