"""What ONNX Runtime's profiler counted: which provider ran which nodes, and how long operators and nodes took."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from harness.core.records.verdict import Estimate

UNNAMED = "#"
"""The start of the name of a node that its graph gives none; the node's index follows."""

FEWEST_REPETITIONS = 6
"""With fewer profiled repetitions of each side nothing is compared."""


@dataclass(frozen=True, slots=True, kw_only=True, order=True)
class Node:
    """A node of a graph. `shape` is that of its first output, as `1×512×64`.

    Two nodes of the same name and operator are equal, whatever their shapes.
    """

    name: str
    operator: str
    shape: str = field(default="", compare=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Profile:
    """Microseconds and executions of nodes. By provider (ONNX Runtime's name) over everything that ran.

    `operators` is the time of each of the `repetitions` after the warm-up by operator type, in their order, and
    `by_node` the same by node; both are empty where none was asked for. `arena` is the most that ONNX Runtime's arena
    held, in bytes, None if it does not count that. `reason` says why there is no profile, where
    there is none.
    """

    nodes: Mapping[str, int] = field(default_factory=dict)
    microseconds: Mapping[str, int] = field(default_factory=dict)
    operators: Mapping[str, tuple[float, ...]] = field(default_factory=dict)
    by_node: Mapping[Node, tuple[float, ...]] = field(default_factory=dict)
    arena: int | None = None
    reason: str = ""

    @property
    def repetitions(self) -> int:
        """The number of repetitions whose times are known."""
        return len(next(iter(self.operators.values()), ()))

    def node_share(self, provider: str) -> float:
        """The part of all executed nodes that `provider` ran; a fused subgraph is one node."""
        whole = sum(self.nodes.values())
        return self.nodes.get(provider, 0) / whole if whole else 0.0

    def time_share(self, provider: str) -> float:
        """The part of all time in nodes that `provider` took."""
        whole = sum(self.microseconds.values())
        return self.microseconds.get(provider, 0) / whole if whole else 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Profiles:
    """Profiles of a pair's two sides, launch by launch. `refused` says why nothing was profiled, or ""."""

    candidate: tuple[Profile, ...] = ()
    reference: tuple[Profile, ...] = ()
    refused: str = ""

    @property
    def reason(self) -> str:
        """Why there is nothing to compare, or ""."""
        failed = (profile.reason for profile in (*self.candidate, *self.reference) if profile.reason)
        return self.refused or next(failed, "")


@dataclass(frozen=True, slots=True, kw_only=True)
class PartTime:
    """The time of an operator type, or of a node if it has a name, in one repetition: medians in seconds.

    `before` is that of the reference, None if only one side was profiled. `change` is the paired difference in seconds,
    None where there is no interval.
    """

    operator: str
    node: str = ""
    shape: str = ""
    before: float | None = None
    after: float
    change: Estimate | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Trace:
    """A kept trace of ONNX Runtime: a file in Chrome's trace format, compressed. `launch` is counted from 1."""

    side: str
    launch: int
    file: str
    size: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Profiled:
    """What a profile of one text shows. `reference` is "" if only one side was profiled; `reason` says why it is empty.

    Operators and nodes are in descending order of their time. `left_out` is the number of nodes that are too short to
    be listed.
    """

    candidate: str
    reference: str = ""
    launches: int = 0
    repetitions: int = 0
    operators: tuple[PartTime, ...] = ()
    nodes: tuple[PartTime, ...] = ()
    left_out: int = 0
    traces: tuple[Trace, ...] = ()
    reason: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class ProfileSheet:
    """All profiles of a run. They are kept beside its traces."""

    profiled: tuple[Profiled, ...] = ()
