"""The entries of `models list`."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from harness.core.records.scenario import DEQUANTISED, OPTIMISED
from harness.models import dequantise, derive, optimise, public
from harness.models.cache import Cache, Manifest, tool_versions
from harness.models.naming import dequantised_from, dequantised_names, derivations
from harness.models.replica.catalogue import Replicas, replica_key

if TYPE_CHECKING:
    from collections.abc import Callable

OLDER = "of an older recipe"
NOT_FETCHED = "not fetched"
NOT_BUILT = "not built; its digest is known once it is"


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One line of the list. Unknown properties of an absent model are None, and `note` says why."""

    name: str
    origin: str
    present: bool
    size: int | None
    sha256: str | None
    path: Path | None
    note: str = ""


def list_entries(cache: Cache, replicas: Replicas) -> tuple[Entry, ...]:
    """All originals, and all other models that are in the cache."""
    originals = {name: _replica(cache, replicas, name) for name in replicas.names()}
    originals |= {name: cache.find(name) for name in public.BY_NAME}
    originals |= {name: _dequantised(cache, name) for name in dequantised_names()}
    lines = [_present(cache, manifest) if manifest else _absent(name) for name, manifest in originals.items()]
    shown = [manifest for manifest in originals.values() if manifest]
    others = (manifest for manifest in cache.manifests() if manifest not in shown)
    return (*lines, *(_present(cache, manifest, note=_age(cache, replicas, manifest)) for manifest in others))


def _replica(cache: Cache, replicas: Replicas, name: str) -> Manifest | None:
    recipe = replicas.recipe(name)
    return cache.find(replica_key(recipe)) if recipe else None


def _dequantised(cache: Cache, name: str) -> Manifest | None:
    parent = cache.find(dequantised_from(name))
    return cache.find(dequantise.cache_key(name, cache.files(parent))) if parent else None


def _age(cache: Cache, replicas: Replicas, manifest: Manifest) -> str:
    """Why a cached model is not what its name now means; "" if it is."""
    variant = manifest.variant
    if variant.origin == "replica" and manifest != _replica(cache, replicas, variant.name):
        return OLDER
    tools: dict[str, Callable[[], dict[str, str]]] = {
        "quantised": tool_versions,
        DEQUANTISED: dequantise.tool_versions,
        OPTIMISED: lambda: optimise.tool_versions(variant.recipe),
    }
    if variant.origin in tools and manifest.made_with != tools[variant.origin]():
        return f"by {', '.join(f'{name} {version}' for name, version in manifest.made_with.items())}"
    parent = cache.by_digest(variant.parent)
    if parent is None:
        return ""
    # The key of a calibrated one needs its texts, which are not here.
    recipes = [each for base, each in derivations(variant.name) if base == parent.variant.name and not each.calibrated]
    keys = [derive.cache_key(variant.name, cache.files(parent), recipe) for recipe in recipes]
    return OLDER if any(cache.find(key) != manifest for key in keys) else _age(cache, replicas, parent)


def _present(cache: Cache, manifest: Manifest, note: str = "") -> Entry:
    return Entry(
        name=manifest.variant.name,
        origin=manifest.variant.origin,
        present=True,
        size=manifest.variant.size,
        sha256=manifest.variant.sha256,
        path=cache.files(manifest).model_path,
        note=note,
    )


def _absent(name: str) -> Entry:
    if parent := dequantised_from(name):
        note = f"not built; made from {parent}"
        return Entry(name=name, origin=DEQUANTISED, present=False, size=None, sha256=None, path=None, note=note)
    if (model := public.BY_NAME.get(name)) is None:
        return Entry(name=name, origin="replica", present=False, size=None, sha256=None, path=None, note=NOT_BUILT)
    size, sha256 = model.model.size, model.model.sha256
    return Entry(name=name, origin="public", present=False, size=size, sha256=sha256, path=None, note=NOT_FETCHED)
