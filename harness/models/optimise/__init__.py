"""Makes graphs of a model that compute the same. A graph enters the cache only if its output is its source's."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from harness.core.errors import ModelError, PackageError
from harness.core.native_imports import version_of
from harness.core.records.scenario import OPTIMISED, ModelVariant
from harness.core.saved_graphs import cpu_features
from harness.models.cache import MODEL, ORT_MODEL, Cache, Plan
from harness.models.files import ModelFiles, Report, silent
from harness.models.jobs import Job, Optimise, Speak, make_with_tools, texts_of
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
    plan = Plan(
        key=cache_key(name, parent, recipe),
        variant=ModelVariant(
            name=name, sha256="", size=0, origin=OPTIMISED, recipe=recipe.name, parent=parent.variant.sha256
        ),
        voices=parent.voices_path,
        needed=parent.variant.size * ROOM,
        made_with=tools,
    )

    def build(work: Path) -> Mapping[str, str]:
        report(f"making {name} from {parent.variant.name}: {recipe.meaning}")
        target = str(work / (ORT_MODEL if recipe.ort else MODEL))
        answer = make_with_tools(
            Job(
                optimise=Optimise(source=str(parent.model_path), target=target, recipe=recipe.name),
                speak=Speak(model=target, voices=str(parent.voices_path)),
            ),
            work,
            what=f"{recipe.name} of {parent.variant.name}",
            tools=tools,
            remedy="try another recipe, or other versions of these packages",
        )
        found = texts_of(answer)
        report(f"made {name} in {answer.facts['took_s']:.1f} s: nodes {found['nodes']}")
        return found

    files = cache.make(plan, build, report)
    # The cached graph may have been made with another copy of the voices.
    variant = replace(files.variant, voices_sha256=parent.variant.voices_sha256)
    return replace(files, variant=variant, voices_path=parent.voices_path)


def cache_key(name: str, parent: ModelFiles, recipe: GraphRecipe) -> str:
    """The graph's key in the cache: its name, and a digest of everything on which its bytes depend.

    These are the parent, the recipe, the versions of the tools and, of a graph for one kind of CPU, that kind.
    """
    fields = {
        "parent": parent.variant.sha256,
        "recipe": recipe.digest(),
        "tools": tool_versions(recipe.name),
        "cpu": cpu_features() if recipe.tied else "",
    }
    digest = hashlib.sha256(json.dumps(fields, sort_keys=True).encode()).hexdigest()
    return f"{name}-{digest[:16]}"


def refuse(parent: ModelVariant, name: str) -> None:
    """Raise ModelError for a parent that a graph recipe cannot change: a saved graph is no longer a general one."""
    made_by = BY_NAME.get(parent.recipe) if parent.origin == OPTIMISED else None
    if made_by is not None and made_by.tied:
        raise ModelError(
            f"{parent.name} is a saved graph, which no recipe changes", where=name, remedy="take what it was made from"
        )
