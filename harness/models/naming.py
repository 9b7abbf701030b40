"""What models are called, and what a name may mean."""

from pathlib import Path

from harness.models import public
from harness.models.quantise.recipes import BY_SUFFIX, QuantiseRecipe
from harness.user_paths import user_path


def as_path(name_or_path: str | Path) -> Path | None:
    """The path that is meant, None where it is a name: a file's name has a folder or ends in .onnx.

    UsageError for a `~name` that is no user.
    """
    if isinstance(name_or_path, Path):
        return user_path(name_or_path, where="--model")
    path = Path(name_or_path)
    looks_like_a_file = path.suffix in (".onnx", ".ort") or len(path.parts) > 1
    return user_path(path, where="--model") if looks_like_a_file else None


def derived_name(parent: str, recipe: QuantiseRecipe) -> str:
    """What a variant is called. Where a public file has that name, ours says that it was converted."""
    name = f"{parent}-{recipe.suffix}"
    return f"{parent}-converted-{recipe.suffix}" if name in public.BY_NAME else name


def derivations(name: str) -> tuple[tuple[str, QuantiseRecipe], ...]:
    """The parents and recipes that `name` may mean, longest suffix first."""
    found = []
    for suffix, recipe in sorted(BY_SUFFIX.items(), key=lambda item: -len(item[0])):
        base = name.removesuffix(f"-{suffix}")
        if base != name:
            base = base.removesuffix("-converted")
            if derived_name(base, recipe) == name:
                found.append((base, recipe))
    return tuple(found)
