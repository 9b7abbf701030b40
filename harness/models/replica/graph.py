"""A small builder for ONNX graphs: values are names, nodes are added in order, names follow the part they belong to."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, TypeAlias

from harness.models.replica.weights import Draws, Weight

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from harness.models.replica.weights import Array, Shape

INT32, INT64, FLOAT = 6, 7, 1
"""Element types by onnx.TensorProto's numbers."""

Value: TypeAlias = str
"""The name of a tensor in the graph."""


class Graph:
    """Collects nodes and weights.

    Constants (shapes, axes, scalars) become Constant nodes, as in an export; only weights become initialisers.
    """

    def __init__(self, draws: Draws, *, path: Sequence[str] = ()) -> None:
        self.nodes: list[Any] = []
        self.aliases: list[Any] = []
        self.weights: dict[str, Weight] = {}
        self.draws = draws
        self._path = list(path)
        self._serial: dict[str, int] = {}
        self._constants: dict[tuple[str, tuple[int, ...], bytes], Value] = {}
        self._shared: set[str] = set()

    @contextmanager
    def scope(self, name: str) -> Iterator[None]:
        """Within the scope, new names start with those of the enclosing scopes, then `name`."""
        self._path.append(name)
        try:
            yield
        finally:
            self._path.pop()

    def _name(self, kind: str) -> str:
        stem = "/" + "/".join([*self._path, kind])
        serial = self._serial[stem] = self._serial.get(stem, -1) + 1
        return f"{stem}_{serial}" if serial else stem

    def op(self, kind: str, *inputs: Value, out: str | None = None, **attributes: Any) -> Value:  # noqa: ANN401 - ONNX's own
        """Add a node with one output, named `out` if given."""
        from onnx import helper

        name = self._name(kind)
        output = out or f"{name}_output_0"
        self.nodes.append(helper.make_node(kind, list(inputs), [output], name=name, **attributes))
        return output

    @property
    def executable_nodes(self) -> int:
        """The number of nodes without Constants, which ONNX Runtime removes before it numbers the nodes."""
        return sum(node.op_type != "Constant" for node in self.nodes)

    def constant(self, value: "NDArray[Any]") -> Value:
        """A Constant node, or the earlier one of the same value."""
        import numpy as np
        from onnx import numpy_helper

        array = np.asarray(value, order="C")
        key = (array.dtype.str, array.shape, array.tobytes())
        if key not in self._constants:
            self._constants[key] = self.op("Constant", value=numpy_helper.from_array(array))
        return self._constants[key]

    def ints(self, *values: int) -> Value:
        """An int64 vector."""
        import numpy as np

        return self.constant(np.array(values, np.int64))

    def int_rows(self, rows: Sequence[Sequence[int]]) -> Value:
        """An int64 matrix."""
        import numpy as np

        return self.constant(np.array(rows, np.int64))

    def integer(self, value: int) -> Value:
        """An int64 scalar."""
        import numpy as np

        return self.constant(np.array(value, np.int64))

    def number(self, value: float) -> Value:
        """A float32 scalar."""
        import numpy as np

        return self.constant(np.array(value, np.float32))

    def tensor(self, name: str, shape: "Shape", make: "Callable[[], Array]") -> Value:
        """An initialiser with values from `make`, named after the scope."""
        return self.common(".".join([*self._path, name]), shape, make)

    def common(self, name: str, shape: "Shape", make: "Callable[[], Array]") -> Value:
        """An initialiser under its full name, without the scope. Further calls return the same one."""
        self.weights.setdefault(name, Weight(name=name, shape=shape, make=make))
        return name

    def weight(self, name: str, shape: "Shape", deviation: float, *, mean: float = 0.0) -> Value:
        """A random initialiser of the given mean and standard deviation."""
        full = ".".join([*self._path, name])
        return self.common(full, shape, lambda: self.draws.uniform(full, shape, deviation, mean=mean))

    def shared(self, name: str, shape: "Shape", make: "Callable[[], Array]") -> Value:
        """A weight that several nodes use: the first by its name, each further one through another Identity node.

        The export writes it this way, with all these Identity nodes before the others. Tools depend on it: a quantiser
        that searches for initialisers misses a weight behind an Identity, and keeps it in float32 besides its own copy.
        """
        from onnx import helper

        if name not in self._shared:
            self._shared.add(name)
            return self.common(name, shape, make)
        alias = self._name("Identity")
        self.aliases.append(helper.make_node("Identity", [name], [f"{alias}_output_0"], name=alias))
        return f"{alias}_output_0"

    def subgraph(self, name: str) -> "Graph":
        """An empty graph for the body of a control-flow node."""
        return Graph(self.draws, path=[*self._path, name])


def int64_fill(value: int) -> object:
    """The attribute of a ConstantOfShape that fills with an int64."""
    from onnx import helper

    return helper.make_tensor("value", INT64, [1], [value])
