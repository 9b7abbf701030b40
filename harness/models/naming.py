"""What models are called, and what a name may mean."""

import unicodedata
from collections.abc import Callable, Sequence
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING

from harness.errors import UsageError
from harness.records.scenario import slug

if TYPE_CHECKING:
    from harness.models.quantise.recipes import QuantiseRecipe

SUFFIXES = (".onnx", ".ort")
NO_SLUG = "-"
"""What `slug` makes of a text of which it keeps nothing."""


def as_path(name_or_path: str | Path) -> Path | None:
    """The path that is meant, None where it is a name: a file's name has a folder or ends in .onnx."""
    if isinstance(name_or_path, Path):
        return name_or_path.expanduser()
    path = Path(name_or_path)
    looks_like_a_file = path.suffix.lower() in SUFFIXES or len(path.parts) > 1
    return path.expanduser() if looks_like_a_file else None


def label_of(given: str) -> str:
    """What a model is called in tables and ids: a name by itself, a file by its stem, and never by its folder.

    A stem of which a slug keeps nothing, such as one in Chinese, is told apart from others by a digest of itself.
    """
    path = as_path(given)
    if path is None:
        return given
    label = slug(path.stem)
    if label != NO_SLUG:
        return label
    plain = slug(unicodedata.normalize("NFKD", path.stem).encode("ascii", "ignore").decode())
    digest = sha256(path.stem.encode("utf-8", "surrogateescape")).hexdigest()
    return f"{'model' if plain == NO_SLUG else plain}-{digest[:6]}"


def labels_of(given: Sequence[str], digest_of: Callable[[Path], str]) -> dict[str, str]:
    """What each of several models is called, no two alike.

    Files that would be called alike have a part of their SHA-256 (hex, `digest_of`) in their names, so that a name
    stays with a file wherever it lies and in whichever order the models are given. UsageError where one model is given
    twice.
    """
    labels = {each: label_of(each) for each in given}
    called = list(labels.values())
    for each, label in labels.items():
        path = as_path(each)
        if path is not None and called.count(label) > 1:
            labels[each] = f"{label}-{digest_of(path)[:8]}"
    called = [labels[each] for each in given]
    if twice := [label for label in called if called.count(label) > 1]:
        raise UsageError(f"the model {twice[0]} is given twice", where="--model", remedy="leave one of them out")
    return labels


def derived_name(parent: str, recipe: "QuantiseRecipe") -> str:
    """What a variant is called. Where a public file has that name, ours says that it was converted."""
    from harness.models import public

    name = f"{parent}-{recipe.suffix}"
    return f"{parent}-converted-{recipe.suffix}" if name in public.BY_NAME else name


def derivations(name: str) -> "tuple[tuple[str, QuantiseRecipe], ...]":
    """The parents and recipes that `name` may mean, longest suffix first."""
    from harness.models.quantise.recipes import BY_SUFFIX

    found = []
    for suffix, recipe in sorted(BY_SUFFIX.items(), key=lambda item: -len(item[0])):
        base = name.removesuffix(f"-{suffix}")
        if base != name:
            base = base.removesuffix("-converted")
            if derived_name(base, recipe) == name:
                found.append((base, recipe))
    return tuple(found)
