"""What ONNX Runtime's profiler counted: which provider ran which nodes, and how long each operator type took."""

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True, kw_only=True)
class Profile:
    """Microseconds and executions of nodes. By provider (ONNX Runtime's name) over everything that ran.

    `operators` is the time of each of the `repetitions` after the warm-up by operator type, in their order; empty where
    none was asked for. `reason` says why there is no profile, where there is none.
    """

    nodes: Mapping[str, int] = field(default_factory=dict)
    microseconds: Mapping[str, int] = field(default_factory=dict)
    operators: Mapping[str, tuple[float, ...]] = field(default_factory=dict)
    reason: str = ""

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
    """Profiles of a pair's two sides, launch by launch."""

    candidate: tuple[Profile, ...]
    reference: tuple[Profile, ...]

    @property
    def reason(self) -> str:
        """Why there is nothing to compare, or ""."""
        return next((profile.reason for profile in (*self.candidate, *self.reference) if profile.reason), "")
