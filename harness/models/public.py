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
        """Where it is downloaded from."""
        return f"{base}/{self.release}/{self.file}"


@dataclass(frozen=True, slots=True, kw_only=True)
class PublicModel:
    """A published model under our name, with the voices that it was published with."""

    name: str
    model: Asset
    voices: Asset
    meaning: str


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
    return PublicModel(name=name, model=asset, voices=_voices(release), meaning=meaning)


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
