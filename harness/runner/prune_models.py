"""Which files of the cache's models nobody needs any more, and their removal."""

import shutil
from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from harness.engines.pooled.windows.halves import DIGITS
from harness.engines.pooled.windows.halves import FOLDER as HALVES
from harness.engines.sherpa.files import FOLDER as SHERPA
from harness.models.cache import Cache, Manifest
from harness.models.files import Report, silent
from harness.models.licences import notice_file
from harness.models.obtain import PARTS

USED = "used lately"


@dataclass(frozen=True, slots=True, kw_only=True)
class Cached:
    """What one line of `models prune` is about: a model, or files that were made of one.

    `size` is in bytes, `used_at` in seconds since the epoch. `why_kept` is "" for what is to be removed. `key` is that
    of a model in the cache, "" for files that are made again when they are needed.
    """

    name: str
    size: int
    used_at: float
    paths: tuple[Path, ...]
    why_kept: str = ""
    key: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Needs:
    """SHA-256 of a model or of voices → who needs it."""

    digests: Mapping[str, str]

    def why(self, manifest: Manifest) -> str:
        """Who needs this model; "" if nobody does."""
        return self.digests.get(manifest.variant.sha256, "")


def examine(cache: Cache, needs: Needs, *, unused_since: float) -> tuple[Cached, ...]:
    """All models of the cache and what is made of them, the last used first.

    What was used after `unused_since` (seconds since the epoch) is kept, and what is needed, and what these need.
    """
    manifests = cache.manifests()
    kept = _kept(cache, manifests, needs, unused_since)
    models = [_model(cache, manifest, kept.get(manifest.model, "")) for manifest in manifests]
    found = [*models, *_made_of(cache, manifests, needs, unused_since)]
    return tuple(sorted(found, key=lambda each: (-each.used_at, each.name)))


def remove(cache: Cache, each: Cached, report: Report = silent) -> None:
    """Remove the files of one line. A model is absent as soon as its manifest is, which goes first."""
    if not each.key:
        _unlink(each.paths)
        return
    with cache.locked(each.key, report):
        _unlink(each.paths)


def _unlink(paths: Iterable[Path]) -> None:
    for path in paths:
        if path.is_dir():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink(missing_ok=True)


def _kept(cache: Cache, manifests: Collection[Manifest], needs: Needs, unused_since: float) -> dict[str, str]:
    """File name of a model → why it is kept."""
    kept: dict[str, str] = {}
    for manifest in manifests:
        if why := needs.why(manifest):
            kept[manifest.model] = why
        elif cache.used_at(manifest) > unused_since:
            kept[manifest.model] = USED
    of_voices = {each.variant.voices_sha256 for each in manifests if each.model in kept}
    for digest, why in needs.digests.items():
        # Voices are needed with any model: one that has them is enough.
        having = [each for each in manifests if each.variant.voices_sha256 == digest and _owns_voices(each)]
        if having and digest not in of_voices:
            kept.setdefault(having[0].model, why)
    waiting = [each for each in manifests if each.model in kept]
    while waiting:
        needing = waiting.pop()
        for other in manifests:
            if other.model not in kept and _is_made_of(needing, other):
                kept[other.model] = f"{needing.variant.name} needs it"
                waiting.append(other)
    return kept


def _is_made_of(manifest: Manifest, other: Manifest) -> bool:
    """Whether a model was made of another one, or speaks with its voices."""
    return manifest.variant.parent == other.variant.sha256 or (
        manifest.voices == other.voices and _owns_voices(other) and not _owns_voices(manifest)
    )


def _owns_voices(manifest: Manifest) -> bool:
    return manifest.voices.startswith(f"{_key(manifest)}.")


def _key(manifest: Manifest) -> str:
    return Path(manifest.model).stem


def _model(cache: Cache, manifest: Manifest, why_kept: str) -> Cached:
    key = _key(manifest)
    model = cache.models / manifest.model
    own = [cache.models / manifest.voices] if _owns_voices(manifest) else []
    files = [model, *own, notice_file(model)]
    return Cached(
        name=manifest.variant.name,
        size=_size(files),
        used_at=cache.used_at(manifest),
        paths=(cache.manifest_file(key), *files),
        why_kept=why_kept,
        key=key,
    )


def _made_of(cache: Cache, manifests: Collection[Manifest], needs: Needs, unused_since: float) -> Iterator[Cached]:
    """Files that are made again when they are needed, and parts of downloads that came to no end."""
    names = {each.variant.sha256[:DIGITS]: each.variant.name for each in manifests}
    needed = {digest[:DIGITS]: why for digest, why in needs.digests.items()}
    for pattern, what in (
        (f"{HALVES}/*/", "halves of {name}"),
        (f"{SHERPA}/*", "copy for sherpa-onnx"),
        (f"models/{PARTS}*/", "download that came to no end"),
    ):
        for path in cache.root.glob(pattern):
            with suppress(OSError):  # another process removes it
                digest, used_at = path.name[:DIGITS], path.stat().st_mtime
                why = needed.get(digest, "") or (USED if used_at > unused_since else "")
                name = what.format(name=names.get(digest, "a model that is not here"))
                yield Cached(name=name, size=_size([path]), used_at=used_at, paths=(path,), why_kept=why)


def _size(paths: Iterable[Path]) -> int:
    """The bytes of files, and of all files in folders."""
    files = (file for path in paths for file in (path.rglob("*") if path.is_dir() else (path,)))
    return sum(file.stat().st_size for file in files if file.is_file())
