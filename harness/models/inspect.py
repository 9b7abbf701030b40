"""The contents of a model file, and whether they are a Kokoro model.

The facts depend only on the file's bytes, so they are cached by SHA-256. A model of 325 MB is parsed once, and not in
every run.
"""

import contextlib
import math
import tempfile
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

import msgspec

from harness.core.errors import ModelError
from harness.core.files import write_atomically
from harness.core.record_files import read_record
from harness.models.graph_facts import FORMAT, GraphFacts, Tensor
from harness.models.jobs import Examine, Job, run_child
from harness.models.ort_format import is_ort_format, read_ort_format

TOKEN_INPUTS = ("input_ids", "tokens")
OTHER_INPUTS = ("style", "speed")

_MODEL_FIELDS = frozenset({1, 2, 3, 4, 5, 6, 7, 8, 14, 20, 25, 26})
"""Field numbers of ONNX's ModelProto (onnx.proto)."""
_GRAPH_FIELD, _OPSET_FIELD = 7, 8
_VARINT, _LENGTH_DELIMITED = 0, 2


class Examiner:
    """Reads the facts of graphs, and caches them by digest in `folder`."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def graph(self, path: Path, sha256: str) -> GraphFacts:
        """The facts of the graph in `path`, whose bytes have the digest `sha256`.

        Raises ModelError if the file is truncated or not ONNX, or if a file of external weights is missing.
        """
        memory = self._folder / f"{sha256}.json"
        facts = read_record(memory, GraphFacts)
        if facts is None or facts.format != FORMAT:
            facts = examine(path)
            with contextlib.suppress(OSError):
                write_atomically(memory, msgspec.json.encode(facts))
        check_external(path, facts)
        return facts


def examine(path: Path, *, check: bool = False) -> GraphFacts:
    """Parse a model file in a child process. `check` also runs onnx's checker, and checks inputs and external weights.

    Raises ModelError if the file is truncated, is not ONNX, or fails a check.
    """
    if not is_ort_format(path):
        check_container(path)
    with tempfile.TemporaryDirectory(prefix="kokoro-bench-", ignore_cleanup_errors=True) as work:
        found = Path(work) / "facts.json"
        answer = run_child(Job(examine=Examine(model=str(path.absolute()), facts=str(found), check=check)), Path(work))
        if answer.error:
            remedy = "kokoro-bench doctor shows what is installed"
            raise ModelError(f"cannot be examined: {answer.error}", where=str(path), remedy=remedy)
        return msgspec.json.decode(found.read_bytes(), type=GraphFacts)


def examine_file(job: Examine) -> None:
    """Write the `GraphFacts` of `job.model` to `job.facts`, after the checks if ordered.

    Runs in the child. ModelError.
    """
    path = Path(job.model)
    facts = read_graph(path)
    if job.check:
        check_external(path, facts)
        check_face(path, facts)
        _check_by_onnx(path)
    Path(job.facts).write_bytes(msgspec.json.encode(facts))


def _check_by_onnx(path: Path) -> None:
    """Raise ModelError if onnx finds a fault. Nothing checks a file in ONNX Runtime's own format but a session."""
    if is_ort_format(path):
        return
    import onnx

    try:
        onnx.checker.check_model(str(path))
    except onnx.checker.ValidationError as error:
        raise ModelError(str(error).strip().splitlines()[0], where=str(path), remedy="get the file again") from None


def read_graph(path: Path) -> GraphFacts:
    """Parse a model file in this process. Raises ModelError if it is truncated or neither ONNX nor of ONNX Runtime."""
    if is_ort_format(path):
        return read_ort_format(path)
    check_container(path)
    import onnx
    from google.protobuf.message import DecodeError  # type: ignore[import-untyped]  # ships no types

    try:
        model = onnx.load(path, load_external_data=False)
    except DecodeError:
        raise ModelError(
            "is damaged: its graph cannot be parsed", where=str(path), remedy="get the file again"
        ) from None
    # Up to IR version 3 the inputs include initialisers, which are their default values. They need not be given.
    given = {initialiser.name for initialiser in model.graph.initializer}
    imports = {entry.domain or "ai.onnx": entry.version for entry in model.opset_import}
    elements = 0
    external: dict[str, int] = {}
    for tensor in initialisers(model.graph):
        elements += math.prod(tensor.dims)
        if tensor.data_location == onnx.TensorProto.EXTERNAL:
            entries = {entry.key: entry.value for entry in tensor.external_data}
            needed = int(entries.get("offset", 0)) + int(entries.get("length", 0))
            file = entries.get("location", "")
            external[file] = max(needed, external.get(file, 0))
    return GraphFacts(
        ir_version=model.ir_version,
        opset=imports.get("ai.onnx", 0),
        domains=imports,
        producer=f"{model.producer_name} {model.producer_version}".strip(),
        inputs=tuple(_tensor(value) for value in model.graph.input if value.name not in given),
        outputs=tuple(_tensor(value) for value in model.graph.output),
        operators=dict(sorted(Counter(node.op_type for node in nodes_of(model.graph)).items())),
        elements=elements,
        metadata={entry.key: entry.value for entry in model.metadata_props},
        external=external,
    )


def nodes_text(before: Path, after: Path) -> str:
    """The numbers of nodes of two files, as the manifest of the second states them."""
    return "{:,} before, {:,} after".format(*(sum(read_graph(path).operators.values()) for path in (before, after)))


def check_container(path: Path) -> None:
    """Check the outermost protobuf fields of the file without reading their contents. Raises ModelError.

    This distinguishes a truncated model from a file that is no model; a parser has the same error for both.
    """
    size = path.stat().st_size
    if size == 0:
        raise ModelError("is empty", where=str(path), remedy="get the file again")
    seen: set[int] = set()
    with path.open("rb") as file:
        start = file.read(8)
        file.seek(0)
        while (position := file.tell()) < size:
            tag = _varint(file)
            field, wire = (tag >> 3, tag & 7) if tag is not None else (0, _VARINT)
            if tag is not None and (field not in _MODEL_FIELDS or wire not in (_VARINT, _LENGTH_DELIMITED)):
                if not seen or _GRAPH_FIELD not in seen:
                    raise ModelError(
                        f"is not an ONNX model: it begins with {start!r}",
                        where=str(path),
                        remedy="give the .onnx file itself, not a page, an archive or a pointer to it",
                    )
                raise ModelError(f"is damaged at byte {position:,}", where=str(path), remedy="get the file again")
            length = _varint(file)
            if wire == _LENGTH_DELIMITED and length is not None:
                missing = file.tell() + length - size
                file.seek(length, 1)
            else:
                missing = 0
            if tag is None or length is None or missing > 0:
                raise _truncated(path, size=size, missing=missing)
            seen.add(field)
    if not {_GRAPH_FIELD, _OPSET_FIELD} <= seen:
        raise _truncated(path, size=size, missing=0)


def _truncated(path: Path, *, size: int, missing: int) -> ModelError:
    how_much = f": {missing:,} bytes are missing after its {size:,}" if missing > 0 else ""
    return ModelError(f"is truncated{how_much}", where=str(path), remedy="get the file again")


def _varint(file: BinaryIO) -> int | None:
    """Protobuf's variable-length integer at the file's position; None if the file ends within it."""
    value = 0
    for shift in range(0, 70, 7):
        byte = file.read(1)
        if not byte:
            return None
        value |= (byte[0] & 0x7F) << shift
        if byte[0] < 0x80:
            break
    return value


def check_external(path: Path, facts: GraphFacts) -> None:
    """Raise ModelError if a file of external weights is missing or too short."""
    for name, needed in facts.external.items():
        file = path.parent / name
        if not file.is_file():
            raise ModelError(
                f"its weights are in {name}, which is not beside it",
                where=str(path),
                remedy=f"put {name} into the same folder",
            )
        if file.stat().st_size < needed:
            raise ModelError(
                f"its weights in {name} are truncated: {file.stat().st_size:,} of {needed:,} bytes",
                where=str(path),
                remedy=f"get {name} again",
            )


def check_face(path: Path, facts: GraphFacts) -> None:
    """Raise ModelError unless the graph has Kokoro's inputs and an audio output."""
    names = [tensor.name for tensor in facts.inputs]
    tokens = [name for name in names if name in TOKEN_INPUTS]
    if len(tokens) != 1 or sorted(names) != sorted([*tokens, *OTHER_INPUTS]):
        raise ModelError(
            f"is not a Kokoro graph: its inputs are {', '.join(names) or 'none'}",
            where=str(path),
            remedy="Kokoro takes input_ids or tokens, style and speed",
        )
    if not facts.outputs or not facts.outputs[0].dtype.startswith(("float", "double")):
        given = ", ".join(f"{tensor.name} ({tensor.dtype})" for tensor in facts.outputs) or "none"
        raise ModelError(
            f"is not a Kokoro graph: its outputs are {given}", where=str(path), remedy="the first must be the audio"
        )


def nodes_of(graph: Any) -> Iterator[Any]:  # noqa: ANN401 - onnx ships no types
    """All nodes of a graph, including those in subgraphs of If and Loop."""
    for node in graph.node:
        yield node
        for attribute in node.attribute:
            for inner in (attribute.g, *attribute.graphs):
                yield from nodes_of(inner)


def initialisers(graph: Any) -> Iterator[Any]:  # noqa: ANN401 - onnx ships no types
    """All initialisers of a graph and its subgraphs."""
    yield from graph.initializer
    for node in graph.node:
        for attribute in node.attribute:
            for inner in (attribute.g, *attribute.graphs):
                yield from initialisers(inner)


def _tensor(value: Any) -> Tensor:  # noqa: ANN401 - onnx ships no types
    import onnx

    kind = value.type.tensor_type
    shape = tuple(
        dimension.dim_value if dimension.HasField("dim_value") else dimension.dim_param or "?"
        for dimension in kind.shape.dim
    )
    dtype = onnx.TensorProto.DataType.Name(kind.elem_type).lower()
    return Tensor(name=value.name, dtype={"float": "float32", "double": "float64"}.get(dtype, dtype), shape=shape)
