"""The names and labels of models."""

import os
import unicodedata
from collections import Counter
from collections.abc import Callable, Sequence
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING

from harness.core.errors import UsageError
from harness.core.names import slug
from harness.core.user_paths import user_path

if TYPE_CHECKING:
    from harness.models.recipes import Recipe

SUFFIXES = (".onnx", ".ort")
DEQUANTISED_SUFFIX = "dq"
EIGHT_BIT_SUFFIX = "int8"
_NO_SLUG = "-"
"""The result of `slug` for a text without usable characters."""


def as_path(name_or_path: str | Path) -> Path | None:
    """The path of a model file, or None for the name of a model. A path has a folder or ends in .onnx (any case).

    Raises UsageError for a `~name` that is no user.
    """
    if isinstance(name_or_path, Path):
        return user_path(name_or_path, where="--model")
    looks_like_a_file = Path(name_or_path).suffix.lower() in SUFFIXES or _has_folder(name_or_path)
    return user_path(name_or_path, where="--model") if looks_like_a_file else None


def _has_folder(text: str) -> bool:
    return "/" in text or os.sep in text


def split_label(given: str) -> tuple[str, str]:
    """The label and the file of `LABEL=FILE`, by which users label a file; "" and `given` otherwise.

    For a file with an equals sign in its name, users write `./a=b.onnx`. Raises UsageError for an invalid label.
    """
    label, equals, file = given.partition("=")
    if not equals or not label or _has_folder(label) or as_path(file) is None:
        return "", given
    if slug(label) != label:
        named = "mine" if slug(label) == _NO_SLUG else slug(label)
        typed, alone = (each.replace(",", r"\,") for each in (f"{named}={file}", f"./{given}"))
        remedy = f"letters, digits and _ . + -, such as {typed}; a file by itself is {alone}"
        raise UsageError(f"{label!r} cannot be a model's name", where="--model", remedy=remedy)
    return label, file


def label_of(given: str) -> str:
    """The label of a model in tables and ids: a name itself, or the stem of a file, without its folder.

    If a slug keeps no character of the stem, as of one in Chinese, the label has a digest of the stem.
    """
    label, file = split_label(given)
    path = as_path(file)
    if label or path is None:
        return label or given
    label = slug(path.stem)
    if label != _NO_SLUG:
        return label
    plain = slug(unicodedata.normalize("NFKD", path.stem).encode("ascii", "ignore").decode())
    digest = sha256(path.stem.encode("utf-8", "surrogateescape")).hexdigest()
    return f"{'model' if plain == _NO_SLUG else plain}-{digest[:6]}"


def labels_of(given: Sequence[str], digest_of: Callable[[Path], str]) -> dict[str, str]:
    """Model as given → its label. Models are names, files, or files with labels.

    Files with equal labels get a part of their SHA-256 (hex, by `digest_of`) in their labels, so that a label does not
    depend on the file's folder or on the order of models. Labels that differ only in case count as equal, because they
    are also file names. Two models have the same label only if they are the same model or the user gave both labels.
    """
    labels = {each: label_of(each) for each in given}
    times = Counter(label.casefold() for label in labels.values())
    for each, label in labels.items():
        chosen, file = split_label(each)
        path = as_path(file)
        if path is not None and not chosen and times[label.casefold()] > 1:
            labels[each] = f"{label}-{digest_of(path)[:8]}"
    return labels


def derived_name(parent: str, recipe: "Recipe") -> str:
    """The name of a variant. If a public file has that name, the variant's name says that it was converted."""
    from harness.models import public

    name = f"{parent}-{recipe.suffix}"
    return f"{parent}-converted-{recipe.suffix}" if name in public.BY_NAME else name


def dequantised_from(name: str) -> str:
    """The public 8-bit model that the original `name` is made from: `X-int8` for `X-dq`, "" for other names."""
    from harness.models import public

    base = name.removesuffix(f"-{DEQUANTISED_SUFFIX}")
    parent = f"{base}-{EIGHT_BIT_SUFFIX}"
    return parent if base != name and parent in public.BY_NAME else ""


def dequantised_names() -> tuple[str, ...]:
    """The originals that can be made from public 8-bit models."""
    from harness.models import public

    ends = f"-{EIGHT_BIT_SUFFIX}"
    return tuple(f"{name.removesuffix(ends)}-{DEQUANTISED_SUFFIX}" for name in public.BY_NAME if name.endswith(ends))


def derivations(name: str) -> "tuple[tuple[str, Recipe], ...]":
    """The possible parents and recipes of `name`, longest suffix first."""
    from harness.models.recipes import BY_SUFFIX

    found = []
    for suffix, recipe in sorted(BY_SUFFIX.items(), key=lambda item: -len(item[0])):
        base = name.removesuffix(f"-{suffix}")
        if base != name:
            base = base.removesuffix("-converted")
            if derived_name(base, recipe) == name:
                found.append((base, recipe))
    return tuple(found)
