"""Makes quantised variants of a model. A variant enters the cache only if it synthesises speech."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness.core.errors import ModelError
from harness.models.cache import Cache, tool_versions
from harness.models.derived import Making, derived_key, make_derived
from harness.models.files import ModelFiles, Report, silent
from harness.models.jobs import Job, Quantise
from harness.models.quantise.calibration_inputs import feeds_digest
from harness.models.quantise.recipes import Method, QuantiseRecipe
from harness.models.quantise.tools import write_feeds

if TYPE_CHECKING:
    from collections.abc import Iterable

    from numpy.typing import NDArray

VERSION = 2
"""Counts the changes of our own part of the making, such as the order of the nodes."""
MADE_ANEW = {Method.HALF: 1}
"""The same for one method: the others' variants in the cache still hold."""
ROOM = 4
"""Required disk space as a multiple of the parent's size: the tools keep up to three copies besides the result."""


def quantise(
    parent: ModelFiles,
    recipe: QuantiseRecipe,
    *,
    cache: Cache,
    name: str,
    feeds: "Iterable[dict[str, NDArray[Any]]]" = (),
    report: Report = silent,
) -> ModelFiles:
    """The variant of `parent` by `recipe`, from the cache or newly made.

    `feeds` are inputs of real syntheses, which a calibrated recipe needs. Raises ModelError if the tools fail with this
    graph or in these versions, or if the result does not load or synthesise.
    """
    inputs = tuple(feeds)
    if recipe.calibrated and not inputs:
        raise ModelError(
            f"{recipe.name} learns its scales from real inputs", where=name, remedy="give calibration texts"
        )

    def job(target: Path) -> Job:
        archive = target.with_name("feeds.npz")
        if recipe.calibrated:
            write_feeds(archive, inputs)
        given = str(archive) if recipe.calibrated else ""
        return Job(
            quantise=Quantise(source=str(parent.model_path), target=str(target), recipe=recipe.name, feeds=given)
        )

    making = Making(
        name=name,
        key=cache_key(name, parent, recipe, inputs),
        origin="quantised",
        recipe=recipe.name,
        tools=tool_versions(),
        room=ROOM,
        job=job,
        doing=f"making {name} from {parent.variant.name}: {recipe.meaning}",
        done="{converted}",
        what=f"{recipe.name} of {parent.variant.name}",
        remedy="try another recipe, or other versions of the two packages",
    )
    return make_derived(parent, making, cache=cache, report=report)


def cache_key(
    name: str, parent: ModelFiles, recipe: QuantiseRecipe, feeds: "tuple[dict[str, NDArray[Any]], ...]" = ()
) -> str:
    """The variant's key in the cache: its bytes depend on the calibration inputs, too, if the recipe takes some."""
    taken = feeds_digest(feeds) if recipe.calibrated else ""
    tools = tool_versions()
    fields = {"parent": parent.variant.sha256, "recipe": recipe.digest(), "tools": tools, "feeds": taken}
    again = {"made anew": MADE_ANEW[recipe.method]} if recipe.method in MADE_ANEW else {}
    return derived_key(name, {**fields, "version": VERSION, **again})
