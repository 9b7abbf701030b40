"""The licences of Kokoro's weights and of its ONNX export, for what shows where a model comes from."""

from dataclasses import dataclass

from harness.core.records.scenario import DEQUANTISED, ModelVariant
from harness.models.public import BY_SHA256


@dataclass(frozen=True, slots=True, kw_only=True)
class Licence:
    """The licence of a part of a model: `part` says of what, `name` is the SPDX identifier."""

    part: str
    holder: str
    name: str

    @property
    def sentence(self) -> str:
        """The notice in one line."""
        return f"{self.part} by {self.holder}, {self.name}"


KOKORO = (
    Licence(part="weights and voices of Kokoro-82M", holder="hexgrad", name="Apache-2.0"),
    Licence(part="ONNX export (kokoro-onnx)", holder="thewh1teagle", name="MIT"),
)


def notices(variant: ModelVariant) -> tuple[Licence, ...]:
    """The licences of a public model and of what was made from one; () for replicas and for files of the user's."""
    made_here = variant.origin in (DEQUANTISED, "quantised")
    public = variant.origin == "public" or variant.sha256 in BY_SHA256 or variant.parent in BY_SHA256
    # Of a variant of a variant the parent is no public file, but the name begins with that of one.
    return KOKORO if public or (made_here and variant.name.startswith("kokoro-v1.")) else ()
