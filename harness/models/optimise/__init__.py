"""Makes graphs of a model that compute the same. A graph enters the cache only if its output is its source's."""

from pathlib import Path

from harness.core.errors import ModelError, PackageError
from harness.core.native_imports import version_of
from harness.core.records.scenario import OPTIMISED, ModelVariant
from harness.core.saved_graphs import cpu_features
from harness.models.cache import MODEL, ORT_MODEL, Cache
from harness.models.derived import Making, derived_key, make_derived
from harness.models.files import ModelFiles, Report, silent
from harness.models.jobs import Job, Optimise
from harness.models.optimise.recipes import BY_NAME, GraphRecipe, Step

ROOM = 4
"""Required disk space as a multiple of the source's size: up to three copies are kept besides the result."""
SLIM = "onnxslim"


def tool_versions(recipe_name: str) -> dict[str, str]:
    """Versions of the packages on which a recipe's result depends, without importing them."""
    recipe = BY_NAME.get(recipe_name)
    slim = (SLIM,) if recipe is not None and recipe.step is Step.SLIM else ()
    return {name: version_of(name) for name in ("onnx", "onnxruntime", *slim)}


def optimise(
    parent: ModelFiles,
    recipe: GraphRecipe,
    *,
    cache: Cache,
    name: str,
    report: Report = silent,
) -> ModelFiles:
    """The graph of `parent` by `recipe`, from the cache or newly made.

    Raises ModelError if the tools fail with this graph or in these versions, or if the result does not load, does not
    speak, or speaks otherwise than its source. Raises PackageError if a tool is not installed.
    """
    tools = tool_versions(recipe.name)
    if SLIM in tools and not tools[SLIM]:
        raise PackageError(f"{SLIM} is not installed", where=name, remedy="pip install 'kokoro-bench[optimise]'")

    def job(target: Path) -> Job:
        return Job(optimise=Optimise(source=str(parent.model_path), target=str(target), recipe=recipe.name))

    making = Making(
        name=name,
        key=cache_key(name, parent, recipe),
        origin=OPTIMISED,
        recipe=recipe.name,
        tools=tools,
        room=ROOM,
        job=job,
        target=ORT_MODEL if recipe.ort else MODEL,
        doing=f"making {name} from {parent.variant.name}: {recipe.meaning}",
        done="nodes {nodes}",
        what=f"{recipe.name} of {parent.variant.name}",
        remedy="try another recipe, or other versions of these packages",
    )
    return make_derived(parent, making, cache=cache, report=report)


def cache_key(name: str, parent: ModelFiles, recipe: GraphRecipe) -> str:
    """The graph's key in the cache: its bytes depend on the kind of CPU, too, if the recipe is tied to it."""
    cpu = cpu_features() if recipe.tied else ""
    tools = tool_versions(recipe.name)
    return derived_key(name, {"parent": parent.variant.sha256, "recipe": recipe.digest(), "tools": tools, "cpu": cpu})


def refuse(parent: ModelVariant, name: str) -> None:
    """Raise ModelError for a parent that a graph recipe cannot change: a saved graph is no longer a general one."""
    made_by = BY_NAME.get(parent.recipe) if parent.origin == OPTIMISED else None
    if made_by is not None and made_by.tied:
        raise ModelError(
            f"{parent.name} is a saved graph, which no recipe changes", where=name, remedy="take what it was made from"
        )
