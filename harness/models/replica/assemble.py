"""The whole model, part by part in the order of its data, and its voices."""

from pathlib import Path
from typing import Any

from harness.core.files import replacing
from harness.models.replica.decoder import decode, harmonic_source
from harness.models.replica.dimensions import Dimensions, configuration_text, dimensions
from harness.models.replica.generator import generate
from harness.models.replica.graph import INT32, Graph, Value
from harness.models.replica.layers import Style, linear, swap
from harness.models.replica.prosody import curves, duration_encoder, durations
from harness.models.replica.recipe import RECIPE_VERSION, Recipe
from harness.models.replica.regulation import loop_regulator, plain_regulator
from harness.models.replica.text import albert, text_encoder
from harness.models.replica.weights import Draws
from harness.models.replica.writer import write_model

_OPSET = 17
_IR_VERSION = 8  # the newest version that ONNX Runtime 1.20 reads with this opset

VOICES = ("af_bella", "af_heart", "am_michael", "am_puck", "bf_emma", "bm_george")
_VOICE_ROWS = 510


def build_model(recipe: Recipe, path: Path) -> None:
    """Write the model to `path`, as one file without external data. If this fails, there is no file."""
    g = Graph(Draws(seed=recipe.seed))
    _assemble(g, dimensions(recipe.scale), recipe)
    write_model(_model(g, recipe), g.weights.values(), path)


def _assemble(g: Graph, d: Dimensions, recipe: Recipe) -> None:
    tokens, speed = recipe.face, "speed"
    timed = recipe.face == "input_ids"
    mask, lengths = _mask(g, tokens)
    decoder_style = _half_of_style(g, d, 0)
    prosody_style = _half_of_style(g, d, 1)

    context = albert(g, d, tokens, mask)
    context = swap(g, linear(g, context, "bert_projection", d.bert_hidden, d.hidden))
    encoded = duration_encoder(g, d, context, prosody_style, mask, lengths)
    frames = durations(g, d, encoded, speed, lengths, out="duration" if timed else None)
    regulate = (loop_regulator if recipe.regulation == "loop" else plain_regulator)(g, frames)
    contours = curves(g, d, encoded, prosody_style, regulate)

    text = regulate(text_encoder(g, d, tokens, mask, lengths))
    features = decode(g, d, text, decoder_style, contours)
    source = harmonic_source(g, d, contours.pitch)
    generate(g, d, features, decoder_style, source, out="waveform" if timed else "audio")


def _mask(g: Graph, tokens: Value) -> tuple[Value, Value]:
    """The mask of positions beyond the end ([1, time]; none at batch size 1), and the length as int32 [1]."""
    length = g.op("Gather", g.op("Shape", tokens), g.integer(1), axis=0)
    places = g.op("Unsqueeze", g.op("Range", g.integer(0), length, g.integer(1)), g.ints(0))
    mask = g.op("Greater", g.op("Add", places, g.integer(1)), length)
    return mask, g.op("Cast", g.op("Unsqueeze", length, g.ints(0)), to=INT32)


def _half_of_style(g: Graph, d: Dimensions, half: int) -> Style:
    begin = half * d.style
    value = g.op("Slice", "style", g.ints(begin), g.ints(begin + d.style), g.ints(1))
    return Style(value=value, width=d.style)


def _model(g: Graph, recipe: Recipe) -> Any:  # noqa: ANN401 - onnx ships no types
    from onnx import TensorProto, helper

    tensor = helper.make_tensor_value_info
    timed = recipe.face == "input_ids"
    inputs = [
        tensor(recipe.face, TensorProto.INT64, [1, "N"]),
        tensor("style", TensorProto.FLOAT, [1, 256]),
        tensor("speed", TensorProto.FLOAT, [1]),
    ]
    outputs = [tensor("waveform" if timed else "audio", TensorProto.FLOAT, ["num_samples"])]
    if timed:
        outputs.append(tensor("duration", TensorProto.INT64, ["N"]))
    model = helper.make_model(
        helper.make_graph([*g.aliases, *g.nodes], "main_graph", inputs, outputs),
        opset_imports=[helper.make_opsetid("", _OPSET)],
        ir_version=_IR_VERSION,
        producer_name="kokoro-bench",
        producer_version=str(RECIPE_VERSION),
        doc_string=f"{recipe.name}: Kokoro-82M's architecture with random weights",
    )
    helper.set_model_props(model, {"kokoro_config": configuration_text()})
    return model


def build_voices(recipe: Recipe, path: Path) -> None:
    """Write the voices, name → float32 [510, 1, 256], one row per number of phonemes. They depend only on the seed."""
    import numpy as np

    draws = Draws(seed=recipe.seed)
    ramp = (np.arange(_VOICE_ROWS, dtype=np.float32) / _VOICE_ROWS)[:, None, None]
    voices = {}
    for name in VOICES:
        common, drift = (draws.uniform(f"voice.{name}.{part}", (1, 1, 256), 0.3) for part in ("common", "drift"))
        voices[name] = common + np.float32(0.2) * ramp * drift
    with replacing(path, durable=False) as file:
        np.savez(file, allow_pickle=False, **voices)
