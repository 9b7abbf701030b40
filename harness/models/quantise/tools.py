"""Calls ONNX Runtime's quantisation tools. Runs in a child process (`harness.models.subprocess`)."""

import logging
import time
from collections import Counter
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness.models.inspect import nodes_text
from harness.models.jobs import Quantise
from harness.models.node_order import write_in_order
from harness.models.quantise.node_classes import named_nodes
from harness.models.quantise.recipes import BY_NAME, Method, QuantiseRecipe
from harness.models.standard_operators import write_out_file

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    import onnx
    from numpy.typing import NDArray

CONVERTED = {
    Method.DYNAMIC: ("ConvInteger", "MatMulInteger", "DynamicQuantizeLSTM", "DynamicQuantizeMatMul"),
    Method.STATIC: ("QuantizeLinear",),
    Method.EQUALISED: ("QuantizeLinear", "MatMulInteger", "DynamicQuantizeLSTM"),
    Method.BLOCKS: ("MatMulNBits",),
}
"""Method → operator types. If the result has none of them, the tool has silently converted nothing."""


ENOUGH_FEEDS = 20
"""Syntheses with which an equalised variant is calibrated: the ranges of channels change little with more."""


def quantise_file(job: Quantise) -> dict[str, float | str]:
    """Make `job.target`. Return facts: seconds, and the converted operators with their counts.

    Errors of the tools pass. Raises ValueError if they converted nothing.
    """
    started = time.monotonic()
    recipe, source, target = BY_NAME[job.recipe], Path(job.source), Path(job.target)
    source = write_out_file(source, target.with_name("written-out.onnx"))
    if recipe.prepared:
        prepared = target.with_name("prepared.onnx")
        prepare(source, prepared)
        source = prepared
    if recipe.method is Method.DYNAMIC:
        _dynamic(source, target, recipe)
    elif recipe.method is Method.STATIC:
        _static(source, target, recipe, Path(job.feeds))
    elif recipe.method is Method.EQUALISED:
        _equalised(source, target, recipe, Path(job.feeds))
    elif recipe.method is Method.HALF:
        _half(source, target)
    else:
        _blocks(source, target, recipe)
    write_in_order(target)
    return {
        "nodes": nodes_text(Path(job.source), target),
        "converted": converted(target, recipe.method),
        "took_s": time.monotonic() - started,
    }


def prepare(source: Path, target: Path) -> None:
    """Shape inference and graph optimisation before quantising (`quant_pre_process`).

    The optimisation removes the Identity nodes through which the export shares ALBERT's weights; the quantisers would
    miss those weights. Symbolic shape inference is left out: it does not support sequences, so it fails with the Loop
    of the length regulation, and for the plain graph it does not change the quantised operators.
    """
    from onnxruntime.quantization.shape_inference import quant_pre_process

    errors = _Errors()
    logger = logging.getLogger("onnxruntime.quantization.shape_inference")
    logger.addHandler(errors)  # a failed optimisation is only logged, and the graph stays unchanged
    quant_pre_process(str(source), str(target), skip_symbolic_shape=True)
    if errors.messages:
        raise RuntimeError(errors.messages[-1].strip())


class _Errors(logging.Handler):
    """Collects logged errors."""

    def __init__(self) -> None:
        super().__init__(logging.ERROR)
        self.messages: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.messages.append(record.getMessage())


def _dynamic(source: Path, target: Path, recipe: QuantiseRecipe) -> None:
    from onnxruntime.quantization import QuantType, quantize_dynamic
    from onnxruntime.quantization.registry import IntegerOpsRegistry

    quantize_dynamic(
        str(source),
        str(target),
        op_types_to_quantize=[kind for kind in recipe.operators or IntegerOpsRegistry if kind not in recipe.excluded],
        per_channel=recipe.per_channel,
        weight_type=QuantType.QInt8 if recipe.signed else QuantType.QUInt8,
        nodes_to_exclude=[*last_convolution(source), *named_nodes(source, recipe.floats)],
    )


def last_convolution(path: Path) -> list[str]:
    """The name of the convolution nearest to the audio, which stays in floats; [] in a graph with fewer than two.

    It writes the magnitudes and phases of the spectrum. With 8 bits it costs 80 kB less and makes audible noise:
    Kokoro's mel-cepstral distortion from its original rises from 1.8 to 4.0 dB. The published 8-bit file leaves it in
    floats, too.
    """
    import onnx

    graph = onnx.load(path, load_external_data=False).graph
    makers = {name: node for node in graph.node for name in node.output if name}
    waiting, seen = [graph.output[0].name], set()
    if sum(node.op_type == "Conv" for node in graph.node) < 2:
        return []
    for name in waiting:  # the list grows during the loop: nearest nodes first
        node = makers.get(name)
        if node is None or id(node) in seen:
            continue
        if node.op_type == "Conv":
            return [node.name] if node.name else []
        seen.add(id(node))
        waiting += node.input
    return []


def _static(source: Path, target: Path, recipe: QuantiseRecipe, feeds: Path) -> None:
    from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static

    class Reader(CalibrationDataReader):  # type: ignore[misc]  # the base has no types
        def __init__(self) -> None:
            self._feeds = iter(read_feeds(feeds))

        def get_next(self) -> "dict[str, NDArray[Any]] | None":
            return next(self._feeds, None)

    quantize_static(
        str(source),
        str(target),
        Reader(),
        quant_format=QuantFormat.QDQ,
        op_types_to_quantize=list(recipe.operators),
        per_channel=recipe.per_channel,
        activation_type=QuantType.QUInt8,
        weight_type=QuantType.QInt8 if recipe.signed else QuantType.QUInt8,
        nodes_to_exclude=last_convolution(source),
        # The products of attention have no weights. 8-bit scores would degrade the audio and save nothing.
        # One zero point for all channels: ONNX Runtime's convolutions demand it of unsigned weights.
        extra_options={"MatMulConstBOnly": True, "WeightSymmetric": True},
    )


def _equalised(source: Path, target: Path, recipe: QuantiseRecipe, feeds: Path) -> None:
    import onnx
    from onnxruntime.quantization import QuantType, quantize_dynamic

    from harness.models.quantise.equalised import equalise

    convolved = target.with_name("convolved.onnx") if recipe.operators else target
    few = islice(read_feeds(feeds), ENOUGH_FEEDS)
    model = equalise(onnx.load(source), few, floats=last_convolution(source))
    onnx.save(model, convolved)
    if recipe.operators:
        kinds = list(recipe.operators)
        quantize_dynamic(str(convolved), str(target), op_types_to_quantize=kinds, weight_type=QuantType.QUInt8)


def _half(source: Path, target: Path) -> None:
    import onnx
    from onnxruntime.transformers.float16 import convert_float_to_float16

    model = onnx.load(source)
    model = convert_float_to_float16(model, keep_io_types=True, node_block_list=phase_nodes(model))
    drop_repeated_nodes(model)
    join_casts(model)
    onnx.save(model, target)


PHASES = {"CumSum": "Sin", "STFT": "Atan"}
"""Operators that a phase begins and ends with: the running sum of its steps and its sine, a spectrum and its angles."""
BETWEEN = ("Mul", "Transpose", "Resize", "Gather", "Div")
"""Operators between them in Kokoro's source of harmonics."""


def phase_nodes(model: "onnx.ModelProto") -> list[str]:
    """The names of the nodes that a phase passes through.

    It does not fit 16 bits. It grows with the audio: beyond 2,048 a 16-bit float has no fractions, and beyond 65,504,
    after 8 s of speech, its sine is not a number. And a spectrum so small that it becomes 0 has no angle: 0 ÷ 0.
    """
    users: dict[str, list[onnx.NodeProto]] = {}
    for node in model.graph.node:
        for name in node.input:
            users.setdefault(name, []).append(node)
    found: dict[str, None] = {}

    def leads_to(end: str, node: "onnx.NodeProto") -> bool:
        after = [each for name in node.output for each in users.get(name, ()) if each.op_type in (end, *BETWEEN)]
        if node.op_type == end or any([leads_to(end, each) for each in after]):  # noqa: C419 - of all, not of the first
            found[node.name] = None
        return node.name in found

    for node in model.graph.node:
        if node.op_type in PHASES:
            leads_to(PHASES[node.op_type], node)
    return list(found)


def join_casts(model: "onnx.ModelProto") -> None:
    """Connect 32-bit nodes directly, in place: the tool has each value between two of them pass through 16 bits."""
    import onnx

    def is_cast(node: "onnx.NodeProto | None", kind: int) -> bool:
        return node is not None and node.op_type == "Cast" and node.attribute[0].i == kind

    nodes = model.graph.node
    makers = {name: node for node in nodes for name in node.output}
    direct: dict[str, str] = {}
    for node in nodes:
        before = makers.get(node.input[0]) if is_cast(node, onnx.TensorProto.FLOAT) else None
        if before is not None and is_cast(before, onnx.TensorProto.FLOAT16):
            direct[node.output[0]] = direct.get(before.input[0], before.input[0])
    for node in nodes:
        for place, name in enumerate(node.input):
            node.input[place] = direct.get(name, name)
    ends = {each.name for each in model.graph.output}
    while unused := _unused_casts(nodes, ends):
        left = [node for node in nodes if node.name not in unused]
        del nodes[:]
        nodes.extend(left)


def _unused_casts(nodes: "Iterable[onnx.NodeProto]", ends: set[str]) -> set[str]:
    used = ends.union(*(node.input for node in nodes))
    return {node.name for node in nodes if node.op_type == "Cast" and not used.intersection(node.output)}


def drop_repeated_nodes(model: "onnx.ModelProto") -> None:
    """Keep the first of each set of equal nodes of the main graph, in place.

    ONNX Runtime up to 1.31.1 writes the cast of a constant once for each node that uses it, with one name and one
    output for all of them, and refuses to load such a model.
    """
    distinct = {node.SerializeToString(): node for node in model.graph.node}
    if len(distinct) < len(model.graph.node):
        nodes = list(distinct.values())
        del model.graph.node[:]
        model.graph.node.extend(nodes)


def _blocks(source: Path, target: Path, recipe: QuantiseRecipe) -> None:
    import onnx
    from onnxruntime.quantization.matmul_nbits_quantizer import MatMulNBitsQuantizer

    tool = MatMulNBitsQuantizer(onnx.load(source), bits=4, block_size=recipe.block, is_symmetric=True)
    tool.process()
    tool.model.save_model_to_file(str(target))


def converted(target: Path, method: Method) -> str:
    """The converted operators with their counts, as text. Raises ValueError if nothing was converted."""
    import onnx

    graph = onnx.load(target, load_external_data=False).graph
    if method is Method.HALF:
        kinds: tuple[str, ...] = ("16-bit weights",)
        counts = Counter({kinds[0]: sum(one.data_type == onnx.TensorProto.FLOAT16 for one in graph.initializer)})
    else:
        kinds, counts = CONVERTED[method], Counter(node.op_type for node in graph.node)
    found = ", ".join(f"{counts[kind]} {kind}" for kind in kinds if counts[kind])
    if not found:
        raise ValueError(f"the tool converted nothing: no {' or '.join(kinds)} in its result")
    return found


def write_feeds(path: Path, feeds: "tuple[dict[str, NDArray[Any]], ...]") -> None:
    """Write calibration inputs to an npz archive, in order."""
    import numpy as np

    arrays = {f"{index:05d}.{name}": array for index, feed in enumerate(feeds) for name, array in feed.items()}
    np.savez(path, **arrays)  # type: ignore[arg-type]  # the stub takes allow_pickle for one of the arrays


def read_feeds(path: Path) -> "Iterator[dict[str, NDArray[Any]]]":
    """The calibration inputs in an archive, one mapping per synthesis."""
    import numpy as np

    with np.load(path) as arrays:
        for index in sorted({name.partition(".")[0] for name in arrays.files}):
            names = [name for name in arrays.files if name.startswith(f"{index}.")]
            yield {name.partition(".")[2]: arrays[name] for name in names}
