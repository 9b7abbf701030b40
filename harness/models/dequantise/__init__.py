"""Makes a 32-bit original from a published 8-bit file. It enters the cache only if it synthesises speech.

Its weights have the values of the 8-bit file, so that file can be compared with it: the two differ only in integer or
float arithmetic. It is not the published 32-bit file, whose weights were never rounded to 8 bits.
"""

import hashlib
import json
from dataclasses import replace
from pathlib import Path

from harness.core.native_imports import version_of
from harness.core.records.scenario import DEQUANTISED, ModelVariant
from harness.models.cache import MODEL, Cache, Plan
from harness.models.files import ModelFiles, Report, silent
from harness.models.jobs import Dequantise, Job, Speak, make_with_tools

VERSION = 1
"""Increase it when the same 8-bit file gives a different 32-bit file."""
LARGEST_RATIO = 4
"""Bytes of a float for each byte of an 8-bit weight."""


def recipe_text(parent: str) -> str:
    """The `recipe` of the variant: states its source, and that it is not the published 32-bit file."""
    return f"32-bit floats dequantised from the 8-bit file {parent}; not the published 32-bit file"


def tool_versions() -> dict[str, str]:
    """Versions of the packages on which the file's bytes depend, without importing them."""
    return {name: version_of(name) for name in ("onnx", "onnx-ir", "numpy")}


def cache_key(name: str, parent: ModelFiles) -> str:
    """The model's key in the cache: its name, and a digest of everything on which its bytes depend."""
    fields = {"parent": parent.variant.sha256, "version": VERSION, "tools": tool_versions()}
    digest = hashlib.sha256(json.dumps(fields, sort_keys=True).encode()).hexdigest()
    return f"{name}-{digest[:16]}"


def dequantise(parent: ModelFiles, *, cache: Cache, name: str, report: Report = silent) -> ModelFiles:
    """The 32-bit original of `parent`, from the cache or newly made.

    Raises ModelError if an integer operator cannot be replaced (the error names its node), or if the result does not
    load or synthesise.
    """
    recipe = recipe_text(parent.variant.name)
    plan = Plan(
        key=cache_key(name, parent),
        variant=ModelVariant(
            name=name, sha256="", size=0, origin=DEQUANTISED, recipe=recipe, parent=parent.variant.sha256
        ),
        voices=parent.voices_path,
        needed=parent.variant.size * LARGEST_RATIO,
        made_with=tool_versions(),
    )

    def build(work: Path) -> None:
        report(f"making {name}: {recipe}")
        target = str(work / MODEL)
        origin = f"{recipe} (SHA-256 of the 8-bit file: {parent.variant.sha256})"
        job = Dequantise(source=str(parent.model_path), target=target, origin=origin)
        speak = Speak(model=target, voices=str(parent.voices_path))
        answer = make_with_tools(
            Job(dequantise=job, speak=speak),
            work,
            what=f"dequantising {parent.variant.name}",
            tools=tool_versions(),
            remedy="try other versions of these packages",
        )
        report(f"made {name} in {answer.facts['took_s']:.1f} s: {answer.facts['replaced']}")

    files = cache.make(plan, build, report)
    # The cached model may have been made with another copy of the voices.
    variant = replace(files.variant, voices_sha256=parent.variant.voices_sha256)
    return replace(files, variant=variant, voices_path=parent.voices_path)
