"""Which models are measured where none is named: Kokoro itself where it can be had, otherwise the replica.

A published fp32 model that is in the cache comes first. Without one, the public 8-bit model is measured against the
fp32 model that is dequantised from it, since these need 63 MB of downloads instead of 325 MB.
"""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from harness.core.errors import ModelError
from harness.models.download import Progress, unwatched
from harness.models.files import Report, silent

if TYPE_CHECKING:
    from harness.models.cache import Cache
    from harness.models.catalogue import Catalogue

PUBLISHED = ("kokoro-v1.0", "kokoro-v1.1")
EIGHT_BIT, DEQUANTISED = "kokoro-v1.0-int8", "kokoro-v1.0-dq"
REPLICA = "replica"
OFFLINE_VARIABLE = "KOKORO_BENCH_OFFLINE"
"""If set, no command downloads a model that the user has not named."""
TAKEN_BY_PUBLIC = "u8"
"""The recipe that is left out where the public 8-bit model takes its place."""

_refused: dict[Path, str] = {}
"""Cache → why this process could not obtain the model. One attempt is enough: each costs seconds."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DefaultModels:
    """An original, and the published model that was quantised from it ("" if there is none).

    `reason` says why the replica is measured instead of Kokoro; "" where Kokoro is measured.
    """

    original: str
    quantised: str = ""
    reason: str = ""

    def names(self, recipes: Sequence[str], *, chosen: bool = False) -> list[str]:
        """The original and its variants by `recipes`.

        The published 8-bit model replaces the recipe `u8`, unless the recipes were `chosen` by a suite.
        """
        if not recipes:
            return [self.original]
        published = [self.quantised] if self.quantised else []
        made = [recipe for recipe in recipes if chosen or not (published and recipe == TAKEN_BY_PUBLIC)]
        return [self.original, *published, *(f"{self.original}-{recipe}" for recipe in made)]


def default_models(cache: "Cache") -> DefaultModels:
    """The models that `cache` has now; nothing is downloaded."""
    published = next((name for name in PUBLISHED if cache.find(name)), "")
    if published:
        return DefaultModels(original=published)
    refused = _refused.get(cache.root, "")
    if not refused and cache.find(EIGHT_BIT):
        return DefaultModels(original=DEQUANTISED, quantised=EIGHT_BIT)
    return DefaultModels(
        original=REPLICA,
        reason=refused or f"{EIGHT_BIT} is not here; `kokoro-bench models fetch {EIGHT_BIT}` downloads it",
    )


def obtain_default(catalogue: "Catalogue", *, report: Report = silent, progress: Progress = unwatched) -> DefaultModels:
    """The default models, downloaded and dequantised where they are not here; the replica where that fails."""
    found = default_models(catalogue.cache)
    root = catalogue.cache.root
    if found.original in PUBLISHED or root in _refused:
        return found
    try:
        if found.original == REPLICA:
            if os.environ.get(OFFLINE_VARIABLE):
                _refused[root] = f"{EIGHT_BIT} is not here, and {OFFLINE_VARIABLE} is set"
                return default_models(catalogue.cache)
            catalogue.obtain(EIGHT_BIT, report=report, progress=progress)
        catalogue.resolve(DEQUANTISED, report=report)
    except ModelError as error:
        _refused[root] = str(error)
    return default_models(catalogue.cache)
