"""The replica's recipes by name, and the disk space that each needs."""

import re
from dataclasses import asdict, fields
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from harness.core.errors import ModelError
from harness.models.jobs import Job, Replicate, run_child

if TYPE_CHECKING:
    from harness.models.replica.recipe import Recipe

_NAME = re.compile(
    r"replica(?:-(?P<size>small)|-w(?P<width>[0-9]+(?:\.[0-9]+)?))?(?P<tokens>-tokens)?(?P<plain>-plain)?(?:-seed(?P<seed>[0-9]+))?"
)
_FULL_MODEL = 326_000_000
_VOICES = 4_000_000
_FIXED = 3_000_000
"""Sizes in bytes: a model of Kokoro-82M's size, the voices, and the graph without its weights."""


class Replicas(Protocol):
    """Builds replicas. Tests use their own implementation."""

    def names(self) -> tuple[str, ...]:
        """The names that are listed."""

    def recipe(self, name: str) -> "Recipe | None":
        """The recipe of a name, listed or not; None if it is not a replica's name."""

    def build(self, recipe: "Recipe", *, model: Path, voices: Path) -> None:
        """Write both files."""


class BuiltReplicas:
    """The replicas that `harness.models.replica` builds."""

    def names(self) -> tuple[str, ...]:
        """Both sizes with both input names and both length regulations. Other widths and seeds are not listed."""
        parts = product(("", "-small"), ("", "-tokens"), ("", "-plain"))
        return tuple(f"replica{''.join(chosen)}" for chosen in parts)

    def recipe(self, name: str) -> "Recipe | None":
        """The recipe of `replica[-small|-w0.25][-tokens][-plain][-seed3]`; None for any other name.

        Raises UsageError for an invalid width or seed.
        """
        match = _NAME.fullmatch(name)
        if match is None:
            return None
        from harness.models.replica.recipe import Recipe

        return Recipe(
            size="small" if match["size"] else "full",
            width=float(match["width"]) if match["width"] else None,
            face="tokens" if match["tokens"] else "input_ids",
            regulation="plain" if match["plain"] else "loop",
            seed=int(match["seed"] or 0),
        )

    def build(self, recipe: "Recipe", *, model: Path, voices: Path) -> None:
        """Write both files, the model in a child process. Raises ModelError."""
        from harness.models.replica.assemble import build_voices

        answer = run_child(Job(replicate=Replicate(recipe=asdict(recipe), model=str(model))), model.parent)
        if answer.error:
            remedy = "kokoro-bench doctor shows what is installed"
            raise ModelError(f"cannot be built: {answer.error}", where=recipe.name, remedy=remedy)
        build_voices(recipe, voices)


def described(recipe: "Recipe") -> str:
    """The fields of a recipe as text. A table can break lines between its words."""
    values = ((one.name, getattr(recipe, one.name)) for one in fields(recipe))
    return ", ".join(f"{name} {value}" for name, value in values if value is not None)


def needed_bytes(recipe: "Recipe") -> int:
    """Disk space of a replica in bytes. Nearly all weights grow with the square of the width."""
    return int(_FULL_MODEL * recipe.scale**2) + _FIXED + _VOICES


def replica_key(recipe: "Recipe") -> str:
    """The key of a replica in the cache. Another recipe with the same name has another key."""
    return f"{recipe.name}-{recipe.digest()[:16]}"
