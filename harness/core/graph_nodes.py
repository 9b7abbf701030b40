"""Search among the nodes of an ONNX graph."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

    import onnx_ir as ir


def ancestors(nodes: "Iterable[ir.Node]") -> "set[ir.Node]":
    """The nodes, and all whose values reach one of them."""
    waiting = list(nodes)
    seen = set(waiting)
    for node in waiting:  # the list grows during the loop
        new = [each for each in node.predecessors() if each not in seen]
        seen.update(new)
        waiting += new
    return seen
