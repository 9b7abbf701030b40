"""Makes a 32-bit original from a published 8-bit file. It enters the cache only if it synthesises speech.

Its weights have the values of the 8-bit file, so that file can be compared with it: the two differ only in integer or
float arithmetic. It is not the published 32-bit file, whose weights were never rounded to 8 bits.
"""

from pathlib import Path

from harness.core.native_imports import version_of
from harness.core.records.scenario import DEQUANTISED
from harness.models.cache import Cache
from harness.models.derived import Making, derived_key, make_derived
from harness.models.files import ModelFiles, Report, silent
from harness.models.jobs import Dequantise, Job

VERSION = 1
"""Increase it when the same 8-bit file gives a different 32-bit file."""
LARGEST_RATIO = 4
"""Bytes of a float for each byte of an 8-bit weight."""


def tool_versions() -> dict[str, str]:
    """Versions of the packages on which the file's bytes depend, without importing them."""
    return {name: version_of(name) for name in ("onnx", "onnx-ir", "numpy")}


def cache_key(name: str, parent: ModelFiles) -> str:
    """The model's key in the cache. It changes with the parent's content, `VERSION` and the tools."""
    return derived_key(name, {"parent": parent.variant.sha256, "version": VERSION, "tools": tool_versions()})


def dequantise(parent: ModelFiles, *, cache: Cache, name: str, report: Report = silent) -> ModelFiles:
    """The 32-bit original of `parent`, from the cache or newly made.

    Raises ModelError if an integer operator cannot be replaced (the error names its node), or if the result does not
    load or synthesise.
    """
    recipe = f"32-bit floats dequantised from the 8-bit file {parent.variant.name}; not the published 32-bit file"
    origin = f"{recipe} (SHA-256 of the 8-bit file: {parent.variant.sha256})"

    def job(target: Path) -> Job:
        return Job(dequantise=Dequantise(source=str(parent.model_path), target=str(target), origin=origin))

    making = Making(
        name=name,
        key=cache_key(name, parent),
        origin=DEQUANTISED,
        recipe=recipe,
        tools=tool_versions(),
        room=LARGEST_RATIO,
        job=job,
        doing=f"making {name}: {recipe}",
        done="{replaced}",
        what=f"dequantising {parent.variant.name}",
        remedy="try other versions of these packages",
        keeps_facts=False,
    )
    return make_derived(parent, making, cache=cache, report=report)
