"""Makes quantised variants of a model. A variant enters the cache only if it synthesises speech."""

import hashlib
import json
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness.core.errors import ModelError
from harness.core.records.scenario import ModelVariant
from harness.models.cache import MODEL, Cache, Plan, tool_versions
from harness.models.files import ModelFiles, Report, silent
from harness.models.jobs import Answer, Job, Quantise, Speak, make_with_tools, texts_of
from harness.models.quantise.calibration_inputs import feeds_digest
from harness.models.quantise.recipes import QuantiseRecipe
from harness.models.quantise.tools import write_feeds

if TYPE_CHECKING:
    from collections.abc import Iterable

    from numpy.typing import NDArray

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
    plan = Plan(
        key=cache_key(name, parent, recipe, inputs),
        variant=ModelVariant(
            name=name, sha256="", size=0, origin="quantised", recipe=recipe.name, parent=parent.variant.sha256
        ),
        voices=parent.voices_path,
        needed=parent.variant.size * ROOM,
        made_with=tool_versions(),
    )

    def build(work: Path) -> dict[str, str]:
        report(f"making {name} from {parent.variant.name}: {recipe.meaning}")
        answer = _by_tools(parent, recipe, inputs, work)
        report(f"made {name} in {answer.facts['took_s']:.1f} s: {answer.facts['converted']}")
        return texts_of(answer)

    files = cache.make(plan, build, report)
    # The cached variant may have been made with another copy of the voices.
    variant = replace(files.variant, voices_sha256=parent.variant.voices_sha256)
    return replace(files, variant=variant, voices_path=parent.voices_path)


def cache_key(
    name: str, parent: ModelFiles, recipe: QuantiseRecipe, feeds: "tuple[dict[str, NDArray[Any]], ...]" = ()
) -> str:
    """The variant's key in the cache: its name, and a digest of everything on which its bytes depend.

    These are the parent, the recipe, the versions of the tools, and the calibration inputs.
    """
    fields = {
        "parent": parent.variant.sha256,
        "recipe": recipe.digest(),
        "tools": tool_versions(),
        "feeds": feeds_digest(feeds) if recipe.calibrated else "",
    }
    digest = hashlib.sha256(json.dumps(fields, sort_keys=True).encode()).hexdigest()
    return f"{name}-{digest[:16]}"


def _by_tools(
    parent: ModelFiles, recipe: QuantiseRecipe, feeds: "tuple[dict[str, NDArray[Any]], ...]", work: Path
) -> Answer:
    archive = work / "feeds.npz"
    if recipe.calibrated:
        write_feeds(archive, feeds)
    job = Quantise(
        source=str(parent.model_path),
        target=str(work / MODEL),
        recipe=recipe.name,
        feeds=str(archive) if recipe.calibrated else "",
    )
    speak = Speak(model=str(work / MODEL), voices=str(parent.voices_path))
    return make_with_tools(
        Job(quantise=job, speak=speak),
        work,
        what=f"{recipe.name} of {parent.variant.name}",
        tools=tool_versions(),
        remedy="try another recipe, or other versions of the two packages",
    )
