"""All recipes by which models are made from others: quantised ones and graphs."""

from harness.core.errors import UsageError, nearest
from harness.models.optimise import recipes as graphs
from harness.models.optimise.recipes import GraphRecipe
from harness.models.quantise import recipes as quantised
from harness.models.quantise.recipes import QuantiseRecipe

Recipe = QuantiseRecipe | GraphRecipe

BY_SUFFIX: dict[str, Recipe] = {**quantised.BY_SUFFIX, **graphs.BY_SUFFIX}


def graph_recipe_named(name: str) -> GraphRecipe:
    """The graph recipe with this name or suffix. Raises UsageError with the nearest name."""
    recipe = graphs.BY_NAME.get(name) or graphs.BY_SUFFIX.get(name)
    if recipe is None:
        raise UsageError(f"no recipe {name!r}", where="--recipe", remedy=nearest(name, tuple(graphs.BY_NAME)))
    return recipe
