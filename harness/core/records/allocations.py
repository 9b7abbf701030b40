"""Memory that an arm allocates, by the place in its code: counted in launches of their own, outside the measurement."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import NamedTuple


@dataclass(frozen=True, slots=True, kw_only=True)
class CodePlace:
    """A line that allocates. `file` begins with its package; it is "" in a thread that runs no Python.

    Two places of one function are equal if their lines have the same `text`, whatever the numbers of the lines.
    `within` names the library that the line calls and that takes the memory, "" for none.
    """

    file: str = ""
    function: str = ""
    text: str = ""
    within: str = ""
    line: int = field(default=0, compare=False)

    def __str__(self) -> str:
        named = f"{self.file}:{self.line} {self.function}" if self.file else "a thread without Python"
        return f"{named} ({self.within})" if self.within else named


class Held(NamedTuple):
    """Allocated blocks and their bytes."""

    size: int = 0
    blocks: int = 0

    def __sub__(self, other: "Held") -> "Held":
        return Held(self.size - other.size, self.blocks - other.blocks)


@dataclass(frozen=True, slots=True, kw_only=True)
class Allocations:
    """What one arm held at the high-water mark of its requests, and what these never freed."""

    peak: Mapping[CodePlace, Held] = field(default_factory=dict)
    kept: Mapping[CodePlace, Held] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class AllocationPair:
    """The allocations of a pair's two sides after as many `requests` of each. `reason` says why there are none."""

    candidate: Allocations = field(default_factory=Allocations)
    reference: Allocations = field(default_factory=Allocations)
    requests: int = 0
    reason: str = ""
