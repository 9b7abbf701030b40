"""The licences of Kokoro's weights and of its ONNX export, for what shows where a model comes from."""

from dataclasses import dataclass
from pathlib import Path

from harness.core.records.scenario import DEQUANTISED, OPTIMISED, ModelVariant
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


MIT_NOTICE = (
    "MIT License\n"
    "\n"
    "Copyright (c) 2025 github.com/thewh1teagle\n"
    "\n"
    "Permission is hereby granted, free of charge, to any person obtaining a copy of this software and\n"
    'associated documentation files (the "Software"), to deal in the Software without restriction,\n'
    "including without limitation the rights to use, copy, modify, merge, publish, distribute,\n"
    "sublicense, and/or sell copies of the Software, and to permit persons "
    "to whom the Software is\n"  # codespell:ignore whom
    "furnished to do so, subject to the following conditions:\n"
    "\n"
    "The above copyright notice and this permission notice shall be included in all copies or substantial\n"
    "portions of the Software.\n"
    "\n"
    'THE SOFTWARE IS PROVIDED "AS IS", WITHOUT WARRANTY OF ANY KIND, EXPRESS OR IMPLIED, INCLUDING BUT\n'
    "NOT LIMITED TO THE WARRANTIES OF MERCHANTABILITY, FITNESS FOR A PARTICULAR PURPOSE AND\n"
    "NONINFRINGEMENT. IN NO EVENT SHALL THE AUTHORS OR COPYRIGHT HOLDERS BE LIABLE FOR ANY CLAIM, DAMAGES\n"
    "OR OTHER LIABILITY, WHETHER IN AN ACTION OF CONTRACT, TORT OR OTHERWISE, ARISING FROM, OUT OF OR IN\n"
    "CONNECTION WITH THE SOFTWARE OR THE USE OR OTHER DEALINGS IN THE SOFTWARE.\n"
)


def notice_file(model_path: Path) -> Path:
    """The file beside a fetched model that has the notices."""
    return model_path.with_name(f"{model_path.stem}.notices.txt")


def notices(variant: ModelVariant) -> tuple[Licence, ...]:
    """The licences of a public model and of what was made from one; () for replicas and for files of the user's."""
    made_here = variant.origin in (DEQUANTISED, OPTIMISED, "quantised")
    public = variant.origin == "public" or variant.sha256 in BY_SHA256 or variant.parent in BY_SHA256
    # Of a variant of a variant the parent is no public file, but the name begins with that of one.
    return KOKORO if public or (made_here and variant.name.startswith("kokoro-v1.")) else ()
