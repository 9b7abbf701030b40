"""`models prune`: what is removed from the cache, what stays and why, and that nothing goes without --yes."""

import os
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from filelock import FileLock

from harness.core.cache_root import ROOT_VARIABLE
from harness.core.records.reference import LoadedSubject, Reference, ReferenceArm
from harness.core.records.scenario import ModelVariant
from harness.measure.system.lock import Place
from harness.measure.system.machine import identify
from harness.models.cache import MODEL, VOICES, Cache, Plan
from harness.models.catalogue import Catalogue
from harness.models.files import ModelFiles, silent
from harness.store.reference_file import write
from tests.conftest import Command

DAY_S = 86_400
Made = Callable[..., ModelFiles]
Prune = Callable[..., str]


@pytest.fixture
def cache(tmp_path: Path) -> Cache:
    return Cache(tmp_path / "cache")


@pytest.fixture
def made(cache: Cache) -> Made:
    """Put a model into the cache that was last used some days ago."""

    def make(
        name: str, *, days: float, origin: str = "quantised", parent: str = "", voices: Path | None = None
    ) -> ModelFiles:
        variant = ModelVariant(name=name, sha256="", size=0, origin=origin, parent=parent)
        plan = Plan(key=name, variant=variant, needed=0, voices=voices)
        with cache.locked(name, silent), cache.working_folder(name) as work:
            (work / MODEL).write_bytes(name.encode() * 100_000)
            if voices is None:
                (work / VOICES).write_bytes(b"voices of " + name.encode())
            files = cache.admit(plan, work)
        then = time.time() - days * DAY_S
        os.utime(cache.manifest_file(name), (then, then))
        return files

    return make


@pytest.fixture
def prune(here: Command, cache: Cache) -> Prune:
    def run(*options: str, code: int = 0) -> str:
        found = here("models", "prune", *options, **{ROOT_VARIABLE: str(cache.root)})
        assert found.returncode == code, found.stderr
        return found.stdout if code == 0 else found.stderr

    return run


def left(cache: Cache) -> list[str]:
    return [each.variant.name for each in cache.manifests()]


def accept(folder: Path, **digests: str) -> None:
    """A reference that has accepted a model with these digests."""
    of_subject = {"model_sha256": "ab" * 32, "voices_sha256": "", **digests}
    parent = of_subject.pop("model_parent", "")
    subject = LoadedSubject(
        engine="kokoro", engine_version="1", engine_source="", interpreter="CPython 3.11.7", packages=(),
        provider="cpu", threads=0, **of_subject,
    )  # fmt: skip
    arm = ReferenceArm(
        arm_id="a", subject=subject, model_parent=parent, run="r", date="2026-01-02", scenarios=("a/whole/chars-12",)
    )
    write(folder, Reference(arms=(arm,)))


def test_what_nobody_uses_is_listed_with_its_size_and_stays(cache: Cache, made: Made, prune: Prune) -> None:
    made("unused", days=31)
    made("used", days=29)
    shown = prune()
    (row,) = [line for line in shown.splitlines() if line.strip().startswith("unused")]
    assert "0.6 MB" in row
    assert "used lately" not in row
    (row,) = [line for line in shown.splitlines() if line.strip().startswith("used ")]
    assert "used lately" in row
    assert "1 of them (0.6 MB) need not be kept: `kokoro-bench models prune --yes` removes them" in shown
    assert left(cache) == ["unused", "used"]


def test_with_yes_its_files_are_removed_and_no_others(cache: Cache, made: Made, prune: Prune) -> None:
    unused, used = made("unused", days=31), made("used", days=29)
    shown = prune("--yes")
    assert shown.splitlines() == ["removed unused (0.6 MB)", "0.6 MB are free again"]
    assert left(cache) == ["used"]
    assert [each.exists() for each in (unused.model_path, unused.voices_path)] == [False, False]
    assert [each.exists() for each in (used.model_path, used.voices_path)] == [True, True]
    assert prune("--yes") == "nothing to remove\n"


def test_ages_are_chosen_and_all_takes_what_nobody_needs(cache: Cache, made: Made, prune: Prune) -> None:
    for name, days in (("old", 8), ("new", 0)):
        made(name, days=days)
    assert "`kokoro-bench models prune --older-than 7 --yes`" in prune("--older-than", "7")
    prune("--older-than", "7", "--yes")
    assert left(cache) == ["new"]
    assert "`kokoro-bench models prune --all --yes`" in prune("--all")
    prune("--all", "--yes")
    assert left(cache) == []


def test_what_the_reference_accepts_stays_with_what_it_was_made_of(
    cache: Cache, made: Made, prune: Prune, tmp_path: Path
) -> None:
    original = made("original", days=99, origin="replica")
    accepted = made("accepted", days=99, parent=original.variant.sha256, voices=original.voices_path)
    made("other", days=99)
    accept(tmp_path / "baselines", model_sha256=accepted.variant.sha256)
    shown = prune("--all", "--yes")
    assert "removed other" in shown
    assert left(cache) == ["accepted", "original"]
    reasons = prune("--all")
    assert "accepted in reference.toml" in reasons
    assert "accepted needs it" in reasons


@pytest.mark.parametrize("what", ["model_sha256", "voices_sha256", "model_parent"])
def test_each_digest_of_the_reference_counts(cache: Cache, made: Made, prune: Prune, tmp_path: Path, what: str) -> None:
    variant = made("accepted", days=99).variant
    digest = variant.voices_sha256 if what == "voices_sha256" else variant.sha256
    accept(tmp_path / "elsewhere", **{what: digest})
    prune("--all", "--yes", "--baselines", "elsewhere")
    assert left(cache) == ["accepted"]
    prune("--all", "--yes")
    assert left(cache) == []


def test_what_is_measured_by_default_or_named_in_the_configuration_stays(
    cache: Cache, made: Made, prune: Prune, tmp_path: Path
) -> None:
    made("kokoro-v1.0", days=99, origin="public")
    made("mine", days=99)
    made("other", days=99)
    (tmp_path / "pyproject.toml").write_text('[tool.kokoro-bench]\nmodel = ["mine"]\n')
    prune("--all", "--yes")
    assert left(cache) == ["kokoro-v1.0", "mine"]
    shown = prune()
    assert "measured by default" in shown
    assert "named by model (" in shown


def test_what_a_model_in_use_was_made_of_stays(cache: Cache, made: Made, prune: Prune) -> None:
    original = made("original", days=99, origin="replica")
    half = made("half", days=99, parent=original.variant.sha256, voices=original.voices_path)
    made("quarter", days=1, parent=half.variant.sha256, voices=original.voices_path)
    assert prune("--yes") == "nothing to remove\n"
    assert left(cache) == ["half", "original", "quarter"]


def test_what_is_made_of_models_is_removed_when_it_is_old(cache: Cache, made: Made, prune: Prune) -> None:
    digest = made("used", days=1).variant.sha256
    old, new = (cache.root / "windows" / name for name in (f"{digest[:32]}-3", f"{'ab' * 16}-3"))
    for folder, days in ((old, 40), (new, 2)):
        folder.mkdir(parents=True)
        (folder / "sound.onnx").write_bytes(b"x" * 2_000_000)
        os.utime(folder, (time.time() - days * DAY_S,) * 2)
    (cache.models / ".parts-ab").mkdir()
    os.utime(cache.models / ".parts-ab", (0, 0))
    shown = prune()
    assert "halves of used" in shown
    assert "download that came to no end" in shown
    assert "removed halves of used (2.0 MB)" in prune("--yes")
    assert (old.exists(), new.exists()) == (False, True)
    assert not (cache.models / ".parts-ab").exists()
    assert left(cache) == ["used"]


def test_nothing_is_removed_while_something_is_measured(cache: Cache, made: Made, prune: Prune) -> None:
    made("unused", days=31)
    lock = Place(root=cache.root, machine_key=identify().key).lock
    lock.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(lock):
        assert "measures on this machine — wait for it to end" in prune("--yes", code=2)
        assert "unused" in prune()
    assert left(cache) == ["unused"]


def test_nothing_is_removed_where_the_reference_cannot_be_read(
    cache: Cache, made: Made, prune: Prune, tmp_path: Path
) -> None:
    made("unused", days=31)
    (tmp_path / "baselines").mkdir()
    (tmp_path / "baselines" / "reference.toml").write_text("format = ")
    assert "reference.toml" in prune("--yes", code=2)
    assert left(cache) == ["unused"]


def test_a_model_that_is_resolved_is_in_use(cache: Cache, made: Made, prune: Prune) -> None:
    files = made("mine", days=31)
    Catalogue(cache=cache).resolve("mine", build=False)
    assert files.model_path.exists()
    assert prune("--yes") == "nothing to remove\n"
