"""The recipe of a replica, with its name and digest."""

import json
from dataclasses import dataclass
from hashlib import sha256
from typing import Literal

from harness.core.errors import UsageError, nearest
from harness.models.replica.dimensions import configuration_text

RECIPE_VERSION = 2
"""Increased when the same recipe gives different bytes. 1: the first. 2: Identity nodes of shared weights are first."""

_WIDTHS = {"full": 1.0, "small": 1 / 24}


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """The parameters of a replica. Its bytes also depend on kokoro-onnx's configuration, which the digest includes.

    `width` scales the channels and overrides the width of `size`. `face` is the name of the token input: `input_ids`
    as in newer files (with a duration output), or `tokens` as in older ones. `regulation` is `loop` over sequences, as
    exported, or `plain`.
    """

    size: Literal["full", "small"] = "full"
    width: float | None = None
    face: Literal["input_ids", "tokens"] = "input_ids"
    regulation: Literal["loop", "plain"] = "loop"
    seed: int = 0

    def __post_init__(self) -> None:
        for option, value, known in (
            ("size", self.size, tuple(_WIDTHS)),
            ("face", self.face, ("input_ids", "tokens")),
            ("regulation", self.regulation, ("loop", "plain")),
        ):
            if value not in known:
                raise UsageError(f"no replica has the {option} {value!r}", where=option, remedy=nearest(value, known))
        if self.width is not None and not 0.01 <= self.width <= 4:
            raise UsageError(f"{self.width} is no width", where="width", remedy="0.01 to 4 (1 is Kokoro-82M's)")
        if self.seed < 0:
            raise UsageError(f"{self.seed} is no seed", where="seed", remedy="0 or more")

    @property
    def scale(self) -> float:
        """The factor on Kokoro-82M's channel counts."""
        return _WIDTHS[self.size] if self.width is None else self.width

    @property
    def name(self) -> str:
        """A readable slug: `replica` with the settings that differ from the default."""
        parts = ["replica"]
        if self.width is not None:
            parts.append(f"w{self.width:.12g}")
        elif self.size != "full":
            parts.append(self.size)
        if self.face != "input_ids":
            parts.append(self.face)
        if self.regulation != "loop":
            parts.append(self.regulation)
        if self.seed:
            parts.append(f"seed{self.seed}")
        return "-".join(parts)

    def digest(self) -> str:
        """SHA-256 of the recipe, its version and the configuration: equal digests give equal files."""
        fields = {
            "version": RECIPE_VERSION,
            "scale": self.scale,
            "face": self.face,
            "regulation": self.regulation,
            "seed": self.seed,
            "configuration": sha256(configuration_text().encode()).hexdigest(),
        }
        return sha256(json.dumps(fields, sort_keys=True, separators=(",", ":")).encode()).hexdigest()
