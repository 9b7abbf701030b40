"""A public model from the package index and npm, against an index of wheels and an npm of the test's own."""

import base64
import errno
import hashlib
import io
import json
import os
import shutil
import stat
import subprocess
import sys
import tarfile
import zipfile
from collections.abc import Callable
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from harness.core.errors import ModelError
from harness.models import package_index, voice_sources
from harness.models.cache import Cache
from harness.models.obtain import Source, obtain
from harness.models.public import Asset, PackagedFile, PublicModel, VoiceArchive
from harness.models.voices import read_voices

NOWHERE = "http://127.0.0.1:9"
"""A release that nobody serves: the connection is refused at once."""
CUTS = (0, 40_000, 80_000, 100_001)


def digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


@dataclass
class Elsewhere:
    """A package index (a folder of wheels) and an npm with one archive; `model` is what they have."""

    wheels: Path
    npm: Path
    model: PublicModel
    content: bytes

    def get(self, cache: Cache, *sources: Source, said: list[str] | None = None) -> object:
        given = {"sources": sources} if sources else {}
        report: Callable[[str], None] = said.append if said is not None else lambda _: None
        return obtain(self.model, cache=cache, base_url=NOWHERE, pause=lambda _: None, report=report, **given)


def wheel(folder: Path, package: str, path: str, content: bytes, *, version: str = "1.0") -> PackagedFile:
    """Put a wheel with one file into the index."""
    name = package.replace("-", "_")
    info = f"{name}-{version}.dist-info"
    members = {
        path: content,
        f"{info}/METADATA": f"Metadata-Version: 2.1\nName: {package}\nVersion: {version}\n".encode(),
        f"{info}/WHEEL": b"Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        f"{info}/licenses/NOTICE": f"notice of {package}".encode(),
    }
    lines = [
        f"{member},sha256={base64.urlsafe_b64encode(hashlib.sha256(data).digest()).rstrip(b'=').decode()},{len(data)}"
        for member, data in members.items()
    ]
    members[f"{info}/RECORD"] = "\n".join([*lines, f"{info}/RECORD,,"]).encode()
    file = folder / f"{name}-{version}-py3-none-any.whl"
    with zipfile.ZipFile(file, "w") as archive:
        for member, data in members.items():
            archive.writestr(member, data)
    return PackagedFile(
        package=package,
        version=version,
        wheel_sha256=digest(file.read_bytes()),
        path=path,
        size=len(content),
        sha256=digest(content),
    )


def voices(*names: str) -> dict[str, np.ndarray]:
    return {name: np.full((510, 1, 256), index, dtype="<f4") for index, name in enumerate(names)}


@pytest.fixture
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Elsewhere:
    for name in [name for name in os.environ if name.startswith(("UV_", "PIP_")) or name.lower().endswith("_proxy")]:
        monkeypatch.delenv(name)
    wheels, npm = tmp_path / "wheels", tmp_path / "npm"
    wheels.mkdir()
    npm.mkdir()
    for name, value in {"UV_FIND_LINKS": wheels, "UV_NO_INDEX": 1, "UV_CACHE_DIR": tmp_path / "uv"}.items():
        monkeypatch.setenv(name, str(value))
    monkeypatch.setenv("PATH", f"{npm}{os.pathsep}{os.environ['PATH']}")

    every = voices("af_heart", "af_sky", "jf_alpha")
    monkeypatch.setattr(voice_sources, "voice_digests", lambda: {k: digest(v.tobytes()) for k, v in every.items()})
    published = io.BytesIO()
    np.savez(published, **every)
    some = io.BytesIO()
    np.savez(some, jf_alpha=every["jf_alpha"])

    packed = tmp_path / "archive.tgz"
    with tarfile.open(packed, "w:gz") as tar:
        for name, values in every.items():
            member = tarfile.TarInfo(f"package/voices/{name}.bin")
            member.size = values.nbytes
            tar.addfile(member, io.BytesIO(values.tobytes()))
    script = npm / "npm"
    script.write_text(
        "#!/bin/sh\n"
        f"[ -f {npm}/broken ] && echo 'npm error E500 the registry is away' >&2 && exit 1\n"
        'while [ "$1" != --pack-destination ]; do shift; done\n'
        f"cp {packed} \"$2/voices.tgz\" && echo '[{json.dumps({'filename': 'voices.tgz'})}]'\n"
    )
    script.chmod(script.stat().st_mode | stat.S_IXUSR)

    content = np.random.default_rng(1).bytes(CUTS[-1])
    parts = tuple(
        wheel(wheels, f"part-{number}", f"part_{number}/part.bin", content[low:high])
        for number, (low, high) in enumerate(pairwise(CUTS), 1)
    )
    model = PublicModel(
        name="kokoro-test",
        model=Asset(release="r1", file="kokoro.onnx", size=len(content), sha256=digest(content)),
        voices=Asset(release="r1", file="v.bin", size=len(published.getvalue()), sha256=digest(published.getvalue())),
        meaning="for tests",
        parts=parts,
        archive=VoiceArchive(
            package="voices-js", version="1.0", sha256=digest(packed.read_bytes()), folder="package/voices"
        ),
        some_voices=wheel(wheels, "some-voices", "some_voices/v.npz", some.getvalue()),
    )
    return Elsewhere(wheels=wheels, npm=npm, model=model, content=content)


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
    assert any(
        "the npm archive does not serve: npm fails: npm error E500 the registry is away" in line for line in said
    )


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

    def noting(*given: str, what: str, **named: str) -> str:
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


PROGRAMME = """
import sys
from pathlib import Path
from harness.models.cache import Cache
from harness.models import voice_sources
from tests.models import test_obtain as ours
import msgspec
model = msgspec.json.decode(Path(sys.argv[1]).read_bytes(), type=ours.PublicModel)
voice_sources.voice_digests = lambda: msgspec.json.decode(Path(sys.argv[2]).read_bytes())
files = ours.obtain(model, cache=Cache(Path(sys.argv[3])), base_url=ours.NOWHERE, report=print)
print(files.variant.sha256)
"""


def test_two_processes_that_obtain_at_once_end_with_one_model(
    cache: Cache, elsewhere: Elsewhere, tmp_path: Path
) -> None:
    import msgspec

    described, known = tmp_path / "model.json", tmp_path / "known.json"
    described.write_bytes(msgspec.json.encode(elsewhere.model))
    known.write_bytes(msgspec.json.encode(dict(voice_sources.voice_digests())))
    command = [sys.executable, "-c", PROGRAMME, str(described), str(known), str(cache.root)]
    root = Path(__file__).parents[2]
    running = [subprocess.Popen(command, stdout=subprocess.PIPE, encoding="utf-8", cwd=root) for _ in range(2)]
    said = [one.communicate()[0] for one in running]
    assert [one.returncode for one in running] == [0, 0]
    assert all(text.splitlines()[-1] == elsewhere.model.model.sha256 for text in said)
    assert sum("part 1 of 3" in text for text in said) == 1, said
