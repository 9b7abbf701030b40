"""Matches the nodes of two versions of a graph: by name, and those that were renamed or fused by operator and shape.

A newer ONNX Runtime, or other optimisations, rename nodes and fuse several of them into one. A node without a
counterpart on the other side would then be slower by all of its time, and another one quicker.
"""

import re
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from harness.core.records.profile import UNNAMED, Node

Launches = Sequence[Sequence[float]]
"""Values launch by launch."""

_FUSED = re.compile(r"^(?:Nhwc|Fused|Skip|Bias|DynamicQuantize)+(?=[A-Z])|ToFloat$")
"""What ONNX Runtime adds to the name of an operator that it has fused with its neighbours or laid out otherwise."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Matched:
    """Nodes that do the same work on both sides, each of which may be empty. Several share an operator and a shape."""

    ours: tuple[Node, ...]
    theirs: tuple[Node, ...]

    @property
    def label(self) -> str:
        """A name that tells it from the others: that of the node, or the operator and shape of several."""
        nodes = self.ours or self.theirs
        if len(nodes) == 1:
            return f"{nodes[0].name} ({nodes[0].operator}{_shape(nodes[0])})"
        return f"{nodes[0].operator}{_shape(nodes[0])} ({len(self.theirs)} → {len(self.ours)} nodes)"


def _shape(node: Node) -> str:
    return f" {node.shape}" if node.shape else ""


def match(ours: Iterable[Node], theirs: Iterable[Node]) -> list[Matched]:
    """The nodes of both sides, each in one match."""
    mine, others = ({(node.name, family(node.operator)): node for node in side} for side in (ours, theirs))
    both = [key for key in mine if key in others and not key[0].startswith(UNNAMED)]
    found = [Matched(ours=(mine.pop(key),), theirs=(others.pop(key),)) for key in both]
    alike: defaultdict[tuple[str, str], tuple[list[Node], list[Node]]] = defaultdict(lambda: ([], []))
    for side, nodes in enumerate((mine, others)):
        for node in nodes.values():
            alike[family(node.operator), node.shape][side].append(node)
    for first, second in alike.values():
        if first and second:
            found.append(Matched(ours=tuple(first), theirs=tuple(second)))
        else:
            found += [Matched(ours=(node,), theirs=()) for node in first]
            found += [Matched(ours=(), theirs=(node,)) for node in second]
    return found


def family(operator: str) -> str:
    """The operator type without what fusing adds to its name: FusedConv and Conv are one family."""
    return _FUSED.sub("", operator)


def operator_label(ours: Iterable[str], theirs: Iterable[str]) -> str:
    """The operator types of one family on both sides: `Conv`, or `Conv → FusedConv` where they differ."""
    after, before = (" + ".join(sorted(set(side))) for side in (ours, theirs))
    return f"{before} → {after}" if before and after and before != after else after or before


def times_of(nodes: Iterable[Node], times: Mapping[Node, Launches], *, idle: Launches) -> tuple[tuple[float, ...], ...]:
    """The sum of the times of nodes, launch by launch; `idle` where there are none."""
    known = [times[node] for node in nodes]
    return tuple(tuple(map(sum, zip(*launches, strict=True))) for launches in zip(*(known or [idle]), strict=True))
