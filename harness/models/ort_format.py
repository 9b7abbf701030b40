"""Reads the facts of a graph in ONNX Runtime's own format (.ort), by the schema that ONNX Runtime ships."""

import math
from collections import Counter
from pathlib import Path
from typing import Any

from harness.core.errors import ModelError
from harness.models.graph_facts import GraphFacts, Tensor

_MARK = b"ORTM"
"""FlatBuffers' file identifier, behind the first four bytes."""


def is_ort_format(path: Path) -> bool:
    """Whether a file is in ONNX Runtime's own format, by its first bytes."""
    with path.open("rb") as file:
        return file.read(8)[4:] == _MARK


def read_ort_format(path: Path) -> GraphFacts:
    """Parse such a file in this process. Raises ModelError if it is damaged."""
    # The import lets the schema's package be found.
    import onnxruntime.tools.ort_format_model  # noqa: F401
    from ort_flatbuffers_py import fbs

    try:
        session = fbs.InferenceSession.InferenceSession.GetRootAsInferenceSession(path.read_bytes(), 0)
        return _facts(session.Model())
    except (AttributeError, IndexError, TypeError, ValueError, UnicodeDecodeError):
        # FlatBuffers checks nothing; a cut file leads outside its bytes, each way with another error.
        raise ModelError(
            "is damaged: its graph cannot be parsed", where=str(path), remedy="make it again, or get the file again"
        ) from None
    except Exception as error:
        if type(error).__module__.partition(".")[0] not in ("struct", "flatbuffers", "numpy"):
            raise
        raise ModelError("is damaged: its graph cannot be parsed", where=str(path), remedy="make it again") from None


def _facts(model: Any) -> GraphFacts:  # noqa: ANN401 - generated code without types
    graph = model.Graph()
    imports = {
        each.Domain().decode() or "ai.onnx": each.Version()
        for each in _each(model.OpsetImport, model.OpsetImportLength)
    }
    args = {each.Name().decode(): each for each in _each(graph.NodeArgs, graph.NodeArgsLength)}
    weights = {each.Name().decode(): each for each in _each(graph.Initializers, graph.InitializersLength)}
    given = [name.decode() for name in _each(graph.Inputs, graph.InputsLength)]
    results = [name.decode() for name in _each(graph.Outputs, graph.OutputsLength)]
    operators: Counter[str] = Counter()
    _count(graph, operators)
    producer = f"{(model.ProducerName() or b'').decode()} {(model.ProducerVersion() or b'').decode()}"
    return GraphFacts(
        ir_version=model.IrVersion(),
        opset=imports.get("ai.onnx", 0),
        domains=imports,
        producer=producer.strip(),
        inputs=tuple(_tensor(args[name]) for name in given if name not in weights),
        outputs=tuple(_tensor(args[name]) for name in results),
        operators=dict(sorted(operators.items())),
        elements=sum(math.prod(_each(each.Dims, each.DimsLength)) for each in weights.values()),
        metadata={
            each.Key().decode(): each.Value().decode() for each in _each(model.MetadataProps, model.MetadataPropsLength)
        },
        external={},
    )


def _each(item: Any, length: Any) -> list[Any]:  # noqa: ANN401 - methods of generated code
    return [item(index) for index in range(length())]


def _count(graph: Any, operators: "Counter[str]") -> None:  # noqa: ANN401 - generated code without types
    """Count the nodes of a graph and its subgraphs."""
    for node in _each(graph.Nodes, graph.NodesLength):
        operators[node.OpType().decode()] += 1
        for attribute in _each(node.Attributes, node.AttributesLength):
            for inner in (attribute.G(), *_each(attribute.Graphs, attribute.GraphsLength)):
                if inner is not None:
                    _count(inner, operators)


def _tensor(value: Any) -> Tensor:  # noqa: ANN401 - generated code without types
    import onnx
    from ort_flatbuffers_py import fbs

    kind = fbs.TensorTypeAndShape.TensorTypeAndShape()
    held = value.Type().Value()
    kind.Init(held.Bytes, held.Pos)
    shape = kind.Shape()
    dtype = onnx.TensorProto.DataType.Name(kind.ElemType()).lower()
    return Tensor(
        name=value.Name().decode(),
        dtype={"float": "float32", "double": "float64"}.get(dtype, dtype),
        shape=tuple(map(_dimension, _each(shape.Dim, shape.DimLength))) if shape else (),
    )


def _dimension(dimension: Any) -> int | str:  # noqa: ANN401 - generated code without types
    value = dimension.Value()
    if value is None:
        return "?"
    kinds: dict[int, int | str] = {1: value.DimValue(), 2: (value.DimParam() or b"?").decode()}
    return kinds.get(value.DimType(), "?")
