"""The content of a synthetic run, and the changes planted in it."""

import hashlib
import math
from dataclasses import dataclass

from harness.core.records.scenario import Mode

FIRST_NIGHT = 1_767_222_000.0
"""31 December 2025, 23:00 UTC."""


NIGHT_S = 86_400.0


CLASSES = {"tiny": 12, "short": 60, "medium": 200, "long": 500, "page": 900, "chapter": 1700}
"""Characters per text class."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """A planted change: from `night` on, scenarios whose id contains `where` take `factor` times as long."""

    night: int
    where: str
    factor: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Made:
    """The content of a synthetic run or history. `troubles` adds a refused arm, invalid audio, and unknown memory."""

    seed: int = 7
    models: tuple[str, ...] = ("kokoro-fp32", "kokoro-int8")
    providers: tuple[str, ...] = ("cpu",)
    classes: tuple[str, ...] = ("tiny", "short", "medium")
    modes: tuple[Mode, ...] = (Mode.WHOLE, Mode.STREAM)
    launches: int = 3
    blocks: int = 12
    steps: tuple[Step, ...] = (
        Step(night=20, where="kokoro-fp32.cpu.tdefault/whole/medium", factor=1.083),
        Step(night=20, where="kokoro-int8.cpu.tdefault/stream/short", factor=0.91),
    )
    troubles: bool = True
    load: bool = True


def factor(made: Made, scenario_id: str, night: int) -> float:
    """The factor of the planted steps on a scenario's time in a night."""
    return math.prod(step.factor for step in made.steps if night >= step.night and step.where in scenario_id)


def hash_of(text: str) -> int:
    """A number that depends on `text` alone (Python's own hash is salted per process)."""
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:16], "big")
