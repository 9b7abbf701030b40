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
from harness.core.files import move_durably
from harness.core.records.scenario import ModelVariant
from harness.models.cache import MODEL, Cache, Plan
from harness.models.download import Progress, ReleaseDownload, unwatched
from harness.models.files import ModelFiles, Report, sha256_of, silent
from harness.models.licences import KOKORO
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
        if manifest is not None and not cache.damage(manifest):
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

    def run(self) -> ModelFiles:
        wanted = self._wanted()
        voices = self._voices(wanted)
        with self.cache.working_folder(self.model.name) as work:
            self._try(
                MODEL_FROM,
                {
                    Source.RELEASE: lambda: self._model_by_release(work / MODEL, wanted),
                    **({Source.INDEX: lambda: self._model_by_index(work / MODEL)} if self.model.parts else {}),
                },
            )
            variant = ModelVariant(name=self.model.name, sha256="", size=0, origin="public", recipe=self.model.meaning)
            plan = Plan(key=self.model.name, variant=variant, needed=0, voices=voices, made_with=self.origin)
            files = self.cache.admit(plan, work)
        notices = [*(licence.sentence for licence in KOKORO), notices_in(self._folder)]
        self._notices.write_text("\n".join(notices), encoding="utf-8")
        self._clear()
        return files

    @property
    def _folder(self) -> Path:
        """Where parts gather until the model is whole."""
        return self.cache.models / f".parts-{self.model.model.sha256[:16]}"

    @property
    def _notices(self) -> Path:
        return self.cache.models / f"{self.model.name}.notices.txt"

    @property
    def _published_voices(self) -> Path:
        return self.cache.models / f"voices-{self.model.voices.sha256[:16]}.bin"

    def _wanted(self) -> list[Asset]:
        """What the release would have to send; too little disk for it is an error before anything is fetched."""
        have = self._sound(self._published_voices)
        wanted = [self.model.model] if have else [self.model.voices, self.model.model]
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

    def _model_by_release(self, target: Path, wanted: list[Asset]) -> Path:
        return self.download.get(self.model.model, wanted).replace(target)

    def _model_by_index(self, target: Path) -> Path:
        parts, asset = self.model.parts, self.model.model
        self.cache.require(2 * asset.size, what=self.model.name)

        def each(part: PackagedFile) -> None:
            number = parts.index(part)
            self.progress(sum(one.size for one in parts[:number]), asset.size)
            self.report(f"{self.model.name}: part {number + 1} of {len(parts)} from the package index")

        join_parts(parts, self._folder, target, each=each)
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
