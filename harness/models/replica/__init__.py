"""Kokoro-82M's graph with seeded random weights: a model that any machine can have."""

from harness.models.replica.assemble import VOICES, build_model, build_voices
from harness.models.replica.recipe import RECIPE_VERSION, Recipe

__all__ = ["RECIPE_VERSION", "VOICES", "Recipe", "build_model", "build_voices"]
