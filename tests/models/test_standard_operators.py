"""A file that ONNX Runtime optimised before it was saved: every recipe works on it."""

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import helper

from harness.models.jobs import Quantise
from harness.models.quantise.recipes import RECIPES, Method, QuantiseRecipe
from harness.models.quantise.tools import quantise_file, write_feeds
from tests.models.test_dequantise import RANDOM, dequantised, run, same, weights, write

NODES = [
    helper.make_node("FastGelu", ["x", "b"], ["g"], domain="com.microsoft"),
    helper.make_node("SkipLayerNormalization", ["g", "x", "b", "b"], ["n"], domain="com.microsoft", epsilon=1e-5),
    helper.make_node("MatMul", ["n", "w"], ["y"], name="dense"),
]


PARTIAL = ("s7-conv", "u8-conv", "u8-nolast", "u8-noattention", "u8-nolstm-nolast")
"""Of what this graph has, they convert nothing, or look for parts that it has not."""


@pytest.mark.parametrize(
    "recipe", [each for each in RECIPES if each.suffix not in PARTIAL], ids=lambda recipe: recipe.suffix
)
def test_every_recipe_works_on_an_optimised_file(tmp_path: Path, recipe: QuantiseRecipe) -> None:
    constants = {"w": weights(12, 64), "b": weights(12)}
    source = write(tmp_path / "source.onnx", NODES, constants, domains=("com.microsoft",))
    x = RANDOM.standard_normal((1, 8, 12)).astype(np.float32)
    feeds, target = tmp_path / "feeds.npz", tmp_path / "model.onnx"
    write_feeds(feeds, ({"x": x},))
    facts = quantise_file(Quantise(source=str(source), target=str(target), recipe=recipe.name, feeds=str(feeds)))
    assert facts["converted"]
    # In floats: with signed weights, a processor without VNNI saturates the sums of 8-bit products.
    checked = dequantised(target) if recipe.method is Method.DYNAMIC else target
    assert same(run(checked, x, optimised=False), run(source, x), within=0.2 if recipe.block else 0.05)
    assert not {node.op_type for node in onnx.load(target).graph.node} & {"FastGelu", "SkipLayerNormalization"}
