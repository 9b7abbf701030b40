import json
from collections import Counter
from collections.abc import Callable, Iterator
from importlib.resources import files
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest

from harness.models.replica.assemble import build_model, build_voices
from harness.models.replica.dimensions import configuration_text
from harness.models.replica.recipe import Recipe

Small = Callable[..., Path]
MADE_BY_THE_RUNTIME = {"Split", "FastGelu", "FusedMatMul"}
"""Operators of the profile that ONNX Runtime fuses from others, and no file contains."""


def _nodes(graph: onnx.GraphProto) -> Iterator[onnx.NodeProto]:
    for node in graph.node:
        yield node
        for attribute in node.attribute:
            if attribute.HasField("g"):
                yield from _nodes(attribute.g)


def _operators(path: Path) -> Counter[str]:
    return Counter(node.op_type for node in _nodes(onnx.load(str(path)).graph))


def _face(path: Path) -> tuple[dict[str, object], dict[str, object]]:
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    inputs = {entry.name: (entry.type, entry.shape) for entry in session.get_inputs()}
    return inputs, {entry.name: (entry.type, entry.shape) for entry in session.get_outputs()}


def test_newer_face_has_input_ids_and_durations(small: Small) -> None:
    inputs, outputs = _face(small())
    assert inputs == {
        "input_ids": ("tensor(int64)", [1, "N"]),
        "style": ("tensor(float)", [1, 256]),
        "speed": ("tensor(float)", [1]),
    }
    assert outputs == {"waveform": ("tensor(float)", ["num_samples"]), "duration": ("tensor(int64)", ["N"])}


def test_older_face_has_tokens_and_no_durations(small: Small) -> None:
    inputs, outputs = _face(small(face="tokens"))
    assert list(inputs) == ["tokens", "style", "speed"]
    assert inputs["speed"] == ("tensor(float)", [1])
    assert list(outputs) == ["audio"]


def test_carries_the_configuration_and_loads_in_old_runtimes(small: Small) -> None:
    model = onnx.load(str(small()))
    assert {entry.key: entry.value for entry in model.metadata_props} == {"kokoro_config": configuration_text()}
    assert model.ir_version == 8
    assert [(entry.domain, entry.version) for entry in model.opset_import] == [("", 17)]


def test_is_valid_and_its_shapes_can_be_inferred(small: Small) -> None:
    model = onnx.load(str(small()))
    onnx.checker.check_model(model, full_check=True)
    inferred = onnx.shape_inference.infer_shapes(model, check_type=True, strict_mode=True, data_prop=True)
    known = {info.name for info in inferred.graph.value_info if info.type.tensor_type.HasField("shape")}
    assert any("generator" in name for name in known)


@pytest.mark.parametrize(
    ("operator", "count"),
    [
        ("Conv", 90),
        ("ConvTranspose", 7),
        ("LSTM", 6),
        ("InstanceNormalization", 70),
        ("Gemm", 73),
        ("LayerNormalization", 31),
        ("MatMul", 102),
        ("Softmax", 12),
        ("Sin", 51),
        ("Cos", 1),
        ("Reciprocal", 48),
        ("Pow", 62),
        ("LeakyRelu", 28),
        ("Resize", 6),
        ("Tanh", 13),
        ("Atan", 1),
        ("Exp", 1),
        ("CumSum", 1),
        ("RandomNormalLike", 1),
        ("RandomUniformLike", 1),
        ("Loop", 1),
        ("SplitToSequence", 2),
        ("ConcatFromSequence", 1),
        ("Pad", 2),
    ],
)
def test_operators_are_as_many_as_in_the_export(small: Small, operator: str, count: int) -> None:
    assert _operators(small())[operator] == count


def test_every_operator_that_takes_time_in_the_reference_is_there(small: Small) -> None:
    reference = json.loads((files("harness.models.replica") / "reference.json").read_text(encoding="utf-8"))
    heavy = {kind for run in reference["runs"] for kind, share in run["share_percent"].items() if share >= 0.1}
    assert heavy - MADE_BY_THE_RUNTIME <= set(_operators(small()))


def test_shared_weights_stand_behind_identity_nodes_ahead_of_all_others(small: Small) -> None:
    graph = onnx.load(str(small())).graph
    weights = {weight.name for weight in graph.initializer}
    shared = Counter(node.input[0] for node in graph.node if node.op_type == "Identity" and node.input[0] in weights)
    assert {count for name, count in shared.items() if name.startswith("bert.layer.")} == {11}
    assert sum(name.startswith("bert.layer.") for name in shared) == 6
    assert sum(shared.values()) == 194
    assert all(node.op_type == "Identity" for node in graph.node[:194])


def test_plain_regulation_has_neither_loop_nor_sequences(small: Small) -> None:
    operators = _operators(small(regulation="plain"))
    assert not [kind for kind in operators if kind == "Loop" or "Sequence" in kind]
    assert operators["CumSum"] == 2


def test_small_model_is_below_3_megabytes(small: Small) -> None:
    assert small().stat().st_size < 3_000_000


def test_the_same_recipe_gives_the_same_bytes(tmp_path: Path, small: Small) -> None:
    again = tmp_path / "again.onnx"
    build_model(Recipe(size="small"), again)
    assert again.read_bytes() == small().read_bytes()
    other = tmp_path / "other.onnx"
    build_model(Recipe(size="small", seed=1), other)
    assert other.read_bytes() != again.read_bytes()


def test_regulations_share_all_weights(small: Small) -> None:
    loop, plain = ({w.name: w.raw_data for w in onnx.load(str(small(**f))).graph.initializer} for f in ({}, PLAIN))
    assert loop == plain


PLAIN = {"regulation": "plain"}


def test_voices_differ_and_are_rebuilt_byte_for_byte(tmp_path: Path, voices: Path) -> None:
    archive = np.load(voices)
    assert {"af_heart", "af_bella", "am_michael", "bf_emma"} <= set(archive.files)
    for name in archive.files:
        assert archive[name].shape == (510, 1, 256)
        assert archive[name].dtype == np.float32
        assert np.isfinite(archive[name]).all()
    assert not np.array_equal(archive["af_heart"], archive["af_bella"])
    again = tmp_path / "again.npz"
    build_voices(Recipe(size="small"), again)
    assert again.read_bytes() == voices.read_bytes()
