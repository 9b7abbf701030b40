"""Where models live: a folder in which every model is complete or absent.

A model is there when its manifest is: the manifest is written last, and everything before it happens in a working
folder that belongs to whoever holds the model's lock. The operating system releases the lock of a process that dies,
so a killed build blocks nobody, and the next builder sweeps what it left.
"""

import contextlib
import errno
import os
import shutil
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

import msgspec

from harness.core.cache_root import ROOT_VARIABLE, default_root
from harness.core.errors import ModelError
from harness.core.files import move_durably
from harness.core.native_imports import version_of
from harness.core.record_files import read_record
from harness.core.records.scenario import ModelVariant
from harness.models.files import Digests, ModelFiles, Report, sha256_of

FORMAT = 1
"""Version of the manifests. 1: the first."""
MODEL = "model.onnx"
ORT_MODEL = "model.ort"
"""The model in ONNX Runtime's own format, in place of `MODEL`."""
VOICES = "voices.npz"
_WORK = ".building-"
_VOICES_END = ".voices.npz"
_ENDS = (".onnx", ".ort", _VOICES_END)


@dataclass(frozen=True, slots=True, kw_only=True)
class Manifest:
    """What the cache knows of one model.

    `model` is a file name in the models folder; `voices` is one too, or the absolute path of a file that is not the
    cache's; `made_with` are the versions of the packages that made it. `facts` is what was seen while it was made:
    name → text.
    """

    variant: ModelVariant
    model: str
    voices: str
    made_with: dict[str, str]
    format: int = FORMAT
    facts: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """A model to be made: its key in the cache, what is known of it beforehand, and the room that making it takes.

    `voices` is the file that it speaks with, None when the builder writes one. `needed` is in bytes; `made_with` are
    the versions of the packages that make it.
    """

    key: str
    variant: ModelVariant
    needed: int
    voices: Path | None = None
    made_with: dict[str, str] = field(default_factory=dict)


def tool_versions() -> dict[str, str]:
    """Versions of the two packages that make models, without importing them."""
    return {name: version_of(name) for name in ("onnx", "onnxruntime")}


class Cache:
    """The models folder, its manifests, locks and remembered digests."""

    def __init__(self, root: Path | None = None) -> None:
        self.root = root or default_root()
        self.models = self.root / "models"
        self.digests = Digests(self.root / "digests")

    def manifest_file(self, key: str) -> Path:
        """Where the manifest of `key` is. Its time stamp says when the model was last used."""
        return self.models / f"{key}.json"

    def used_at(self, manifest: Manifest) -> float:
        """When a model was last used, or made (seconds since the epoch); 0 if its manifest is gone."""
        try:
            return self.manifest_file(Path(manifest.model).stem).stat().st_mtime
        except OSError:
            return 0.0

    def note_use(self, manifest: Manifest) -> None:
        """Note that a model is used now. A cache that cannot be written keeps what it knows."""
        with contextlib.suppress(OSError):
            os.utime(self.manifest_file(Path(manifest.model).stem))

    def find(self, key: str) -> Manifest | None:
        """The manifest of `key`; None where the model is absent, or recorded in a way that we cannot read."""
        manifest = read_record(self.manifest_file(key), Manifest)
        return manifest if manifest is not None and manifest.format == FORMAT else None

    def manifests(self) -> tuple[Manifest, ...]:
        """All models that are here, by name."""
        found = (self.find(path.stem) for path in self.models.glob("[!.]*.json"))
        return tuple(sorted((one for one in found if one is not None), key=lambda one: one.variant.name))

    def by_digest(self, sha256: str) -> Manifest | None:
        """The model of that digest, None where it is not here (or `sha256` is "")."""
        return next((one for one in self.manifests() if one.variant.sha256 == sha256), None)

    def files(self, manifest: Manifest) -> ModelFiles:
        """Where the files of a model are; an absolute `voices` stays what it is."""
        return ModelFiles(
            variant=manifest.variant,
            model_path=self.models / manifest.model,
            voices_path=self.models / manifest.voices,
        )

    def damage(self, manifest: Manifest) -> str:
        """What is wrong with the files of a model, "" when they are what was made or fetched.

        A voices file outside the cache is the user's to change and is not looked at.
        """
        files = self.files(manifest)
        expected = [(files.model_path, manifest.variant.sha256)]
        if files.voices_path.parent == self.models:
            expected.append((files.voices_path, manifest.variant.voices_sha256))
        for path, sha256 in expected:
            if not path.is_file():
                return f"{path.name} is gone"
            size = path.stat().st_size
            if path == files.model_path and size != manifest.variant.size:
                return f"{path.name} has {size:,} bytes and should have {manifest.variant.size:,}"
            found = self.digests.of(path)
            if found != sha256:
                return f"{path.name} has the SHA-256 {found[:12]}… and should have {sha256[:12]}…"
        return ""

    def make(self, plan: Plan, build: Callable[[Path], Mapping[str, str] | None], report: Report) -> ModelFiles:
        """The model of `plan`, made by `build(folder)` unless it is already here and sound.

        `build` writes `MODEL` (or `ORT_MODEL`), and `VOICES` where the plan names none, into the folder that it is
        given, and may return facts for the manifest. Two
        processes that want the same model share one build: the second waits and finds it done. Raises ModelError
        where there is no room or no permission, and whatever `build` raises.
        """
        if (files := self._sound(plan.key)) is not None:
            return files
        with self.explained_os_errors(), self.locked(plan.key, report):
            if (files := self._sound(plan.key)) is not None:
                return files
            self.sweep(holding=plan.key)
            self.require(plan.needed, what=plan.variant.name)
            self.manifest_file(plan.key).unlink(missing_ok=True)
            with self.working_folder(plan.key) as work:
                return self._admit(plan, work, facts=build(work))

    def admit(self, plan: Plan, work: Path) -> ModelFiles:
        """Take finished files from `work`, a folder on the cache's disk, under their final names.

        The caller holds the lock of `plan.key`.
        """
        with self.explained_os_errors():
            return self._admit(plan, work)

    def _admit(self, plan: Plan, work: Path, *, facts: Mapping[str, str] | None = None) -> ModelFiles:
        built = work / (ORT_MODEL if (work / ORT_MODEL).exists() else MODEL)
        model = self.models / f"{plan.key}{built.suffix}"
        voices = self.models / f"{plan.key}{_VOICES_END}" if plan.voices is None else plan.voices.absolute()
        variant = replace(
            plan.variant,
            sha256=sha256_of(built),
            size=built.stat().st_size,
            voices_sha256=sha256_of(work / VOICES if plan.voices is None else voices),
        )
        move_durably(built, model)
        if plan.voices is None:
            move_durably(work / VOICES, voices)
            self.digests.remember(voices, sha256=variant.voices_sha256)
        self.digests.remember(model, sha256=variant.sha256)
        manifest = Manifest(
            variant=variant,
            model=model.name,
            voices=voices.name if voices.parent == self.models else str(voices),
            made_with=plan.made_with,
            facts=dict(facts or {}),
        )
        written = work / "manifest.json"
        written.write_bytes(msgspec.json.format(msgspec.json.encode(manifest)))
        move_durably(written, self.manifest_file(plan.key))
        return self.files(manifest)

    def _sound(self, key: str) -> ModelFiles | None:
        manifest = self.find(key)
        if manifest is None or self.damage(manifest):
            return None
        self.note_use(manifest)
        return self.files(manifest)

    @contextlib.contextmanager
    def locked(self, key: str, report: Report) -> Iterator[None]:
        """Hold the lock of one model; the death of its holder releases it."""
        from filelock import FileLock, Timeout

        with self.explained_os_errors():
            self.models.mkdir(parents=True, exist_ok=True)
            (self.root / "locks").mkdir(exist_ok=True)
            lock = FileLock(self.root / "locks" / f"{key}.lock")
            try:
                lock.acquire(timeout=0)
            except Timeout:
                report(f"waiting for another process that is making {key}")
                lock.acquire()
        try:
            yield
        finally:
            lock.release()

    @contextlib.contextmanager
    def working_folder(self, key: str) -> Iterator[Path]:
        """An empty folder beside the models, for the holder of the lock of `key`; gone afterwards."""
        work = self.models / f"{_WORK}{key}"
        shutil.rmtree(work, ignore_errors=True)
        work.mkdir(parents=True, exist_ok=True)
        try:
            yield work
        finally:
            shutil.rmtree(work, ignore_errors=True)

    def sweep(self, *, holding: str = "") -> None:
        """Remove what dead builders left: what belongs to a lock that is free, or to ours (`holding`).

        That is a working folder, or files that got their names when the manifest had not been written yet.
        """
        from filelock import FileLock, Timeout

        for key in self._unfinished():
            if key == holding:
                self._clear(key)
                continue
            with contextlib.suppress(Timeout), FileLock(self.root / "locks" / f"{key}.lock", timeout=0):
                self._clear(key)

    def _unfinished(self) -> set[str]:
        keys = {path.name.removeprefix(_WORK) for path in self.models.glob(f"{_WORK}*")}
        named = {path.name.removesuffix(end) for end in _ENDS for path in self.models.glob(f"[!.]*{end}")}
        return keys | {key for key in named if not self.manifest_file(key).exists()}

    def _clear(self, key: str) -> None:
        """Remove all of `key` but a finished model; the caller holds its lock."""
        shutil.rmtree(self.models / f"{_WORK}{key}", ignore_errors=True)
        if not self.manifest_file(key).exists():  # it may have been finished since we looked
            for end in _ENDS:
                (self.models / f"{key}{end}").unlink(missing_ok=True)

    def require(self, needed: int, *, what: str) -> None:
        """Raise ModelError unless the cache's disk has `needed` bytes free."""
        free = shutil.disk_usage(self.models).free
        if free < needed:
            raise ModelError(
                f"{what} needs {needed / 1e6:,.1f} MB of disk and {free / 1e6:,.1f} MB are free",
                where=str(self.models),
                remedy=_NO_ROOM,
            )

    @contextlib.contextmanager
    def explained_os_errors(self) -> Iterator[None]:
        """Turn a full, read-only or misplaced cache into a ModelError; other errors of the system pass."""
        try:
            yield
        except OSError as error:
            remedy = _REMEDIES.get(error.errno or 0)
            if remedy is None:
                raise
            where = str(error.filename or self.models)
            raise ModelError(f"cannot write: {error.strerror}", where=where, remedy=remedy) from error


_NO_ROOM = f"free some space, or set {ROOT_VARIABLE} to a folder on another disk"
_NO_RIGHT = f"set {ROOT_VARIABLE} to a folder that you may write to"
_REMEDIES = dict.fromkeys((errno.ENOSPC, errno.EDQUOT), _NO_ROOM) | dict.fromkeys(
    (errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOTDIR, errno.EEXIST), _NO_RIGHT
)
