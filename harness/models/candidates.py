"""The models that a search for the best one tries: graphs of the user's model, and variants of its original."""

from dataclasses import dataclass
from pathlib import Path

from harness.core.errors import ModelError, UsageError
from harness.models import public
from harness.models.catalogue import Catalogue
from harness.models.files import Report
from harness.models.naming import as_path, dequantised_names, derivations, derived_name
from harness.models.naming import dequantised_from as eight_bit_of
from harness.models.optimise.recipes import GraphRecipe
from harness.models.recipes import BY_SUFFIX, Recipe

OF_ORIGINAL = (
    "", "s7", "u8-nolast", "u8-noattention", "u8", "u8-nolstm", "u8-nolstm-nolast", "u8-per-channel", "fp16", "int4",
    "u8-conv",
)  # fmt: skip
"""Recipes (suffixes) for the original, "" for itself, the most promising first: the last are left out where time is
short. The joined norms are not among them: no gain of theirs is shown."""
OF_MODEL = ("folded", "slim", "saved")
"""Graph recipes for the user's model, tried after those. A saved graph loads faster and speaks no faster."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Named:
    """A model as the user gives it (a name or a file), and its name in the catalogue."""

    given: str
    name: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """A model to make: the recipe (None: it is `source` itself), and the model (name or file) that it is made of."""

    name: str
    source: str
    recipe: Recipe | None


def original_name(model: str, catalogue: Catalogue) -> str:
    """The name of the 32-bit original of a model: itself if it is one, or if its original is not known."""
    if as_path(model) is not None:
        return model
    dequantised = {eight_bit_of(name): name for name in dequantised_names()}
    if model in dequantised:
        return dequantised[model]
    found = next(iter(derivations(model)), None)
    if found is not None and model not in catalogue.replicas.names() and model not in public.BY_NAME:
        return original_name(found[0], catalogue)
    return model


def candidates(model: Named, original: Named) -> tuple[Candidate, ...]:
    """What can be tried in place of `model`, in the order in which it is made. It is not among them itself."""
    found = []
    for suffix in OF_ORIGINAL:
        recipe = BY_SUFFIX[suffix] if suffix else None
        name = derived_name(original.name, recipe) if recipe else original.name
        found.append(Candidate(name=name, source=original.given, recipe=recipe))
    for suffix in OF_MODEL:
        recipe = BY_SUFFIX[suffix]
        found.append(Candidate(name=derived_name(model.name, recipe), source=model.given, recipe=recipe))
    return tuple(each for each in found if each.name != model.name)


def try_to_make(candidate: Candidate, catalogue: Catalogue, voices: Path | None, report: Report) -> str:
    """Make the model of a candidate, unless the cache has it. The reason why it cannot be made, or ""."""
    try:
        if candidate.recipe is None:
            catalogue.resolve(candidate.source, voices=voices, report=report)
        elif isinstance(candidate.recipe, GraphRecipe):
            catalogue.optimise(candidate.source, candidate.recipe.name, voices=voices, report=report)
        else:
            catalogue.quantise(candidate.source, candidate.recipe.name, voices=voices, report=report)
    except (ModelError, UsageError) as error:
        return str(error)
    return ""
