"""The model variants: what they are called, where their files are, and how an absent one is made or fetched."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness.core.errors import ModelError, nearest
from harness.core.records.scenario import ModelVariant
from harness.models import dequantise, derive, public
from harness.models.cache import MODEL, VOICES, Cache, Manifest, Plan, tool_versions
from harness.models.download import Progress, unwatched
from harness.models.files import ModelFiles, Report, joined_digest, silent
from harness.models.graph_facts import GraphFacts
from harness.models.inspect import Examiner, check_face
from harness.models.licences import Licence, notice_file, notices
from harness.models.listing import Entry, list_entries
from harness.models.naming import as_path, dequantised_from, dequantised_names, derivations, derived_name, label_of
from harness.models.obtain import EVERY_SOURCE, MODEL_FROM, VOICES_FROM, Source, obtain
from harness.models.quantise.calibration_inputs import calibration_feeds
from harness.models.quantise.recipes import recipe_named
from harness.models.recipes import BY_SUFFIX, Recipe, graph_recipe_named
from harness.models.replica.catalogue import BuiltReplicas, Replicas, described, needed_bytes, replica_key
from harness.models.voices import read_voices

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from harness.models.verify import Verification


@dataclass(frozen=True, slots=True, kw_only=True)
class Details:
    """All that `models show` tells of a model that is here."""

    files: ModelFiles
    graph: GraphFacts
    voices: tuple[str, ...]
    parent_name: str
    made_with: dict[str, str]
    facts: dict[str, str]
    """What was seen while it was made, such as its nodes before and after: name → text."""
    licences: tuple[Licence, ...]
    source: dict[str, str]
    """Where "model" and "voices" were fetched from: those of the public model that this is or is made from."""
    notice: Path | None
    """The file with the notices of that public model, None if there is none."""


class Catalogue:
    """All models by name: replicas, public files, what is made from them, and any file of the user's."""

    def __init__(
        self,
        *,
        cache: Cache | None = None,
        replicas: Replicas | None = None,
        base_url: str = public.BASE_URL,
        calibration_texts: Callable[[], Iterable[str]] | None = None,
    ) -> None:
        self.cache = cache or Cache()
        self.replicas = replicas or BuiltReplicas()
        self.examiner = Examiner(self.cache.root / "graphs")
        self._base_url = base_url
        self._calibration_texts = calibration_texts

    def names(self) -> tuple[str, ...]:
        """Every name that is listed: originals first, then what is or can be quantised from them."""
        originals = (*self.replicas.names(), *public.BY_NAME, *dequantised_names())
        derived = (derived_name(base, recipe) for base in originals for recipe in BY_SUFFIX.values())
        here = (manifest.variant.name for manifest in self.cache.manifests())
        return tuple(dict.fromkeys((*originals, *derived, *here)))

    def resolve(
        self,
        name_or_path: str | Path,
        voices: Path | None = None,
        *,
        build: bool = True,
        report: Report = silent,
    ) -> ModelFiles:
        """The files of a model, by its name or its path.

        A replica or quantised model that is absent is made where `build` allows; a public file must have been
        fetched. `voices` replaces the model's own, and is needed for a file that the catalogue does not know. Raises
        ModelError, one line with a remedy, for whatever cannot be measured with.
        """
        path = as_path(name_or_path)
        if path is not None:
            return self._own(path, voices)
        name = str(name_or_path)
        files = self._named(name, build=build, report=report)
        if files is None:
            raise ModelError(f"no model {name!r}", where="--model", remedy=nearest(name, self.names()))
        return files if voices is None else self._with_voices(files, voices)

    def build(self, name: str, *, report: Report = silent) -> ModelFiles:
        """The model of that name, made anew where its files are damaged."""
        return self._named(name, build=True, report=report, repair=True) or self.resolve(name)

    def obtain(
        self,
        name: str,
        *,
        sources: Sequence[Source] = EVERY_SOURCE,
        progress: Progress = unwatched,
        report: Report = silent,
    ) -> ModelFiles:
        """A public model and its voices: from the cache, or else from the first source that has them.

        Raises ModelError with the reason of each source.
        """
        model = public.BY_NAME.get(name)
        if model is None:
            made_here = name in self.names()
            remedy = f"it is made here: kokoro-bench models build {name}" if made_here else ""
            raise ModelError(f"no public model {name!r}", remedy=remedy or nearest(name, tuple(public.BY_NAME)))
        if Source.INDEX in sources and len(sources) == 1 and not model.parts:
            known = ", ".join(each.name for each in public.PUBLIC if each.parts)
            raise ModelError(f"the package index has no {name}", remedy=f"--from release; the index has {known}")
        return obtain(
            model, cache=self.cache, sources=sources, progress=progress, report=report, base_url=self._base_url
        )

    def quantise(
        self,
        name_or_path: str | Path,
        recipe_name: str,
        *,
        voices: Path | None = None,
        texts: Iterable[str] | None = None,
        report: Report = silent,
    ) -> ModelFiles:
        """The variant of a model by a recipe; `texts` calibrate the recipes that need it."""
        recipe = recipe_named(recipe_name)
        parent = self.resolve(name_or_path, voices, report=report)
        return self._derive(parent, recipe, derived_name(parent.variant.name, recipe), report=report, texts=texts)

    def optimise(
        self, name_or_path: str | Path, recipe_name: str, *, voices: Path | None = None, report: Report = silent
    ) -> ModelFiles:
        """The graph of a model by a graph recipe: it computes the same."""
        recipe = graph_recipe_named(recipe_name)
        parent = self.resolve(name_or_path, voices, report=report)
        return self._derive(parent, recipe, derived_name(parent.variant.name, recipe), report=report)

    def entries(self) -> tuple[Entry, ...]:
        """What `models list` shows: every original, here or not, and every derived model that is here."""
        return list_entries(self.cache, self.replicas)

    def show(self, name_or_path: str | Path, voices: Path | None = None) -> Details:
        """What is known of a model that is here. Raises ModelError for one that is not."""
        files = self.resolve(name_or_path, voices, build=False)
        manifest = self.cache.by_digest(files.variant.sha256)
        parent = self.cache.by_digest(files.variant.parent) if files.variant.parent else None
        fetched = self._fetched(manifest)
        notice = notice_file(self.cache.files(fetched).model_path) if fetched else None
        return Details(
            files=files,
            graph=self.examiner.graph(files.model_path, files.variant.sha256),
            voices=read_voices(files.voices_path),
            parent_name=parent.variant.name if parent else "",
            made_with=manifest.made_with if manifest else {},
            facts=manifest.facts if manifest else {},
            licences=notices(files.variant),
            source={
                key: fetched.made_with[where]
                for key, where in (("model", MODEL_FROM), ("voices", VOICES_FROM))
                if fetched and where in fetched.made_with
            },
            notice=notice if notice and notice.is_file() else None,
        )

    def _fetched(self, manifest: Manifest | None) -> Manifest | None:
        """The public model that a cached model is or is made from, None if it is none or not here."""
        while manifest is not None and manifest.variant.origin != "public":
            manifest = self.cache.by_digest(manifest.variant.parent)
        return manifest

    def verify(self, name_or_path: str | Path, voices: Path | None = None) -> "Verification":
        """Hash a model anew, parse it, look at its voices and let it speak; nothing that is remembered is trusted.

        Raises ModelError only where there is nothing to verify.
        """
        from harness.models.verify import verify

        model, voices_path, manifest = self._locate(name_or_path, voices)
        expected = manifest.variant.sha256 if manifest else ""
        parent = self.cache.by_digest(manifest.variant.parent) if manifest else None
        files = self.cache.files(parent) if parent is not None else None
        return verify(model, voices_path, expected=expected, parent=files)

    def _locate(self, name_or_path: str | Path, voices: Path | None = None) -> tuple[Path, Path, Manifest | None]:
        """Where a model's files should be and what they should be, without a look into them."""
        path = as_path(name_or_path)
        if path is not None:
            known = self.cache.by_digest(self.cache.digests.of(path))
            return path, self._voices_for(path, voices, known), known
        manifest = self.recorded(str(name_or_path))
        if manifest is None:
            files = self.resolve(name_or_path, voices, build=False)
            return files.model_path, files.voices_path, None
        files = self.cache.files(manifest)
        return files.model_path, voices or files.voices_path, manifest

    def _named(self, name: str, *, build: bool, report: Report, repair: bool = False) -> ModelFiles | None:
        if name in public.BY_NAME:
            return self._sound(self.cache.find(name), name, remedy=f"kokoro-bench models fetch {name}")
        recipe = self.replicas.recipe(name)
        if recipe is not None:
            key = replica_key(recipe)
            if (self.cache.find(key) and not repair) or not build:
                return self._sound(self.cache.find(key), name, remedy=f"kokoro-bench models build {name}")
            plan = Plan(
                key=key,
                variant=ModelVariant(name=recipe.name, sha256="", size=0, origin="replica", recipe=described(recipe)),
                needed=needed_bytes(recipe),
                made_with=tool_versions(),
            )

            def write(work: Path) -> None:
                report(f"building {name}")
                self.replicas.build(recipe, model=work / MODEL, voices=work / VOICES)

            return self.cache.make(plan, write, report)
        if eight_bit := dequantised_from(name):
            return self._dequantised(eight_bit, name, build=build, report=report, repair=repair)
        for base, derivation in derivations(name):
            parent = self._named(base, build=build, report=report, repair=repair)
            if parent is not None:
                return self._derive(parent, derivation, name, report=report, build=build, repair=repair)
        manifest = self.recorded(name)
        return self._sound(manifest, name, remedy="kokoro-bench models quantise") if manifest else None

    def _dequantised(self, eight_bit: str, name: str, *, build: bool, report: Report, repair: bool) -> ModelFiles:
        """The 32-bit original of a public 8-bit model, which must be here."""
        parent = self._named(eight_bit, build=build, report=report)
        assert parent is not None  # noqa: S101 - for the type checker: a public name is known
        manifest = self.cache.find(dequantise.cache_key(name, parent))
        if not build or (manifest and not repair):
            files = self._sound(manifest, name, remedy=f"kokoro-bench models build {name}")
            return replace(files, voices_path=parent.voices_path)
        return dequantise.dequantise(parent, cache=self.cache, name=name, report=report)

    def _derive(
        self,
        parent: ModelFiles,
        recipe: Recipe,
        name: str,
        *,
        report: Report,
        build: bool = True,
        repair: bool = True,
        texts: Iterable[str] | None = None,
    ) -> ModelFiles:
        derive.refuse(parent.variant, recipe, name)
        feeds: tuple[dict[str, NDArray[Any]], ...] = ()
        if recipe.calibrated:
            feeds = self._feeds(parent, recipe, texts)
        key = derive.cache_key(name, parent, recipe, feeds)
        manifest = self.cache.find(key)
        if not build or (manifest and not repair):
            command = derive.command(parent.variant.name, recipe)
            files = self._sound(manifest, name, remedy=command)
            return replace(files, voices_path=parent.voices_path)
        return derive.derive(parent, recipe, cache=self.cache, name=name, feeds=feeds, report=report)

    def _feeds(
        self, parent: ModelFiles, recipe: Recipe, texts: Iterable[str] | None
    ) -> "tuple[dict[str, NDArray[Any]], ...]":
        if texts is None and self._calibration_texts is not None:
            texts = self._calibration_texts()
        if texts is None:
            raise ModelError(
                f"{recipe.name} learns its scales from real syntheses, and there are no texts for them",
                where=parent.variant.name,
                remedy="give calibration texts",
            )
        graph = self.examiner.graph(parent.model_path, parent.variant.sha256)
        return calibration_feeds(parent, graph, texts)

    def _own(self, path: Path, voices: Path | None) -> ModelFiles:
        """A file of the user's. A digest that nobody has seen before is as good as any other."""
        _check_file(path)
        sha256 = self.cache.digests.of(path)
        graph = self.examiner.graph(path, sha256)
        check_face(path, graph)
        external = [path.parent / name for name in sorted(graph.external)]
        known = self.cache.by_digest(sha256)
        voices = self._voices_for(path, voices, known)
        read_voices(voices)
        size = sum(file.stat().st_size for file in (path, *external))
        if known is not None:
            self.cache.note_use(known)
            variant = known.variant
        elif sha256 in public.BY_SHA256:
            model = public.BY_SHA256[sha256]
            variant = ModelVariant(name=model.name, sha256=sha256, size=size, origin="public", recipe=model.meaning)
        else:
            sha256 = joined_digest([sha256, *(self.cache.digests.of(file) for file in external)])
            name = f"{label_of(str(path))}-{sha256[:8]}"
            variant = ModelVariant(name=name, sha256=sha256, size=size, origin="user")
        variant = replace(variant, voices_sha256=self.cache.digests.of(voices))
        return ModelFiles(variant=variant, model_path=path.absolute(), voices_path=voices.absolute())

    def content_digest(self, path: Path) -> str:
        """The SHA-256 (hex) of a model file and the files of its weights. ModelError where it is not there."""
        _check_file(path)
        sha256 = self.cache.digests.of(path)
        external = sorted(self.examiner.graph(path, sha256).external)
        return joined_digest([sha256, *(self.cache.digests.of(path.parent / name) for name in external)])

    def _with_voices(self, files: ModelFiles, voices: Path) -> ModelFiles:
        read_voices(voices)
        variant = replace(files.variant, voices_sha256=self.cache.digests.of(voices))
        return replace(files, variant=variant, voices_path=voices.absolute())

    def _voices_for(self, path: Path, voices: Path | None, known: Manifest | None) -> Path:
        if voices is not None:
            return voices
        if known is not None:
            return self.cache.files(known).voices_path
        raise ModelError("a model file needs its voices", where=str(path), remedy="add --voices FILE")

    def _sound(self, manifest: Manifest | None, name: str, *, remedy: str) -> ModelFiles:
        if manifest is None:
            raise ModelError(f"{name} is not here", remedy=remedy)
        if damage := self.cache.damage(manifest):
            raise ModelError(f"{name} is damaged: {damage}", where=str(self.cache.models), remedy=remedy)
        self.cache.note_use(manifest)
        return self.cache.files(manifest)

    def recorded(self, name: str) -> Manifest | None:
        """What the cache knows of the model of that name; None if it is not here."""
        recipe = self.replicas.recipe(name)
        if recipe is not None:
            return self.cache.find(replica_key(recipe))
        if (eight_bit := dequantised_from(name)) and (known := self.recorded(eight_bit)):
            return self.cache.find(dequantise.cache_key(name, self.cache.files(known)))
        for base, derivation in derivations(name):
            parent = self.recorded(base)
            if parent is not None and not derivation.calibrated:
                return self.cache.find(derive.cache_key(name, self.cache.files(parent), derivation))
        return next((one for one in self.cache.manifests() if one.variant.name == name), None)


def _check_file(path: Path) -> None:
    if not path.is_file():
        raise ModelError("no such model file", where=str(path), remedy="check the path given with --model")
