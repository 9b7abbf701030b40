"""Models that are made from another: the one way to quantised models and graphs, which differ in their tools."""

from typing import TYPE_CHECKING, Any

from harness.core.errors import ModelError
from harness.core.records.scenario import ModelVariant
from harness.models import optimise, quantise
from harness.models.cache import Cache
from harness.models.files import ModelFiles, Report
from harness.models.optimise.recipes import GraphRecipe
from harness.models.recipes import Recipe

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Feeds = tuple[dict[str, NDArray[Any]], ...]


def cache_key(name: str, parent: ModelFiles, recipe: Recipe, feeds: "Feeds" = ()) -> str:
    """The model's key in the cache, by the kind of the recipe: see `cache_key` in `optimise` and `quantise`."""
    if isinstance(recipe, GraphRecipe):
        return optimise.cache_key(name, parent, recipe)
    return quantise.cache_key(name, parent, recipe, feeds)


def derive(
    parent: ModelFiles, recipe: Recipe, *, cache: Cache, name: str, feeds: "Feeds" = (), report: Report
) -> ModelFiles:
    """The model that `recipe` makes of `parent`, from the cache or newly made. Raises ModelError."""
    if isinstance(recipe, GraphRecipe):
        return optimise.optimise(parent, recipe, cache=cache, name=name, report=report)
    return quantise.quantise(parent, recipe, cache=cache, name=name, feeds=feeds, report=report)


def refuse(parent: ModelVariant, recipe: Recipe, name: str) -> None:
    """Raise ModelError for a parent that the recipe cannot change."""
    if not isinstance(recipe, GraphRecipe) and parent.origin == "quantised":
        raise ModelError(f"{parent.name} is quantised already", where=name, remedy="quantise what it was made from")
    optimise.refuse(parent, name)


def command(parent: str, recipe: Recipe) -> str:
    """The command that makes the model of the parent's name."""
    verb = "optimise" if isinstance(recipe, GraphRecipe) else "quantise"
    return f"kokoro-bench models {verb} {parent} --recipe {recipe.name}"
