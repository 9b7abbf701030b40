"""What is known of a graph without running it."""

from dataclasses import dataclass

FORMAT = 2
"""Version of the cached facts. 1: the first. 2: initialisers are not inputs."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Tensor:
    """An input or output of a graph. A dimension is a number, a name, or "?" if the graph does not state it."""

    name: str
    dtype: str
    shape: tuple[int | str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class GraphFacts:
    """The contents of a model file.

    `operators`: operator type → number of nodes, including those of subgraphs. `elements`: the number of values in
    initialisers. `metadata`: embedded texts. `external`: weight files, relative to the model's folder, with the minimum
    size of each in bytes.
    """

    ir_version: int
    opset: int
    domains: dict[str, int]
    producer: str
    inputs: tuple[Tensor, ...]
    outputs: tuple[Tensor, ...]
    operators: dict[str, int]
    elements: int
    metadata: dict[str, str]
    external: dict[str, int]
    format: int = FORMAT
